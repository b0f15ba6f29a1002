"""Which layers of a network can be mined."""

from __future__ import annotations

from collections import Counter

from explgraph.base.errors import ExplGraphError
from explgraph.base.layer import LayerSpec

from .receptive import View
from .tracing import Call, Trace
from .units import is_minable, map_view


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
        and is_minable(call)
        and (view := map_view(call)) is not None
    ]
    if not found:
        raise ExplGraphError(
            "this network has no spatial layers to mine: no module returns maps (B, C, H, W) with "
            f"overlapping receptive fields{_where_it_ended(trace)}. {_advice(trace)}"
        )
    return tuple(spec for _, _, spec in sorted(found, key=lambda item: item[:2]))


def repeated_modules(trace: Trace) -> dict[str, int]:
    """Return how often each module is called that returns maps and is called more than once."""
    times = Counter(call.name for call in trace.calls if call.out is not None)
    return {name: count for name, count in times.items() if count > 1}


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


def _advice(trace: Trace) -> str:
    ended = trace.ended[0][0] if trace.ended else len(trace.values)
    if any(kind == "spatial" and node > ended for node, kind in trace.learned.items()):
        return (
            "Its convolutions come behind that: give the part of it that takes the image as it is, "
            "as the backbone of a detection model (model.backbone)"
        )
    return (
        "Transformers and networks of fully connected layers cannot be mined; give a convolutional "
        "network"
    )


def _where_it_ended(trace: Trace) -> str:
    if not trace.ended:
        return ""
    node, operation = trace.ended[0]
    inside = [call.name for call in trace.calls if call.first <= node < call.last]
    module = inside[-1] if inside and inside[-1] else "the network itself"
    return f" (the spatial path ends at the operation {operation!r} in {module})"
