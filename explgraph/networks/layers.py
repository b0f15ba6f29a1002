"""Which layers of a network can be mined, and which are mined when nobody says so."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from explgraph.base.errors import ExplGraphError
from explgraph.base.layer import LayerSpec

from .receptive import View
from .tracing import Call, Trace

MOST_LAYERS = 4
# A coarser grid than this locates parts badly: at most half of the layers come from it.
COARSE_CELLS = 10


def minable_layers(trace: Trace) -> tuple[LayerSpec, ...]:
    """Return every layer that can be mined, in the order in which the network finishes them.

    A layer is a module that is called once and returns maps (B, C, H, W) of more than one cell
    each way, behind at least one channel-mixing convolution, whose cells look at overlapping
    patches (the disjoint patches of a transformer's embedding are not a layer of parts).

    Raises
    ------
    ExplGraphError
        If there is none.
    """
    times = Counter(call.name for call in trace.calls)
    found = [
        (call.last, -i, _spec(call, view))
        for i, call in enumerate(trace.calls)
        if call.name
        and times[call.name] == 1
        and _is_minable(call)
        and (view := _map_view(call)) is not None
    ]
    if not found:
        raise ExplGraphError(
            "this network has no spatial layers to mine: no module returns maps (B, C, H, W) with "
            f"overlapping receptive fields{_where_it_ended(trace)}. Transformers and networks of "
            "fully connected layers cannot be mined; give a convolutional network"
        )
    return tuple(spec for _, _, spec in sorted(found, key=lambda item: item[:2]))


def repeated_modules(trace: Trace) -> dict[str, int]:
    """Return how often each module is called that returns maps and is called more than once."""
    times = Counter(call.name for call in trace.calls if call.out is not None)
    return {name: count for name, count in times.items() if count > 1}


def automatic_layers(trace: Trace) -> tuple[str, ...]:
    """Choose up to four layers, lowest first, by one rule for every network.

    The network is a sequence of *units*. A unit is a convolution with the normalisation and
    activation behind it, or a block: a module inside which data flows along several ways (a Fire
    or Inception module, a residual block), and every module of the same type. Its layer is its last
    module; or, where that is a linear bottleneck (a narrow output that no activation follows), the
    wide rectified expansion inside, whose filters are the pattern detectors. The units that end in
    the last convolution stage are taken, from the last one back over two grid sizes, four in all,
    but only two from a grid of fewer than ten cells a side when the finer one has more to offer. A
    final 1x1 convolution whose maps are pooled to the network's output is a classifier, not a unit.

    Raises
    ------
    ExplGraphError
        If the network goes on with attention after its last map.
    """
    units = _units(trace)
    if len(units) > 1 and _is_classifier(units[-1], trace):
        units.pop()
    if not units:
        return (minable_layers(trace)[-1].name,)
    _refuse_transformer(trace, units[-1].call)
    calls = [_layer_of(unit, trace) for unit in units]
    grids = list(dict.fromkeys(call.shape[2:] for call in reversed(calls)))[:2]
    stages = [[call.name for call in calls if call.shape[2:] == grid] for grid in grids]
    last, finer = stages[0], stages[1] if len(stages) > 1 else []
    wanted = MOST_LAYERS
    if min(grids[0]) < COARSE_CELLS:
        wanted = max(MOST_LAYERS // 2, MOST_LAYERS - len(finer))
    chosen = last[-wanted:]
    room = MOST_LAYERS - len(chosen)
    return (*(finer[-room:] if room else []), *chosen)


class _Unit(NamedTuple):
    """A convolution or block with what belongs to it: its first value and its last module."""

    first: int
    call: Call


@dataclass(slots=True)
class _Draft:
    """A unit in the making: ``call`` is None while no module that can be mined has returned it."""

    start: Call
    view: View
    mixing: bool
    call: Call | None = None


def _map_view(call: Call) -> View | None:
    view = call.out.view if call.out is not None else None
    return view if view is not None and view.is_map else None


def _is_minable(call: Call) -> bool:
    view = _map_view(call)
    return (
        view is not None
        and view.mixed
        and view.y.size > view.y.stride
        and view.x.size > view.x.stride
    )


def _spec(call: Call, view: View) -> LayerSpec:
    return LayerSpec(
        name=call.name,
        channels=call.shape[1],
        grid=(call.shape[2], call.shape[3]),
        stride=(float(view.y.stride), float(view.x.stride)),
        offset=(view.y.centre, view.x.centre),
        field=(view.y.size, view.x.size),
        rectified=call.rectified,
        global_context=view.context,
    )


def _units(trace: Trace) -> list[_Unit]:
    """Cut the network into units, in order of computation."""
    times = Counter(call.name for call in trace.calls)
    drafts: list[_Draft] = []
    for call, is_tail in _pieces(trace):
        view = _map_view(call)
        if view is None or call.out is None:
            continue
        kinds = {} if is_tail else _learned_in(trace, call.first, call.last)
        if kinds:
            mixing = set(kinds.values()) != {"depthwise"}
            drafts.append(_Draft(call, view, mixing))
        elif not drafts or not _continues(drafts[-1], call, view, is_tail):
            continue
        if times[call.name] == 1 and _is_minable(call):
            drafts[-1].call, drafts[-1].view = call, view
    units: list[_Unit] = []
    for draft in drafts:
        if draft.call is not None and draft.mixing:
            after = units[-1].call.last if units else 0
            outermost = _outermost(draft.call, after, trace, times)
            units.append(_Unit(draft.start.first, outermost))
    return units


def _pieces(trace: Trace) -> Iterator[tuple[Call, bool]]:
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
        if i and (not inner or call.kind in blocks):
            yield call, False
            return
        for child in inner:
            yield from walk(child)
        if i and all(trace.calls[child].out is not call.out for child in inner):
            yield call, True

    return walk(0)


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


def _learned_in(trace: Trace, first: int, last: int) -> dict[int, str]:
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


def _layer_of(unit: _Unit, trace: Trace) -> Call:
    """Return the module that stands for a unit: its last, or a linear bottleneck's expansion."""
    last = unit.call
    if last.rectified:
        return last
    times = Counter(call.name for call in trace.calls)
    wider = [
        call
        for call in trace.calls
        if unit.first <= call.first
        and call.last <= last.last
        and call.rectified
        and times[call.name] == 1
        and _is_minable(call)
        and call.shape[2:] == last.shape[2:]
        and call.shape[1] > last.shape[1]
    ]
    return max(wider, key=lambda call: call.shape[1], default=last)


def _is_classifier(unit: _Unit, trace: Trace) -> bool:
    """Whether the unit is one 1x1 convolution whose pooled maps are the network's output."""
    behind = list(_learned_in(trace, unit.first, trace.calls[0].last).values())
    shape = trace.calls[0].shape
    pooled = len(shape) >= 2 and all(size == 1 for size in shape[2:])
    return behind == ["pointwise"] and pooled and shape[1] == unit.call.shape[1]


def _refuse_transformer(trace: Trace, last: Call) -> None:
    behind = sum(node >= last.last for node in trace.products)
    # One attention is two products; a convolutional network may pool with one.
    if behind > 2:
        raise ExplGraphError(
            f"this network goes on with attention after its last map, {last.name!r}: transformers "
            "have no spatial layers at the end to mine. Name layers to mine what comes before it, "
            "or give a convolutional network"
        )


def _where_it_ended(trace: Trace) -> str:
    if not trace.ended:
        return ""
    node, operation = trace.ended[0]
    inside = [call.name for call in trace.calls if call.first <= node < call.last]
    module = inside[-1] if inside and inside[-1] else "the network itself"
    return f" (the spatial path ends at the operation {operation!r} in {module})"
