"""A copy of a network that relevance can be sent back through: all that shares it out is a module.

Rules of relevance propagation belong to modules. Residual networks add, and many networks pool and
rectify, by functions that a rule cannot be tied to; relevance would pass them as if they were not
there, twice as much behind every sum as in front of it.
"""

from __future__ import annotations

import copy
import operator
import threading
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as nnf
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from explgraph.explanations.targets import ClassTarget, Target
from explgraph.networks.shared import alone, copied_network

_TOLERANCE = 1e-3  # of the answer: of merged normalisation and other rounding
_WEIGHTED = (nn.Conv2d, nn.Linear)
_RECTIFIERS = (nn.ReLU, nn.ReLU6, nn.LeakyReLU)
_KNOWN = (
    *(*_WEIGHTED, *_RECTIFIERS, nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d),
    *(nn.Dropout, nn.Dropout2d, nn.Identity, nn.Flatten),
)
# These move numbers without changing them, or choose among them: the gradient does the same to
# relevance.
_MOVES = {
    *(torch.flatten, torch.reshape, torch.cat, torch.max_pool2d, operator.getitem, getattr),
    *(nnf.dropout, nnf.pad, nnf.max_pool2d),
}
_MOVING_METHODS = {"flatten", "reshape", "view", "contiguous", "squeeze", "unsqueeze"}
_SUMS = {operator.add, operator.iadd, torch.add, "add", "add_"}

_Make = Callable[..., nn.Module]
_Arguments = TypeVar("_Arguments", tuple[Any, ...], dict[str, Any])


class NoRuleError(Exception):
    """Relevance has no way through the network; the message says why, and what it is about."""


def relevance_network(
    network: nn.Module, target: Target, inputs: Tensor, sum_module: Callable[[], nn.Module]
) -> fx.GraphModule:
    """Return a copy of a network that ends in the target's layer and consists of modules.

    Normalisation is merged into the layer in front of it, every module is used once, nothing works
    in place, and no parameter has gradients.

    Parameters
    ----------
    network
        Left as it is.
    target
        A class: the copy returns logits; a filter: its layer's maps.
    inputs
        (1, C_in, H_in, W_in): what it is tried out on.
    sum_module
        Makes a module that adds along the last dimension.

    Raises
    ------
    NoRuleError
        If the network cannot be traced, or does something that there is no rule for.
    """
    plain = copied_network(network).float().eval()
    for parameter in plain.parameters():
        parameter.requires_grad_(False)
    try:
        traced = fx.GraphModule(plain, _traced(plain))
    except Exception as error:  # whatever a forward method may do to a stand-in for a tensor
        raise NoRuleError(f"its steps cannot be traced ({error})") from error
    _end_at(traced, target)
    values = _Values(traced, inputs)
    converter = _Converter(traced, values, sum_module)
    for node in list(traced.graph.nodes):
        converter.convert(node)
    traced.graph.eliminate_dead_code()
    traced.delete_all_unused_submodules()
    traced.recompile()
    with torch.no_grad():
        same = torch.allclose(
            traced(inputs), values.answer, _TOLERANCE, _TOLERANCE * float(values.answer.abs().max())
        )
    if not same:
        raise NoRuleError("it works in place in a way that could not be followed")
    return traced


def _traced(network: nn.Module) -> fx.Graph:
    """Return a network's steps; networks that other threads run meanwhile are none of them.

    PyTorch diverts the calls of all modules meanwhile, and puts them back one in the other.
    """
    with alone():
        return _Tracer().trace(network)


class _Tracer(fx.Tracer):
    """Sees what its own thread calls."""

    def __init__(self) -> None:
        super().__init__()
        self._thread = threading.get_ident()

    def call_module(
        self,
        m: nn.Module,
        forward: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:  # noqa: ANN401
        if threading.get_ident() != self._thread:
            return forward(*args, **kwargs)
        return super().call_module(m, forward, args, kwargs)

    def getattr(
        self,
        attr: str,
        attr_val: Any,  # noqa: ANN401
        parameter_proxy_cache: dict[str, Any],
    ) -> Any:  # noqa: ANN401
        if threading.get_ident() != self._thread:
            return attr_val
        return super().getattr(attr, attr_val, parameter_proxy_cache)


def first_layers(network: fx.GraphModule) -> tuple[str, ...]:
    """Return the names of the layers with weights that see the image with none in between."""
    found: list[str] = []
    behind: set[fx.Node] = set()
    for node in network.graph.nodes:
        if node.op == "placeholder":
            behind.add(node)
        elif behind.intersection(node.all_input_nodes):
            if node.op == "call_module" and isinstance(_module(network, node), _WEIGHTED):
                found.append(str(node.target))
            else:
                behind.add(node)
    return tuple(found)


def _end_at(network: fx.GraphModule, target: Target) -> None:
    """Let the network return the target's layer, and drop what follows."""
    if isinstance(target, ClassTarget):
        return
    inside = [
        node
        for node in network.graph.nodes
        if target.layer.name in node.meta.get("nn_module_stack", {})
    ]
    if not inside:
        raise NoRuleError(f"its tracing lost sight of layer {target.layer.name}")
    network.graph.output_node().args = (inside[-1],)
    network.graph.eliminate_dead_code()
    network.recompile()


class _Values(fx.Interpreter):
    """What the steps of a network give: the numbers that are no tensors, and the answer."""

    def __init__(self, network: fx.GraphModule, inputs: Tensor) -> None:
        super().__init__(network)
        self.plain: dict[fx.Node, Any] = {}
        with torch.no_grad():
            answer: Tensor = self.run(inputs)
        self.answer = answer

    def run_node(self, n: fx.Node) -> object:
        """Run one step, and keep what it gives."""
        result: object = super().run_node(n)
        if not isinstance(result, Tensor):
            self.plain[n] = result
        return result

    def settled(self, arguments: _Arguments) -> _Arguments:
        """Replace steps by the plain values that they give."""
        settled: _Arguments = fx.map_arg(arguments, lambda node: self.plain.get(node, node))
        return settled


class _Converter:
    """Turns the steps of a traced network into modules, one by one in forward order."""

    def __init__(
        self, network: fx.GraphModule, values: _Values, sum_module: Callable[[], nn.Module]
    ) -> None:
        self._network, self._values, self._sum = network, values, sum_module
        self._used: set[str] = set()
        self._count = 0

    def convert(self, node: fx.Node) -> None:
        """Turn one step into a module, or raise `NoRuleError`."""
        if node in self._values.plain or node.op in ("placeholder", "output"):
            return
        if node.op == "call_module":
            self._module(node)
        elif node.target in _SUMS and self._adds_two(node):
            self._add(node)
        elif (make := _REPLACED.get(node.target)) is not None:
            kept, *arguments = self._values.settled(node.args)
            self._replace(node, make(*arguments, **self._values.settled(node.kwargs)), kept)
        elif node.target not in (_MOVES if node.op == "call_function" else _MOVING_METHODS):
            name = getattr(node.target, "__name__", str(node.target))
            raise NoRuleError(f"there is no rule for its step {name!r} ({node.name})")

    def _module(self, node: fx.Node) -> None:
        module, name = _module(self._network, node), str(node.target)
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d):
            self._merge(node, module)
            return
        if not isinstance(module, _KNOWN):
            raise NoRuleError(f"there is no rule for {type(module).__name__} ({name})")
        if getattr(module, "inplace", False):
            module.inplace = False
        if name in self._used:
            node.target = self._insert(copy.deepcopy(module))
        self._used.add(name)

    def _merge(self, node: fx.Node, norm: nn.BatchNorm2d | nn.BatchNorm1d) -> None:
        (before,) = node.all_input_nodes
        alone = before.op == "call_module" and list(before.users) == [node]
        layer = _module(self._network, before) if alone else None
        if not isinstance(layer, _WEIGHTED) or not norm.track_running_stats:
            raise NoRuleError(
                f"its normalisation {node.target} does not follow a layer with weights, or has no "
                "statistics, so that it cannot be merged"
            )
        fuse: Callable[..., nn.Module] = (
            fuse_linear_bn_eval if isinstance(layer, nn.Linear) else fuse_conv_bn_eval
        )
        before.target = self._insert(fuse(layer, norm))
        node.replace_all_uses_with(before)
        self._network.graph.erase_node(node)

    def _adds_two(self, node: fx.Node) -> bool:
        return not node.kwargs and all(
            isinstance(term, fx.Node) and term not in self._values.plain for term in node.args
        )

    def _add(self, node: fx.Node) -> None:
        with self._network.graph.inserting_before(node):
            both = self._network.graph.call_function(torch.stack, (list(node.args), -1))
        self._replace(node, self._sum(), both)

    def _replace(self, node: fx.Node, module: nn.Module, argument: fx.Node) -> None:
        with self._network.graph.inserting_before(node):
            called = self._network.graph.call_module(self._insert(module), (argument,))
        node.replace_all_uses_with(called)
        self._network.graph.erase_node(node)

    def _insert(self, module: nn.Module) -> str:
        name = f"relevance_{self._count}"
        self._count += 1
        self._network.add_submodule(name, module)
        return name


def _module(network: fx.GraphModule, node: fx.Node) -> nn.Module:
    return network.get_submodule(str(node.target))


def _mean(dim: int | Sequence[int] | None = None, keepdim: bool = False) -> nn.Module:
    """Return the module that a mean over both axes of maps stands for."""
    if not isinstance(dim, Sequence) or {axis % 4 for axis in dim} != {2, 3}:
        raise NoRuleError(f"there is no rule for its mean over {dim}")
    pool = nn.AdaptiveAvgPool2d(1)
    return pool if keepdim else nn.Sequential(pool, nn.Flatten(1))


_REPLACED: dict[Any, _Make] = {
    **dict.fromkeys((nnf.relu, torch.relu, "relu", "relu_"), lambda *_, **__: nn.ReLU()),
    nnf.relu6: lambda *_, **__: nn.ReLU6(),
    nnf.adaptive_avg_pool2d: nn.AdaptiveAvgPool2d,
    nnf.avg_pool2d: nn.AvgPool2d,
    **dict.fromkeys((torch.mean, "mean"), _mean),
}
