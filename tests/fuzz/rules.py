"""What may be accepted at all, said without the readers: each rule raises AssertionError."""

import numpy as np
from PIL import Image

FAR = 1e9
HUGE = 1e12
"""Beyond, what is computed of a value overflows."""


def text(*values):
    for value in values:
        assert type(value) is str, f"{value!r} is no text"
        value.encode()  # no halves of characters


def finite(*arrays):
    for array in arrays:
        assert array is None or np.isfinite(array).all(), "values are not finite"
        within(-HUGE, HUGE, array)


def within(low, high, *arrays):
    for array in arrays:
        if array is not None and np.size(array):
            assert low <= np.min(array) and np.max(array) <= high, f"values outside {low}..{high}"


def shape(array, *sides):
    assert array is None or np.shape(array) == sides, f"{np.shape(array)}, not {sides}"


def input_size(size):
    assert len(size) == 2
    assert all(type(side) is int and 0 < side <= 2**20 for side in size), f"input size {size!r}"


def layers(specs):
    assert len(specs) > 0
    text(*(spec.name for spec in specs))
    for spec in specs:
        assert type(spec.channels) is int and spec.channels > 0
        for pair in (spec.grid, spec.field):
            assert len(pair) == 2 and all(type(side) is int and side > 0 for side in pair)
        for pair in (spec.stride, spec.offset):
            assert len(pair) == 2 and np.isfinite(pair).all()
        assert min(spec.stride) > 0
        assert type(spec.rectified) is bool


def header(said):
    for name in ("model", "weight_hash", "graph_hash", "precision"):
        if said.get(name) is not None:
            text(said[name])
    told = said.get("preprocess")
    if told is not None:
        input_size(told["input_size"])
        for name in ("mean", "std"):
            values = told.get(name)
            assert values is None or (len(values) in (1, 3) and np.isfinite(values).all())


def graph(found):
    p, e = len(found), len(found.edge_child)
    layers(found.layers)
    input_size(found.input_size)
    header(found.header)
    for per_layer in (found.channel_mean, found.channel_scale, found.noise):
        finite(*per_layer)
        assert [len(one) for one in per_layer] == [spec.channels for spec in found.layers]
    assert all((one > 0).all() for one in found.channel_scale)
    finite(
        found.mu, found.spread, found.weight, found.score, found.support, found.gain,
        found.pose_weight, found.pose_offset, found.node_pose, found.edge_displacement,
        found.edge_spread, found.edge_correlation, found.contrast, found.facing,
        found.photo_sureness,
    )  # fmt: skip
    within(0, np.inf, found.spread, found.weight, found.score, found.edge_spread, found.node_part)
    within(0, 1.001, found.support)
    within(-1.001, 1.001, found.edge_correlation)
    within(0, p - 1, found.edge_child, found.edge_parent)
    within(0, len(found.layers) - 1, found.node_layer)
    channels = np.array([spec.channels for spec in found.layers])
    assert (found.node_channel >= 0).all()
    assert (found.node_channel < channels[found.node_layer]).all()
    assert (found.node_layer[found.edge_parent] == found.node_layer[found.edge_child] + 1).all()
    shape(found.edge_displacement, e, 2)
    shape(found.node_pose, p, 2, len(found.pose_offset))
    for node, name in found.names.items():
        assert type(node) is int and 0 <= node < p
        text(name)
    if found.groups is not None:
        groups(found.groups, p)
    if found.effects is not None:
        within(0, p - 1, found.effects.child, found.effects.parent)
        within(0, 2**31, found.effects.photos)
        finite(found.effects.effect)


def groups(found, p):
    g = len(found.yx)
    shape(found.node_group, p)
    within(-1, g - 1, found.node_group)
    finite(found.yx, found.node_offset, found.node_gain, found.spread, found.sureness, found.gain)
    within(0, np.inf, found.spread)
    within(0, 1.001, found.sureness)
    text(*found.names)


def frames(found):
    finite(found)


def matches(found):
    n, p = found.score.shape
    assert len(found.images) == n and len(found.node_layer) == p
    text(*found.images)
    header(found.header)
    finite(found.yx, found.score, found.log_density, found.peak_yx, found.frames)
    within(0, np.inf, found.score, found.node_layer, found.photo_size)
    within(-1, 127, found.peak)
    within(0, 1, found.mirrored)
    assert found.facing is None or not np.isnan(found.facing).any()
    if found.views is not None:
        layers([found.views.layer])
        input_size(found.views.input_size)
        finite(found.views.frames, found.views.yx, found.views.score, found.views.gain)
        finite(found.views.maps.astype(np.float32))
        within(0, np.inf, found.views.score)
        assert found.views.score.shape == (n, found.views.gain.shape[1], p)


def peaks(found):
    n = len(found)
    text(*found.images)
    layers(found.layers)
    input_size(found.input_size)
    header(found.header)
    finite(found.frames, *found.channel_mean, *found.channel_scale)
    shape(found.frames, n, 2, 2)
    within(0, np.inf, found.photo_size)
    assert all((one > 0).all() for one in found.channel_scale)
    for one in (*found.peaks, *(found.mirrored or ())):
        finite(one.yx, one.weight)
        within(0, np.inf, one.weight)
        assert one.weight.shape[0] == n
    if found.maps is not None:
        finite(found.maps.astype(np.float32))


def parts(found):
    graph(found.graph)
    header(found.header)
    finite(found.look_mean)
    assert len(found.aogs) > 0
    for one in found.aogs:
        text(one.part)
        t, q = len(one.clicks), len(one.node)
        finite(one.clicks, one.centre, one.look, one.scene.astype(np.float32), one.displacement)
        finite(one.spread, one.weight, one.scale, one.trait)
        within(0, len(found.graph) - 1, one.node)
        within(0, np.inf, one.weight, one.scale)
        assert (one.spread > 0).all() and (one.clicks > 0).all()
        assert not np.isnan(one.visible_from) and one.visible_from < np.inf
        assert one.start[0] == 0 and one.start[-1] == q and (np.diff(one.start) >= 0).all()
        assert len(one.start) == t + 1
        assert 0 <= one.trait_share <= 1
        assert not (one.size < 0).any()
        if one.clicked is not None:
            text(*one.clicked.images)
            within(0, 1.001, one.clicked.view_probability)


def channels(found):
    for rows in found.values():
        finite(*rows)
        assert all(row.ndim == 1 for row in rows), "one number for each channel"
    assert all((row > 0).all() for row in found["channel_scale"])


def annotations(found):
    text(*found.image, *found.part, *found.group)
    assert all(found.image) and all(found.part) and all(found.group)
    finite(found.yx)
    within(-FAR, FAR, found.yx)
    known = found.size[~np.isnan(found.size)]
    within(0, FAR, known)


def boxes(found):
    for image, held in found.items():
        text(image)
        assert image and held
        for box in held:
            edges = (box.y0, box.x0, box.y1, box.x1)
            assert np.isfinite(edges).all() and max(map(abs, edges)) <= 3 * FAR
            assert box.y0 < box.y1 and box.x0 < box.x1, f"{box} is empty"


def masks(found):
    text(*found.parts)
    assert 0 < len(found.parts) < 256
    for labels in found.labels:
        within(-1, len(found.parts) - 1, labels)


def splits(found):
    for parts in found.values():
        for counts in parts.values():
            for clicks, seeds in counts.items():
                assert type(clicks) is int and clicks > 0
                for seed, names in seeds.items():
                    assert type(seed) is int and len(set(names)) == clicks == len(names)
                    text(*names)
    text(*found, *(part for parts in found.values() for part in parts))


def weights(found):
    assert found
    text(*found)
    assert all(hasattr(tensor, "detach") for tensor in found.values())


def picture(found):
    assert isinstance(found.image, Image.Image)
    assert found.image.mode == "RGB" and min(found.image.size) > 0
    assert found.photo_size == found.image.size[::-1]
    finite(found.frame)


def archive(found):
    names, photos = found
    text(*names)
    assert len(set(names)) == len(names) == len(photos) > 0
    for name in names:
        assert name and not name.startswith("/") and ".." not in name.split("/")
    for photo in photos:
        picture(photo)


def anything(found):
    assert found is not None
