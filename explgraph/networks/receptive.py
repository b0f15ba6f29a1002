"""Receptive fields by rule: what one tensor operation does to the patch that each cell looks at.

A view says where the cells of a map look. The rules turn the views of an operation's arguments into
the view of its result, from the operation's own parameters, so strides, sizes and offsets are exact
and need neither symbolic tracing nor a list of known layers. An operation without a rule ends the
spatial path: its result is taken to depend on the whole image, never guessed at.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple


class Operation(NamedTuple):
    """One tensor operation as it ran.

    Attributes
    ----------
    name
        Its name without namespace, overload and the underscore of in-place forms.
    pointwise
        Whether every element of the result depends on the same element of the arguments only.
    args
        The arguments by their names in the operation's schema.
    views
        By argument name, the views of the tensors that depend on the image; None for one that sees
        the whole image.
    shape
        Of the (first) result.
    """

    name: str
    pointwise: bool
    args: Mapping[str, Any]
    views: Mapping[str, tuple[View | None, ...]]
    shape: tuple[int, ...]


def propagate(op: Operation) -> View | None:
    """Return the view of an operation's result; None when it sees the whole image."""
    if op.pointwise or op.name in _POINTWISE:
        view = _join(op)
    elif op.name == "cat":
        view = _concatenate(op)
    else:
        rule, (name, source) = _RULES.get(op.name), next(iter(op.views.items()))
        if rule is None or source[0] is None or name not in ("self", "input", "mat1"):
            return None
        view = rule(source[0], op)
        if view is not None and len(op.views) > 1:  # weights computed from the image
            view = replace(view, context=True)
    if view is None or any(a.tag and a.size == 1 for dim in view.layout for a in dim):
        return None
    return view


# -- operations that keep the grid ---------------------------------------------------------------


def _join(op: Operation) -> View | None:
    """Unite views element by element, with broadcasting; what sees everything is a gate."""
    views = [view for group in op.views.values() for view in group]
    aligned = [_broadcast(view, op.shape) for view in views if view is not None]
    return _unite(aligned, gated=None in views)


def _broadcast(view: View, shape: tuple[int, ...]) -> View:
    added = len(shape) - len(view.layout)
    layout: list[tuple[Atom, ...]] = [(Atom(size),) for size in shape[:added]]
    for dim, size in zip(view.layout, shape[added:], strict=True):
        layout.append(dim if any(atom.tag for atom in dim) else (Atom(size),))
    return replace(view, layout=tuple(layout))


def _concatenate(op: Operation) -> View | None:
    views = op.views["tensors"]
    dim = op.args.get("dim", 0) % len(op.shape)
    whole = [view for view in views if view is not None]
    if any(len(view.layout) != len(op.shape) or view.tag(dim) != "" for view in whole):
        return None
    resized = [view.resized(op.shape) for view in whole]
    return _unite([view for view in resized if view is not None], gated=None in views)


def _unite(views: Sequence[View], gated: bool) -> View | None:
    if not views:
        return None
    first = views[0]
    y: Axis | None = first.y
    x: Axis | None = first.x
    for view in views[1:]:
        y, x = y and y.union(view.y), x and x.union(view.x)
        if y is None or x is None or view.layout != first.layout:
            return None
    if y is None or x is None:
        return None
    context = gated or any(view.context for view in views)
    return View(first.layout, y, x, context, any(view.mixed for view in views))


def _same(view: View, op: Operation) -> View | None:
    return view.resized(op.shape)


def _batch_norm(view: View, op: Operation) -> View | None:
    # In training form the statistics come from this very image: every cell sees all of it.
    whole = bool(op.args.get("training") or op.args.get("use_input_stats"))
    return replace(view, context=view.context or whole)


def _layer_norm(view: View, op: Operation) -> View | None:
    over = range(-len(op.args["normalized_shape"]), 0)
    return replace(view, context=view.context or any(view.tag(dim) != "" for dim in over))


def _group_norm(view: View, op: Operation) -> View | None:
    return replace(view, context=True)


def _along(view: View, op: Operation) -> View | None:
    """Mix one dimension freely (softmax, gated linear unit): harmless unless it is spatial."""
    return view.resized(op.shape) if view.tag(op.args.get("dim", -1)) == "" else None


# -- windows ---------------------------------------------------------------------------------------


def _spread(value: int | Sequence[int], n: int) -> tuple[int, ...]:
    values = (value,) if isinstance(value, int) else tuple(value)
    return values * n if len(values) == 1 else values


def _window(view: View, op: Operation, kernel: Sequence[int]) -> View | None:
    """Slide a window over the last ``len(kernel)`` dimensions."""
    n = len(kernel)
    stride = _spread(op.args.get("stride") or kernel, n)
    padding = _spread(op.args.get("padding", 0), n)
    dilation = _spread(op.args.get("dilation", 1), n)
    axes = {Y: view.y, X: view.x}
    for i, (k, s, p, d) in enumerate(zip(kernel, stride, padding, dilation, strict=True)):
        tag = view.tag(i - n)
        if tag:
            axes[tag] = axes[tag].window(k, s, p, d)
        elif tag is None and (k, s, p) != (1, 1, 0):
            return None
    return view.resized(op.shape, y=axes[Y], x=axes[X])


def _convolve(view: View, op: Operation) -> View | None:
    weight = op.args["weight"].shape
    if op.args.get("transposed") or view.tag(1) != "" or len(weight) != len(view.layout):
        return None
    depthwise = op.args["groups"] > 1 and weight[1] == 1
    result = _window(view, op, weight[2:])
    return result if depthwise else _mixed(result)


def _pool(view: View, op: Operation) -> View | None:
    n = int(op.name.split("pool")[1][0])
    return _window(view, op, _spread(op.args["kernel_size"], n))


def _adaptive_pool(view: View, op: Operation) -> View | None:
    """Pool to a fixed grid: a plain window where the grid divides evenly, else cells differ."""
    n = len(_spread(op.args["output_size"], 1))
    before = [math.prod(atom.size for atom in dim) for dim in view.layout[-n:]]
    after = op.shape[-n:]
    if any(b % a for a, b in zip(after, before, strict=True)):
        return None
    kernel = [b // a for a, b in zip(after, before, strict=True)]
    return _window(view, op, kernel)


def _pad(view: View, op: Operation) -> View | None:
    """Add cells around; what reflection shows there lies inside, which the field does not say."""
    pads = op.args["pad"] if "pad" in op.args else op.args["padding"]
    axes = {Y: view.y, X: view.x}
    for i, before in enumerate(pads[::2]):
        tag = view.tag(-1 - i)
        if tag:
            axes[tag] = axes[tag].crop(-before)
    return view.resized(op.shape, y=axes[Y], x=axes[X])


# -- re-arrangement --------------------------------------------------------------------------------


def _slice(view: View, op: Operation) -> View | None:
    dim, tag = op.args.get("dim", 0), view.tag(op.args.get("dim", 0))
    axes = {Y: view.y, X: view.x}
    if tag:
        size = view.layout[dim][0].size
        first = range(size)[slice(op.args.get("start"), None)]
        axes[tag] = axes[tag].crop(first.start, op.args.get("step", 1))
    return view.resized(op.shape, y=axes[Y], x=axes[X])


def _split(view: View, op: Operation) -> View | None:
    return view.resized(op.shape) if view.tag(op.args.get("dim", 0)) == "" else None


def _permute(view: View, op: Operation) -> View | None:
    return replace(view, layout=tuple(view.layout[dim] for dim in op.args["dims"]))


def _transpose(view: View, op: Operation) -> View | None:
    dims = list(range(len(view.layout)))
    a, b = op.args.get("dim0", 0), op.args.get("dim1", 1)
    dims[a], dims[b] = dims[b], dims[a]
    return replace(view, layout=tuple(view.layout[dim] for dim in dims))


def _reshape(view: View, op: Operation) -> View | None:
    """Regroup the atoms into new dimensions; a spatial axis may be fused but never split."""
    atoms: list[Atom] = []
    for atom in (atom for dim in view.layout for atom in dim if atom.size != 1):
        if atoms and not atom.tag and not atoms[-1].tag:
            atom = Atom(atoms.pop().size * atom.size)
        atoms.append(atom)
    layout = []
    for size in op.shape:
        dim, need = [], size
        while need > 1:
            if not atoms:
                return None
            atom = atoms.pop(0)
            if atom.size > need:  # split off the front of it
                if atom.tag or atom.size % need:
                    return None
                atoms.insert(0, Atom(atom.size // need))
                atom = Atom(need)
            if need % atom.size:
                return None
            need //= atom.size
            dim.append(atom)
        layout.append(tuple(dim) or (Atom(size),))
    return replace(view, layout=tuple(layout))


def _reduce(view: View, op: Operation) -> View | None:
    dims = op.args.get("dim")
    if dims is None or dims == []:
        return None
    gone = {dim % len(view.layout) for dim in _spread(dims, 1)}
    if any(view.tag(dim) != "" for dim in gone):
        return None
    kept: Layout = tuple(
        (Atom(1),) if i in gone else dim
        for i, dim in enumerate(view.layout)
        if i not in gone or op.args.get("keepdim")
    )
    return replace(view, layout=kept)


def _matmul(view: View, op: Operation) -> View | None:
    """Multiply (rows, C) by weights (C, D): a pointwise layer of maps with channels last."""
    weights = op.args["mat2"].shape
    if len(view.layout) != 2 or view.tag(1) != "":
        return None
    return replace(view, layout=(view.layout[0], (Atom(weights[1]),)), mixed=True)


def _linear(view: View, op: Operation) -> View | None:
    return _mixed(view.resized(op.shape)) if view.tag(-1) == "" else None


def _mixed(view: View | None) -> View | None:
    return view and replace(view, mixed=True)


# Pointwise, though PyTorch does not tag them so.
_POINTWISE = frozenset(
    (
        *("_prelu_kernel", "prelu", "hardtanh", "hardswish", "hardsigmoid", "leaky_relu", "elu"),
        *("silu", "gelu", "mish", "softplus", "clamp", "log_sigmoid", "threshold", "softshrink"),
        *("hardshrink", "where", "native_dropout", "clone", "contiguous", "copy", "_to_copy"),
        *("alias", "detach", "lift_fresh", "expand"),
    )
)

_BY_RULE: Mapping[Callable[[View, Operation], View | None], str] = {
    _convolve: "convolution",
    _pool: "max_pool1d_with_indices max_pool2d_with_indices max_pool3d_with_indices max_pool2d "
    "mkldnn_max_pool2d avg_pool1d avg_pool2d avg_pool3d",
    _adaptive_pool: "_adaptive_avg_pool2d adaptive_avg_pool2d adaptive_max_pool2d",
    _pad: "constant_pad_nd reflection_pad2d replication_pad2d reflection_pad1d replication_pad1d",
    _slice: "slice",
    _split: "split split_with_sizes split_copy unsafe_split unsafe_split_with_sizes",
    _permute: "permute",
    _transpose: "transpose t",
    _reshape: "view _unsafe_view _reshape_alias reshape squeeze unsqueeze",
    _reduce: "mean sum amax amin max min var std linalg_vector_norm logsumexp",
    _along: "_softmax _log_softmax glu",
    _batch_norm: "native_batch_norm cudnn_batch_norm _native_batch_norm_legit "
    "_native_batch_norm_legit_no_training miopen_batch_norm _batch_norm_with_update "
    "_batch_norm_no_update _batch_norm_impl_index",
    _layer_norm: "native_layer_norm",
    _group_norm: "native_group_norm",
    _same: "native_channel_shuffle channel_shuffle",
    _matmul: "mm addmm",
    _linear: "linear",
}
_RULES = {name: rule for rule, names in _BY_RULE.items() for name in names.split()}


Y, X = "y", "x"


@dataclass(frozen=True, slots=True)
class Axis:
    """Cell i of one spatial axis sees input pixels [start + i stride, start + i stride + size)."""

    start: int = 0
    stride: int = 1
    size: int = 1

    @property
    def centre(self) -> float:
        """Centre of the first cell's field, continuous pixels."""
        return self.start + self.size / 2

    def window(self, kernel: int, stride: int, padding: int, dilation: int) -> Axis:
        """Look through a sliding window (convolution, pooling) at cells that look like this."""
        return Axis(
            start=self.start - padding * self.stride,
            stride=self.stride * stride,
            size=self.size + (kernel - 1) * dilation * self.stride,
        )

    def crop(self, first: int, step: int = 1) -> Axis:
        """Keep every ``step``-th cell from ``first`` on; a negative ``first`` is padding."""
        return Axis(self.start + first * self.stride, self.stride * step, self.size)

    def union(self, other: Axis) -> Axis | None:
        """Return the smallest field over both, or None where the strides differ."""
        if self.stride != other.stride:
            return None
        start = min(self.start, other.start)
        stop = max(self.start + self.size, other.start + other.size)
        return Axis(start, self.stride, stop - start)


class Atom(NamedTuple):
    """A factor of a tensor's dimension: a spatial axis (``tag`` "y" or "x") or anything else."""

    size: int
    tag: str = ""


# A dimension is a product of atoms, the slowest first: (B*H*W, C) is ((B, H "y", W "x"), (C,)).
Layout = tuple[tuple[Atom, ...], ...]


@dataclass(frozen=True, slots=True)
class View:
    """Where the cells of a tensor look.

    Attributes
    ----------
    layout
        Which dimensions of the tensor are the spatial ones.
    y, x
        The fields along them.
    context
        Whether something that sees the whole image (a gate) has been mixed in.
    mixed
        Whether a learned operation has mixed channels on the way here.
    """

    layout: Layout
    y: Axis = Axis()
    x: Axis = Axis()
    context: bool = False
    mixed: bool = False

    @property
    def is_map(self) -> bool:
        """Whether the tensor is a batch of maps (B, C, H, W)."""
        tags = [[atom.tag for atom in dim] for dim in self.layout]
        return len(tags) == 4 and tags[2:] == [[Y], [X]]

    def tag(self, dim: int) -> str | None:
        """Return a dimension's spatial tag, "" for none; None where axes are fused in it."""
        tags = {atom.tag for atom in self.layout[dim]}
        if len(self.layout[dim]) > 1 and tags != {""}:
            return None
        return tags.pop() if tags else ""

    def resized(
        self, shape: Sequence[int], y: Axis | None = None, x: Axis | None = None
    ) -> View | None:
        """Return the view of a tensor with the same dimensions in other sizes and other fields.

        None where a dimension that holds several axes, or the number of dimensions, has changed.
        """
        if len(shape) != len(self.layout):
            return None
        layout = []
        for dim, size in zip(range(len(shape)), shape, strict=True):
            tag = self.tag(dim)
            if tag is None and size != math.prod(atom.size for atom in self.layout[dim]):
                return None
            layout.append(self.layout[dim] if tag is None else (Atom(size, tag),))
        return replace(self, layout=tuple(layout), y=y or self.y, x=x or self.x)


def image_view(shape: Sequence[int]) -> View:
    """Return the view of the network's input (B, C, H, W)."""
    tags = ("", "", Y, X)
    return View(tuple((Atom(size, tag),) for size, tag in zip(shape, tags, strict=True)))
