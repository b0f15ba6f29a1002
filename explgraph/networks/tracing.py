"""One forward pass on a probe, watched operation by operation and module by module."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.hooks import RemovableHandle

from .hooks import of_type
from .receptive import Operation, View, image_view, propagate
from .shared import Hook, evaluation, own_hooks, usual_modes

# New tensors that take only shape and type from their argument.
_FACTORIES = frozenset(
    (
        *("new_zeros", "new_ones", "new_full", "new_empty", "new_empty_strided"),
        *("zeros_like", "ones_like", "full_like", "empty_like", "rand_like", "randn_like"),
    )
)
_ATTENTION = ("scaled_dot_product", "multi_head_attention")
_PRODUCTS = frozenset(("mm", "bmm", "addmm", "baddbmm", "matmul"))
_UPSAMPLING = ("upsample", "_upsample", "pixel_shuffle", "max_unpool2d")


@dataclass(frozen=True, eq=False, slots=True)
class Value:
    """A value computed from the image: its number in order of computation, and where it looks."""

    node: int
    view: View | None


@dataclass(eq=False, slots=True)
class Call:
    """One call of a module.

    Attributes
    ----------
    name
        As in ``named_modules()``; "" is the whole network.
    kind
        The module's type.
    parent
        Index of the calling module's call, -1 for the network's own.
    first, last
        Numbers of the values computed inside: first <= node < last.
    out
        The output, where it is one tensor that depends on the image.
    shape
        Of the output.
    rectified
        Whether the output, a map, had no negative value.
    """

    name: str
    kind: type[nn.Module]
    parent: int
    first: int
    last: int = 0
    out: Value | None = None
    shape: tuple[int, ...] = ()
    rectified: bool = False


@dataclass(eq=False, slots=True)
class Trace:
    """What a forward pass did.

    Attributes
    ----------
    calls
        Module calls, by the order in which they began.
    values
        By number, what was computed from the image; the first is the image.
    operations
        By number, the operation that made it; "" for what was not followed.
    edges
        (u, v): value v was computed from value u.
    learned
        By number, the values that a layer with weights computed: "spatial", "pointwise" (a 1x1
        convolution or linear layer) or "depthwise" (channels not mixed).
    products
        Numbers of the values that are products of two values: the work of attention.
    ended
        Number and operation of each value where a spatial path ended.
    upsampled
        Numbers of the maps that interpolation, a transposed convolution and the like made finer.
    returned
        Numbers of the values that the network returned, in whatever containers.
    """

    calls: list[Call] = field(default_factory=list)
    values: list[Value] = field(default_factory=list)
    operations: list[str] = field(default_factory=list)
    edges: list[tuple[int, int]] = field(default_factory=list)
    learned: dict[int, str] = field(default_factory=dict)
    products: list[int] = field(default_factory=list)
    ended: list[tuple[int, str]] = field(default_factory=list)
    upsampled: list[int] = field(default_factory=list)
    returned: list[int] = field(default_factory=list)


def trace(module: nn.Module, probe: Tensor) -> Trace:
    """Run ``module`` once, in evaluation mode, and follow where every tensor looks.

    Parameters
    ----------
    module
        Left as it was.
    probe
        (1, C_in, H_in, W_in) on the module's device, of any float type.
    """
    # In inference mode operations are not taken apart before the recorder sees them.
    with usual_modes(probe.device, gradients=False):
        probe = of_type(module, probe.clone())
        recorder = _Recorder(probe)
        with evaluation(module), own_hooks(_watching(module, recorder)), recorder:
            module(probe)
    return recorder.trace


def _watching(
    module: nn.Module, recorder: _Recorder
) -> Iterator[tuple[Callable[[Hook], RemovableHandle], Hook]]:
    for name, child in module.named_modules():
        yield child.register_forward_pre_hook, recorder.enter(name)
        yield child.register_forward_hook, recorder.leave


class _Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Follows operations below autograd, where composite ones are already taken apart."""

    def __init__(self, probe: Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.trace = Trace()
        self._values: dict[tuple[Any, ...], Value] = {}
        self._kept: dict[int, list[Tensor]] = {}  # by storage: alive, so that no address is reused
        self._count = 0
        self._open: list[int] = []
        self._paused = False
        self._put(probe, self._new(image_view(probe.shape), ()))

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # PyTorch would load its compiler, which takes a second, only to keep it out of here.
        return False

    # Modules

    def enter(self, name: str) -> Callable[[nn.Module, object], None]:
        def hook(module: nn.Module, inputs: object) -> None:
            parent = self._open[-1] if self._open else -1
            self._open.append(len(self.trace.calls))
            self.trace.calls.append(Call(name, type(module), parent, self._count))

        return hook

    def leave(self, module: nn.Module, inputs: object, output: object) -> None:
        call = self.trace.calls[self._open.pop()]
        call.last = self._count
        if isinstance(output, Tensor):
            call.out, call.shape = self._get(output), tuple(output.shape)
            if call.out is not None and call.out.view is not None:
                self._paused = True
                call.rectified = bool((output >= 0).all())
                self._paused = False
        if not self._open:
            self.trace.returned = [value.node for value in self._among(output)]

    # Operations

    def __torch_dispatch__(
        self,
        func: torch._ops.OpOverload,
        types: object,
        args: Sequence[object] = (),
        kwargs: Mapping[str, object] | None = None,
    ) -> object:
        kwargs = kwargs or {}
        if self._paused:
            return func(*args, **kwargs)
        schema = func._schema
        bound = {a.name: a.default_value for a in schema.arguments if a.has_default_value()}
        bound.update(zip((a.name for a in schema.arguments), args, strict=False))
        bound.update(kwargs)
        values = {name: found for name, value in bound.items() if (found := self._among(value))}
        result = func(*args, **kwargs)
        name = str(schema.name).removeprefix("aten::").rstrip("_")
        if values and name not in _FACTORIES:
            written = [
                bound[a.name]
                for a in schema.arguments
                if a.alias_info is not None and a.alias_info.is_write
            ]
            outputs = _tensors(written) or _tensors(result)
            pointwise = torch.Tag.pointwise in func.tags
            self._record(name, pointwise, bound, values, outputs, bool(_tensors(written)))
        return result

    def _record(
        self,
        name: str,
        pointwise: bool,
        bound: dict[str, Any],
        values: dict[str, list[Value]],
        outputs: list[Tensor],
        in_place: bool,
    ) -> None:
        sources = [value for group in values.values() for value in group]
        views = {key: tuple(value.view for value in group) for key, group in values.items()}
        for i, tensor in enumerate(outputs):
            if not in_place and _key(tensor) in self._values:
                continue  # the very same tensor: a view that changes nothing
            view = None
            parallel = "split" in name or name in ("chunk", "unbind")
            if i == 0 or parallel:  # further results are statistics or indices
                view = propagate(Operation(name, pointwise, bound, views, tuple(tensor.shape)))
            if in_place and len({value.node for value in sources}) > 1:
                self._forget_aliases(tensor)
            value = self._new(view, sources, name)
            self._put(tensor, value)
            if i == 0 and _upsamples(name, bound, tensor):
                self.trace.upsampled.append(value.node)
            if i == 0 and view is None and any(source.view is not None for source in sources):
                self.trace.ended.append((value.node, name))
        if (kind := _learned_kind(name, bound)) and len(sources) == 1:
            self.trace.learned[self._count - 1] = kind
        attends = any(word in name for word in _ATTENTION)
        if attends or (name in _PRODUCTS and len(sources) > 1):
            self.trace.products.append(self._count - 1)

    def _new(self, view: View | None, sources: Sequence[Value], operation: str = "") -> Value:
        value = Value(self._count, view)
        self.trace.values.append(value)
        self.trace.operations.append(operation)
        self.trace.edges.extend({(source.node, value.node) for source in sources})
        self._count += 1
        return value

    # Tensors are known by the memory they show, which views and autograd's wrappers do not change.

    def _put(self, tensor: Tensor, value: Value) -> None:
        self._values[_key(tensor)] = value
        self._kept.setdefault(_storage(tensor), []).append(tensor)

    def _get(self, tensor: Tensor) -> Value | None:
        value = self._values.get(_key(tensor))
        if value is None and tensor.numel() > 0 and _storage(tensor) in self._kept:
            # Another window on memory that holds image data: what it shows was not followed.
            value = self._new(None, ())
            self._put(tensor, value)
        return value

    def _among(self, given: object) -> list[Value]:
        return [value for tensor in _tensors(given) if (value := self._get(tensor)) is not None]

    def _forget_aliases(self, tensor: Tensor) -> None:
        """Other windows on this memory show new data from now on."""
        for alias in self._kept.get(_storage(tensor), ()):
            self._values.pop(_key(alias), None)


def _learned_kind(name: str, args: dict[str, Any]) -> str:
    if name == "convolution":
        weight = args["weight"].shape
        if args["groups"] > 1 and weight[1] == 1:
            return "depthwise"
        return "pointwise" if all(size == 1 for size in weight[2:]) else "spatial"
    return "pointwise" if name in ("mm", "addmm", "linear") else ""


def _upsamples(name: str, args: Mapping[str, Any], result: Tensor) -> bool:
    """Whether an operation makes maps finer; a single cell spread over a map is no finer map."""
    transposed = bool(args.get("transposed")) and max(args["stride"]) > 1
    given = args.get("input", args.get("self"))
    if not (transposed or name.startswith(_UPSAMPLING)) or not isinstance(given, Tensor):
        return False
    before, after = given.shape[2:], result.shape[2:]
    return len(after) == 2 and min(before) > 1 and all(map(int.__lt__, before, after))


def _tensors(value: object) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, Mapping):
        return [tensor for item in value.values() for tensor in _tensors(item)]
    if isinstance(value, list | tuple):
        return [tensor for item in value for tensor in _tensors(item)]
    return []


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def _key(tensor: Tensor) -> tuple[Any, ...]:
    return (_storage(tensor), tensor.storage_offset(), tuple(tensor.shape), tensor.stride())
