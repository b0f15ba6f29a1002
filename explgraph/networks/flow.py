"""What lies before and behind each value of a network: depth, upsampling, activations to come."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from explgraph.base.arrays import I8

from .tracing import Trace

Flags = NDArray[np.bool_]

_RECTIFIERS = frozenset(
    (
        *("relu", "hardtanh", "leaky_relu", "_prelu_kernel", "prelu", "rrelu_with_noise", "elu"),
        *("celu", "silu", "gelu", "hardswish", "mish", "softplus", "threshold", "glu"),
        *("softshrink", "hardshrink"),
    )
)
# An activation inside a network; at its end they only bring the output into its range.
_SQUASHERS = frozenset(("sigmoid", "hardsigmoid", "tanh", "clamp", "log_sigmoid"))
_GATES = frozenset(("sigmoid", "hardsigmoid", "_softmax"))


class Flow:
    """The values of one forward pass, V of them, and the ways between them.

    Attributes
    ----------
    stride
        (V,) distance of a map's neighbouring cells, network pixels (their area); 0 for what is no
        map, or one whose place in the photo is not known.
    depth
        (V,) layers with weights on the longest way to a value, itself included.
    upsampled
        (V,) whether a map was made finer on the way here. What only opens or closes a gate
        (a sigmoid's, or that of attention) does not count.
    rises
        (V,) whether it was made so in this very operation.
    activates
        (V,) whether a value is the output of an activation.
    activated
        (V,) whether an activation comes before the next layer with weights, on some way.
    active_ahead
        (V,) whether an activation comes at all.
    gates
        (V,) whether it only goes into gates on all ways to the output: into a sigmoid or softmax
        by which something is multiplied before layers follow.
    """

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        n = len(trace.values)
        self._sources: list[list[int]] = [[] for _ in range(n)]
        self._targets: list[list[int]] = [[] for _ in range(n)]
        for source, target in trace.edges:
            self._sources[target].append(source)
            self._targets[source].append(target)
        self.stride = self._strides()
        self.depth = self._depths()
        learned = np.isin(np.arange(n), list(trace.learned))
        operations, goes_on = trace.operations, self._ahead(learned)
        products = np.isin(np.arange(n), trace.products) | (np.array(operations) == "mul")
        product = products & np.array([len(sources) > 1 for sources in self._sources])
        gate = np.isin(operations, list(_GATES)) & goes_on & self._ahead(product, until=learned)
        self.upsampled, self.rises = self._upsampling(gate)
        shown = np.isin(np.arange(n), trace.returned)
        self.gates: Flags = ~(shown | self._ahead(shown, until=gate))
        squashes = np.isin(operations, list(_SQUASHERS)) & goes_on
        self.activates: Flags = np.isin(operations, list(_RECTIFIERS)) | squashes
        self.activated = self._ahead(self.activates, until=learned)
        self.active_ahead = self._ahead(self.activates)

    def before(self, node: int) -> Flags:
        """Return (V,) which values a value was computed from, itself included."""
        return self._reached([node], self._sources)

    def behind(self, nodes: Sequence[int]) -> Flags:
        """Return (V,) which values were computed from some values, themselves included."""
        return self._reached(nodes, self._targets)

    def returned_beside(self, stride: int, *, upsampled: bool = False) -> Flags:
        """Return (V,) which finer values the network returns without looking at coarser ones.

        Finer than ``stride``, and returned as they are or after layers that keep them so fine;
        with ``upsampled`` also together with what was coarse and made finer.
        """
        found = np.zeros(len(self.stride), dtype=np.bool_)
        returned = set(self._trace.returned)
        for node in reversed(range(len(found))):
            if self.stride[node] < stride and (upsampled or not self.upsampled[node]):
                found[node] = node in returned or any(found[t] for t in self._targets[node])
        return found

    def _strides(self) -> I8:
        views = (value.view for value in self._trace.values)
        return np.array([v.y.stride * v.x.stride if v and v.is_map else 0 for v in views], np.int64)

    def _depths(self) -> I8:
        depth = np.zeros(len(self._sources), dtype=np.int64)
        for node, sources in enumerate(self._sources):
            own = node in self._trace.learned
            depth[node] = max((depth[source] for source in sources), default=0) + own
        return depth

    def _upsampling(self, gate: Flags) -> tuple[Flags, Flags]:
        n = len(self._sources)
        by_name, products = set(self._trace.upsampled), set(self._trace.products)
        coarsest = self.stride.copy()
        found, rises, opening = np.zeros((3, n), dtype=np.bool_)
        for node, sources in enumerate(self._sources):
            opening[node] = gate[node] or (bool(sources) and all(opening[s] for s in sources))
            if opening[node]:
                coarsest[node] = 0
                continue
            # Attention may look at means of its maps, and does not make them coarser by that.
            before = 0 if node in products else max((coarsest[s] for s in sources), default=0)
            rises[node] = node in by_name or 0 < self.stride[node] < before
            found[node] = rises[node] or any(found[source] for source in sources)
            coarsest[node] = max(coarsest[node], before)
        return found, rises

    def _ahead(self, marked: Flags, until: Flags | None = None) -> Flags:
        """Return (V,) from which values a marked one can be reached, not through ``until``."""
        found = np.zeros(len(marked), dtype=np.bool_)
        for node in reversed(range(len(marked))):
            found[node] = any(
                marked[target] or (found[target] and (until is None or not until[target]))
                for target in self._targets[node]
            )
        return found

    def _reached(self, nodes: Sequence[int], steps: Sequence[Sequence[int]]) -> Flags:
        found = np.zeros(len(steps), dtype=np.bool_)
        found[list(nodes)] = True
        waiting = list(nodes)
        while waiting:
            for node in steps[waiting.pop()]:
                if not found[node]:
                    found[node] = True
                    waiting.append(node)
        return found
