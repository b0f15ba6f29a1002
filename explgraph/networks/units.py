"""A network cut into units: convolutions and blocks, each with the module that stands for it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .flow import Flow
from .receptive import View
from .tracing import Call, Trace


class Unit(NamedTuple):
    """A convolution or block with what belongs to it: its first value and its last module."""

    first: int
    call: Call

    @property
    def node(self) -> int:
        """The number of the value that its module returns."""
        return self.call.out.node if self.call.out is not None else 0


@dataclass(slots=True)
class _Draft:
    """A unit in the making: ``call`` is None while no module that can be mined has returned it."""

    start: Call
    view: View
    mixing: bool
    call: Call | None = None


def map_view(call: Call) -> View | None:
    """Return where the cells of a call's output look, if it is a batch of maps."""
    view = call.out.view if call.out is not None else None
    return view if view is not None and view.is_map else None


def is_minable(call: Call) -> bool:
    """Whether a call's output are maps of parts: mixed channels, overlapping fields."""
    view = map_view(call)
    return (
        view is not None
        and view.mixed
        and view.y.size > view.y.stride
        and view.x.size > view.x.stride
    )


def cut_into_units(trace: Trace, opened: Flow | None = None) -> list[Unit]:
    """Cut the network into units, in order of computation.

    With its flow, no block is taken as one in which maps become finer: a whole U-Net is none.
    """
    times = Counter(call.name for call in trace.calls)
    drafts: list[_Draft] = []
    for call, is_tail in _pieces(trace, opened):
        view = map_view(call)
        if view is None or call.out is None:
            continue
        kinds = {} if is_tail else learned_in(trace, call.first, call.last)
        if kinds:
            mixing = set(kinds.values()) != {"depthwise"}
            drafts.append(_Draft(call, view, mixing))
        elif not drafts or not _continues(drafts[-1], call, view, is_tail):
            continue
        if times[call.name] == 1 and is_minable(call):
            drafts[-1].call, drafts[-1].view = call, view
    units: list[Unit] = []
    for draft in drafts:
        if draft.call is not None and draft.mixing:
            after = units[-1].call.last if units else 0
            outermost = _outermost(draft.call, after, trace, times)
            units.append(Unit(draft.start.first, outermost))
    return units


def _pieces(trace: Trace, opened: Flow | None) -> Iterator[tuple[Call, bool]]:
    """Yield blocks and single modules in order; also modules that end in functions of their own.

    The flag tells the latter: what they computed themselves comes after their last submodule.
    """
    children: dict[int, list[int]] = {}
    for i, call in enumerate(trace.calls):
        children.setdefault(call.parent, []).append(i)
    edges = np.array(trace.edges).reshape(-1, 2)
    blocks = {
        call.kind
        for i, call in enumerate(trace.calls)
        if i and _has_parallel_ways(call, [trace.calls[c] for c in children.get(i, [])], edges)
    }

    def walk(i: int) -> Iterator[tuple[Call, bool]]:
        call, inner = trace.calls[i], children.get(i, [])
        closed = opened is None or not _upsamples(call, opened)
        if i and (not inner or (call.kind in blocks and closed)):
            yield call, False
            return
        for child in inner:
            yield from walk(child)
        if i and all(trace.calls[child].out is not call.out for child in inner):
            yield call, True

    return walk(0)


def _upsamples(call: Call, flow: Flow) -> bool:
    """Whether a module's result, or one of several, is finer than something that it computed."""
    result = call.out is None or bool(flow.upsampled[call.out.node])
    return result and bool(flow.rises[call.first : call.last].any())


def _has_parallel_ways(call: Call, children: Sequence[Call], edges: NDArray[np.int64]) -> bool:
    """Whether data flows past some child's output: what was there before is used again later."""
    sources, results = edges.T
    return any(
        child.out is not None
        and bool(
            np.any(
                (sources < child.out.node)
                & (results > child.out.node)
                & (results >= child.last)
                & (results < call.last)
            )
        )
        for child in children
    )


def learned_in(trace: Trace, first: int, last: int) -> dict[int, str]:
    """Return the values first <= node < last that layers with weights computed, see `Trace`."""
    return {node: kind for node, kind in trace.learned.items() if first <= node < last}


def _continues(unit: _Draft, call: Call, view: View, is_tail: bool) -> bool:
    """Whether a call without convolutions only normalises or rectifies the unit's output.

    What stands elsewhere in the network counts only if it rectifies: the activation that opens the
    next block of a pre-activation network does, the normalisation that opens a downsampling does
    not. A rectified output is complete.
    """
    if unit.call is not None and (unit.call.rectified or call.out is unit.call.out):
        return False
    belongs = is_tail or call.rectified or call.parent == unit.start.parent
    same_cells = (view.y, view.x, call.shape) == (unit.view.y, unit.view.x, unit.start.shape)
    return belongs and same_cells


def _outermost(call: Call, after: int, trace: Trace, times: Counter[str]) -> Call:
    """Return the outermost module that returns this very output and holds no unit before it."""
    while call.parent > 0:
        parent = trace.calls[call.parent]
        if parent.out is not call.out or parent.first < after or times[parent.name] > 1:
            break
        call = parent
    return call


def layer_of(unit: Unit, trace: Trace) -> Call:
    """Return the module that stands for a unit: its last, or a linear bottleneck's expansion."""
    last = unit.call
    if last.rectified:
        return last
    times = Counter(call.name for call in trace.calls)
    wider = [
        call
        for call in trace.calls
        if call.out is not None
        and unit.first <= min(call.first, call.out.node)
        and call.last <= last.last
        and call.rectified
        and times[call.name] == 1
        and is_minable(call)
        and call.shape[2:] == last.shape[2:]
        and call.shape[1] > last.shape[1]
    ]
    return max(wider, key=lambda call: call.shape[1], default=last)
