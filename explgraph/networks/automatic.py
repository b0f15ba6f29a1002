"""Which layers of a network are mined when nobody says so."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from explgraph.base.errors import ExplGraphError

from .flow import Flow
from .layers import minable_layers
from .tracing import Trace
from .units import Unit, cut_into_units, layer_of, learned_in

MOST_LAYERS = 4
# A coarser grid than this locates parts badly: at most half of the layers come from it.
COARSE_CELLS = 10
_FEW_CELLS = 6  # a side of a grid that a small head may have, hardly the deepest stage of a network
_SMALL_SHARE = (4, 8)  # of the layers on the way, one in so many: where cells are few, and many


class Choice(NamedTuple):
    """The layers that are mined by default, lowest first, and why that may be wrong, "" if not."""

    layers: tuple[str, ...]
    doubt: str = ""


def automatic_layers(trace: Trace) -> Choice:
    """Choose up to four layers, lowest first, by one rule for every network.

    The network is a sequence of *units*. A unit is a convolution with the normalisation and
    activation behind it, or a block: a module inside which data flows along several ways (a Fire
    or Inception module, a residual block), and every module of the same type. Its layer is its last
    module; or, where that is a linear bottleneck (a narrow output that no activation follows), the
    wide rectified expansion inside, whose filters are the pattern detectors. The units on the way
    to the *deepest* one are taken, from that one back over two grid sizes, four in all, but only
    two from a grid of fewer than ten cells a side when the finer one has more to offer.

    The deepest unit of a classifier, whose maps are pooled where they are coarsest, is its last,
    save a final 1x1 convolution whose maps are pooled to the network's output: class scores. Of any
    other network it is the one with the most layers with weights before it, among those of the
    coarsest grid before maps become finer again (a U-Net's bottleneck, the backbone below a
    pyramid). Read-outs (see `layer_notes`) and small heads on top of maps that the network returns
    as well (those of an SSD) do not count.

    Raises
    ------
    ExplGraphError
        If the network goes on with attention after its last map.
    """
    flow = Flow(trace)
    units = cut_into_units(trace)
    others: tuple[str, ...] = ()
    upsamples = False
    if _classifies(units, trace, flow):
        if len(units) > 1 and _is_classifier(units[-1], trace):
            units.pop()
    else:
        units, upsamples, others = _deepest_way(trace, flow)
    if not units:
        return Choice((minable_layers(trace)[-1].name,))
    _refuse_transformer(trace, units[-1])
    chosen = _of_two_grids(units, trace)
    return Choice(chosen, _doubt(chosen, upsamples, others))


READ_OUT = "read-out"
UPSAMPLED = "upsampled"


def layer_notes(trace: Trace) -> dict[str, str]:
    """Return by name what speaks against mining a layer, of those where something does.

    `READ_OUT` says that it goes to the network's output without another activation, as class scores
    and the convolutions of a feature pyramid do: it is never chosen automatically. `UPSAMPLED` says
    that maps were made finer before it: what it knows of the whole was known before.
    """
    flow = Flow(trace)
    last = cut_into_units(trace)[-1:]
    scores = [unit for unit in cut_into_units(trace, flow) if _is_read_out(unit, flow)]
    scores += [unit for unit in last if _is_classifier(unit, trace)]
    made = {n for u in scores for n in learned_in(trace, u.first, u.call.last)}
    read_out = flow.behind(sorted(made))
    notes = {}
    for call in trace.calls:
        if call.out is not None and read_out[call.out.node]:
            notes[call.name] = READ_OUT
        elif call.out is not None and flow.upsampled[call.out.node]:
            notes[call.name] = UPSAMPLED
    return {spec.name: notes[spec.name] for spec in minable_layers(trace) if spec.name in notes}


def _classifies(units: Sequence[Unit], trace: Trace, flow: Flow) -> bool:
    """Whether the network's one output is no map, and its last unit's grid the coarsest of all."""
    shape = trace.calls[0].shape
    if not units or len(shape) < 2 or any(size > 1 for size in shape[2:]):
        return False
    return bool(flow.stride[units[-1].node] == flow.stride[list(trace.learned)].max())


def _is_classifier(unit: Unit, trace: Trace) -> bool:
    """Whether the unit is one 1x1 convolution whose pooled maps are the network's output.

    Class scores are not normalised: what is, is the last stage of a network without a head.
    """
    normalised = any("norm" in name for name in trace.operations[unit.first : unit.call.last])
    behind = list(learned_in(trace, unit.first, trace.calls[0].last).values())
    shape = trace.calls[0].shape
    pooled = len(shape) >= 2 and all(size == 1 for size in shape[2:])
    single = behind == ["pointwise"] and not normalised
    return single and pooled and shape[1] == unit.call.shape[1]


def _deepest_way(trace: Trace, flow: Flow) -> tuple[list[Unit], bool, tuple[str, ...]]:
    """Return the units on the way to the deepest one.

    Also whether the network makes maps finer after it, and the layers of units that are on no way
    to it: those behind the upsampling, or else those of other branches.
    """
    units = cut_into_units(trace, flow)
    if not units:
        return [], False, ()
    read_out = [unit for unit in units if _is_read_out(unit, flow)]
    rest = [u for u in units if u not in read_out and not flow.gates[u.node]] or units
    active = [unit for unit in rest if not _is_linear(unit, flow)] or rest
    down = [unit for unit in active if not flow.upsampled[unit.node]] or active
    deepest = _deepest(down, trace, flow)
    on_way = flow.before(deepest.node)
    way = [unit for unit in rest if on_way[unit.node] and not flow.upsampled[unit.node]]
    up = [unit for unit in active if flow.upsampled[unit.node]]
    aside = up or [unit for unit in active if not on_way[unit.node]]
    if len(trace.returned) > 1:
        aside = aside or read_out
    return way or [deepest], bool(up), tuple(layer_of(unit, trace).name for unit in aside)


def _deepest(units: Sequence[Unit], trace: Trace, flow: Flow) -> Unit:
    """Return the unit with the most layers before it, of the coarsest grid that is no small head's.

    Of equally deep ones it is the last.
    """
    strides = sorted({int(flow.stride[unit.node]) for unit in units}, reverse=True)
    for stride in strides:
        own = [unit for unit in units if flow.stride[unit.node] == stride]
        deepest = max(reversed(own), key=lambda unit: flow.depth[unit.node])
        if stride == strides[-1] or not _is_small_head(deepest, units, trace, flow):
            break
        # What only leads to the head belongs to it.
        beside = flow.returned_beside(stride)
        units = [unit for unit in units if beside[unit.node]] or units
    return deepest


def _is_small_head(unit: Unit, units: Sequence[Unit], trace: Trace, flow: Flow) -> bool:
    """Whether the stage that ends in a unit adds little to a network that was deep before it.

    The network also returns what comes before it, or makes more of that, and the stage looks at no
    neighbours (pyramid pooling), or is not wider and has few of the layers.
    """
    node = unit.node
    before, stride, depth = flow.before(node), flow.stride[node], int(flow.depth[node])
    own = {kind for n, kind in trace.learned.items() if before[n] and flow.stride[n] == stride}
    finer, blind = before & (flow.stride > 0) & (flow.stride < stride), own <= {"pointwise"}
    beside = (finer & flow.returned_beside(int(stride), upsampled=blind)).any()
    if blind or not beside:
        return bool(beside)
    widths: tuple[list[int], list[int]] = ([0], [0])
    for other in units:
        if before[other.node]:
            widths[int(flow.stride[other.node] == stride)].append(other.call.shape[1])
    share = _SMALL_SHARE[min(unit.call.shape[2:]) >= _FEW_CELLS]
    added = depth - int(flow.depth[finer].max())
    return max(widths[1]) <= max(widths[0]) and share * added < depth


def _is_linear(unit: Unit, flow: Flow) -> bool:
    """Whether a unit has no activation, and none follows before the next layer with weights."""
    inside = flow.activates[unit.first : unit.call.last].any()
    return not inside and not flow.activated[unit.node]


def _is_read_out(unit: Unit, flow: Flow) -> bool:
    """Whether a linear unit goes to the network's output without any activation."""
    return _is_linear(unit, flow) and not flow.active_ahead[unit.node]


def _of_two_grids(units: Sequence[Unit], trace: Trace) -> tuple[str, ...]:
    """Return the layers of the last units, from two grid sizes where there are two."""
    calls = [layer_of(unit, trace) for unit in units]
    grids = list(dict.fromkeys(call.shape[2:] for call in reversed(calls)))[:2]
    stages = [[call.name for call in calls if call.shape[2:] == grid] for grid in grids]
    last, finer = stages[0], stages[1] if len(stages) > 1 else []
    wanted = MOST_LAYERS
    if min(grids[0]) < COARSE_CELLS:
        wanted = max(MOST_LAYERS // 2, MOST_LAYERS - len(finer))
    chosen = last[-wanted:]
    room = MOST_LAYERS - len(chosen)
    return (*(finer[-room:] if room else []), *chosen)


def _doubt(chosen: Sequence[str], upsamples: bool, others: Sequence[str]) -> str:
    if not others:
        return ""
    why = (
        "the last ones before the network makes its maps finer again; what comes behind, as "
        if upsamples
        else "on the way to its deepest one; what lies on other branches, as "
    )
    return (
        f"of this network's layers {', '.join(chosen)} were chosen, {why}{others[-1]}, is not "
        "among them. Others can be named: layers=[...] in Python, --layers on the command line; "
        "`explgraph layers` lists all"
    )


def _refuse_transformer(trace: Trace, last: Unit) -> None:
    """Refuse what goes on with attention, unless maps become finer before it does."""
    end = min((node for node in trace.upsampled if node > last.node), default=None)
    behind = sum(node >= last.call.last and (end is None or node < end) for node in trace.products)
    # One attention is two products; a convolutional network may pool with one.
    if behind > 2:
        raise ExplGraphError(
            f"this network goes on with attention after its last map, {last.call.name!r}: "
            "transformers have no spatial layers at the end to mine. Name layers to mine what "
            "comes before it, or give a convolutional network"
        )
