"""Everything that may be saved: Hypothesis strategies for the structure of every format."""

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from aog import AndOrGraph, PartConfig, Parts
from aog.clicked import ClickedPhotos
from explgraph.base.layer import LayerSpec, look_layer
from explgraph.graphs.effects import EdgeEffects
from explgraph.graphs.graph import ExplanatoryGraph
from explgraph.graphs.groups import PartGroups
from explgraph.graphs.matches import Matches, Views
from explgraph.peaks.structures import Peaks, PeakSet
from explgraph.photos.annotations import Annotations
from explgraph.photos.masks import PartMasks
from explgraph.photos.part_places import ANSWERS, HERE, HIDDEN, RIGHT, PartPlaces

FAR = 1000.0

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
"""Names: any characters, none at all included."""
names = texts.map(str.strip).filter(bool)
"""Names that a table can hold: neither empty nor with blanks around."""


def several(elements, least=0, most=3):
    return st.lists(elements, min_size=least, max_size=most)


def floats(shape, low=-FAR, high=FAR, dtype=np.float32):
    width = np.dtype(dtype).itemsize * 8
    values = st.floats(low, high, width=width, allow_subnormal=False)
    return hnp.arrays(dtype, shape, elements=values)


def positive(shape):
    return floats(shape, 0, FAR)


def ints(shape, low, high):
    return hnp.arrays(np.int32, shape, elements=st.integers(low, high))


def maybe(strategy):
    return st.none() | strategy


@st.composite
def layer_specs(draw, name="low"):
    sides = st.tuples(st.integers(1, 4), st.integers(1, 4))
    steps = st.tuples(*[st.floats(0.5, 64, width=32)] * 2)
    return LayerSpec(
        name + draw(texts),
        draw(st.integers(1, 3)),
        draw(sides),
        draw(steps),
        draw(steps),
        draw(sides),
        draw(st.booleans()),
        draw(st.booleans()),
    )


layers = st.lists(layer_specs(), min_size=1, max_size=3).map(
    lambda specs: tuple(
        LayerSpec(f"{i}{s.name}", s.channels, s.grid, s.stride, s.offset, s.field)
        for i, s in enumerate(specs)
    )
)
input_sizes = st.tuples(st.integers(1, 512), st.integers(1, 512))


@st.composite
def headers(draw):
    said = {
        "model": draw(texts),
        "weight_hash": "0" * 64,
        "skipped": draw(several(texts)),
        "versions": draw(st.dictionaries(texts, texts, max_size=2)),
        "preprocess": {
            "input_size": list(draw(input_sizes)),
            "fit": "stretch",
            "mean": [0.5, 0.4, 0.3],
            "std": [0.1, 0.2, 0.3],
        },
    }
    kept = draw(st.sets(st.sampled_from(sorted(said))))
    return {name: said[name] for name in kept}


@st.composite
def channels(draw, specs, names=("channel_mean", "channel_scale")):
    low = {"channel_mean": -FAR, "channel_scale": 0.125, "noise": 0}
    high = {"noise": 1}
    return {
        name: tuple(draw(floats(spec.channels, low[name], high.get(name, FAR))) for spec in specs)
        for name in names
    }


@st.composite
def graphs(draw, most=5):
    specs = draw(layers)
    keys = st.integers(0, len(specs) - 1).flatmap(
        lambda i: st.tuples(st.just(i), st.integers(0, specs[i].channels - 1), st.integers(0, 2))
    )
    nodes = np.array(sorted(draw(st.sets(keys, max_size=most))), np.int32).reshape(-1, 3)
    p, q, d = len(nodes), draw(st.integers(0, 2)), draw(st.integers(0, 3))
    child, parent = _edges(draw, nodes[:, 0])
    e, g = len(child), draw(st.integers(0, 2))
    optional = {
        "edge_correlation": draw(maybe(floats(e, -1, 1))),
        "contrast": draw(maybe(floats(p))),
        "facing": draw(maybe(floats(draw(st.integers(0, 3))))),
        "photo_sureness": draw(maybe(positive(draw(st.integers(0, 3))))),
        "groups": draw(maybe(groups(p, g))),
        "effects": draw(maybe(effects(nodes[:, 0]))),
    }
    if len(specs) == 0:
        return None
    size = draw(input_sizes)
    if optional["groups"] is not None:
        object.__setattr__(optional["groups"], "input_size", size)
    return ExplanatoryGraph(
        layers=specs,
        input_size=size,
        **draw(channels(specs, ("channel_mean", "channel_scale", "noise"))),
        node_layer=nodes[:, 0],
        node_channel=nodes[:, 1],
        node_part=nodes[:, 2],
        mu=draw(floats((p, 2))),
        **{name: draw(positive(p)) for name in ("spread", "weight", "score")},
        support=draw(floats(p, 0, 1)),
        gain=draw(floats(p)),
        pose_weight=draw(floats((d, q))),
        pose_offset=draw(floats(q)),
        node_pose=draw(floats((p, 2, q))),
        edge_child=child,
        edge_parent=parent,
        edge_displacement=draw(floats((e, 2))),
        edge_spread=draw(positive(e)),
        names=draw(st.dictionaries(st.integers(0, p - 1), texts)) if p else {},
        header=draw(headers()),
        **optional,
    )


def _edges(draw, node_layer):
    """Some of the pairs of nodes in layers that follow each other, by child and parent."""
    pairs = [
        (a, b)
        for a in range(len(node_layer))
        for b in range(len(node_layer))
        if node_layer[b] == node_layer[a] + 1
    ]
    some = sorted(draw(st.sets(st.sampled_from(pairs)))) if pairs else []
    return np.array(some, np.int32).reshape(-1, 2).T


@st.composite
def groups(draw, p, g):
    return PartGroups(
        input_size=(1, 1),
        yx=draw(floats((g, 2))),
        node_group=draw(ints(p, -1, g - 1)),
        node_offset=draw(floats((p, 2))),
        node_gain=draw(floats(p)),
        spread=draw(positive(g)),
        sureness=draw(floats(g, 0, 1)),
        gain=draw(floats(g)),
        names=tuple(draw(st.lists(texts, min_size=g, max_size=g))),
    )


@st.composite
def effects(draw, node_layer):
    pairs = np.array(_edges(draw, node_layer)).T
    pairs = pairs[np.argsort(pairs[:, 1], kind="stable")]
    m = len(pairs)
    return EdgeEffects(pairs[:, 0], pairs[:, 1], draw(floats(m, -1, 1)), draw(ints(m, 0, 99)))


def frames(n):
    """Of photos that the network sees a part of."""
    return hnp.arrays(np.float64, (n, 2, 2), elements=st.floats(0.0078125, 1, width=32))


@st.composite
def views(draw, n, p):
    spec, v = draw(layer_specs()), draw(st.integers(1, 2))
    return Views(
        layer=spec,
        input_size=draw(input_sizes),
        frames=draw(frames(n)),
        yx=draw(floats((n, v, p, 2))),
        score=draw(positive((n, v, p))),
        gain=draw(floats((n, v), dtype=np.float64)),
        maps=draw(floats((n, v, *spec.grid, spec.channels), 0, 8, np.float16)),
    )


@st.composite
def matches(draw):
    images = draw(several(texts))
    n, p = len(images), draw(st.integers(0, 3))
    return Matches(
        images=tuple(images),
        yx=draw(floats((n, p, 2))),
        score=draw(positive((n, p))),
        log_density=draw(floats((n, p))),
        peak=draw(ints((n, p), -1, 4)),
        mirrored=draw(ints(n, 0, 1)),
        node_layer=draw(ints(p, 0, 3)),
        header=draw(headers()),
        photo_size=draw(maybe(ints((n, 2), 1, 4000))),
        frames=draw(maybe(frames(n))),
        views=draw(maybe(views(n, p))),
        peak_yx=draw(maybe(floats((n, p, 2)))),
        facing=draw(hnp.arrays(np.float64, n, elements=st.floats(allow_nan=False, width=32))),
    )


@st.composite
def layer_peaks(draw, spec, n, k):
    # Strongest first; of no peak, no place.
    weight = -np.sort(-draw(positive((n, spec.channels, k))), axis=2)
    yx = np.where(weight[..., None] > 0, draw(floats((*weight.shape, 2))), 0)
    return Peaks(spec, yx, weight)


@st.composite
def peak_sets(draw, *, maps=True):
    specs, images = draw(layers), draw(several(texts))
    n, k, mirrored = len(images), draw(st.integers(1, 3)), draw(st.booleans())
    look = specs[look_layer(specs)]
    shape = (n, 1 + mirrored, *look.grid, look.channels)
    return PeakSet(
        images=tuple(images),
        frames=draw(frames(n)),
        input_size=draw(input_sizes),
        peaks=tuple(draw(layer_peaks(spec, n, k)) for spec in specs),
        mirrored=tuple(draw(layer_peaks(spec, n, k)) for spec in specs) if mirrored else None,
        **draw(channels(specs)),
        header=draw(headers()),
        maps=draw(maybe(floats(shape, 0, 8, np.float16))) if maps else None,
        photo_size=draw(maybe(ints((n, 2), 1, 4000))) if maps else draw(ints((n, 2), 1, 4000)),
    )


@st.composite
def and_or_graphs(draw, part, p, c, s):
    counts = draw(several(st.integers(0, 2 if p else 0), least=1))
    t, q = len(counts), sum(counts)
    clicked = draw(maybe(several(texts)))
    return AndOrGraph(
        part=part,
        clicks=draw(floats(t, 0.125, 9)),
        centre=draw(floats((t, 2))),
        size=draw(floats((t, 2), 1, FAR) | st.just(np.full((t, 2), np.nan, np.float32))),
        look=draw(floats((t, 9, c), -1, 1)),
        scene=draw(floats((t, s), -1, 1, np.float16)),
        start=np.r_[0, np.cumsum(counts)],
        node=draw(ints(q, 0, p - 1)) if q else np.zeros(0, np.int32),
        group=draw(ints(q, 0, 3)),
        displacement=draw(floats((q, 2))),
        spread=draw(floats(q, 0.125, FAR)),
        weight=draw(floats(q, 0, 1)),
        scale=draw(positive(q)),
        visible_from=draw(st.floats(-FAR, FAR) | st.just(-np.inf)),
        trait=draw(floats(c, -1, 1)),
        trait_share=draw(st.floats(0, 1)),
        clicked=None if clicked is None else draw(clicked_photos(clicked)),
    )


@st.composite
def clicked_photos(draw, images):
    a = len(images)
    return ClickedPhotos(
        images=tuple(images),
        mirrored=draw(ints(a, 0, 1)),
        view_probability=draw(floats(a, 0, 1)),
        turned=draw(ints(a, 0, 1)),
        distance=draw(positive(a)),
        elsewhere=draw(floats(a, 0, 1)),
    )


@st.composite
def parts(draw):
    graph = draw(graphs(most=3))
    c, s = draw(st.integers(0, 2)), draw(st.integers(0, 3))
    named = draw(st.lists(texts, min_size=1, max_size=2, unique=True))
    aogs = tuple(draw(and_or_graphs(name, len(graph), c, s)) for name in named)
    return Parts(graph, aogs, draw(floats(c)), PartConfig(), draw(headers()))


@st.composite
def annotations(draw, names=names, *, unique=False):
    images = draw(several(names, least=1))
    a = len(images)
    sizes = hnp.arrays(np.float64, (a, 2), elements=st.floats(0, 1e9) | st.just(np.nan))
    return Annotations(
        image=tuple(images),
        part=tuple(draw(st.lists(names, min_size=a, max_size=a))),
        yx=draw(hnp.arrays(np.float64, (a, 2), elements=st.floats(-1e9, 1e9))),
        size=draw(sizes),
        group=tuple(draw(st.lists(names, min_size=a, max_size=a))),
    )


@st.composite
def places(draw):
    """Where parts are, as people said and as was predicted."""
    images = draw(several(names, least=1))
    m = len(images)
    said = draw(st.lists(st.sampled_from(ANSWERS), min_size=m, max_size=m))
    hidden = np.array([answer == HIDDEN for answer in said])
    share = st.floats(0, 1)
    visible = draw(hnp.arrays(bool, m)) | np.array([answer in (HERE, RIGHT) for answer in said])
    return PartPlaces(
        images=tuple(images),
        parts=tuple(draw(st.lists(names, min_size=m, max_size=m))),
        yx=np.where(hidden[:, None], np.nan, draw(hnp.arrays(float, (m, 2), elements=share))),
        size=np.where(draw(hnp.arrays(bool, (m, 1))), np.nan, draw(floats((m, 2), 0, 1))),
        answers=tuple(said),
        confidence=draw(hnp.arrays(float, m, elements=share)),
        visible=visible & ~hidden,
    )


@st.composite
def part_masks(draw):
    named = draw(several(texts, least=1))
    shape = draw(st.tuples(st.integers(1, 5), st.integers(1, 5)))
    labels = hnp.arrays(np.int16, shape, elements=st.integers(-1, len(named) - 1))
    return PartMasks(("a.jpg", "b/c.png"), tuple(named), (draw(labels), draw(labels)))


@st.composite
def split_files(draw):
    """Category, part, number of clicks, seed, names of images."""

    def images(k):
        return st.lists(texts, min_size=k, max_size=k, unique=True)

    counts = {
        k: st.dictionaries(st.integers(0, 99), images(k), min_size=1, max_size=2) for k in (1, 2)
    }
    of_part = st.fixed_dictionaries({1: counts[1]}, optional={2: counts[2]})
    of_category = st.dictionaries(texts, of_part, min_size=1, max_size=2)
    return draw(st.dictionaries(texts, of_category, min_size=1, max_size=2))


arrays = st.dictionaries(
    st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), min_size=1, max_size=8),
    hnp.arrays(
        st.sampled_from(
            [np.float16, np.float32, np.float64, np.int8, np.int32, np.int64, np.uint8]
        ),
        hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=3),
    ),
    max_size=3,
)
pixels = hnp.arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(3)))
