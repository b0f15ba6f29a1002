"""Every rule of every kind of file: one planted defect each, refused by a line that names it."""

import dataclasses
import json
import warnings

import numpy as np
import pytest
from safetensors import safe_open

from aog.fitting import fit_parts
from aog.structures import Parts
from explgraph.base.errors import ExplGraphError
from explgraph.graphs.effects import EdgeEffects
from explgraph.graphs.graph import ExplanatoryGraph
from explgraph.graphs.matches import Matches
from explgraph.peaks.structures import PeakSet
from tests.support.damage import contents, cut, put, rewrite
from tests.support.plain import plain_groups, plain_marks
from tests.support.planted import planted_graph
from tests.support.planted_parts import planted_world
from tests.support.planted_peaks import planted_peaks

LOADERS = {"graph": ExplanatoryGraph, "matches": Matches, "parts": Parts, "peaks": PeakSet}


@pytest.fixture(scope="module")
def known():
    """One of each kind, with all that files of it may hold."""
    graph = planted_graph().rename({3: "ear"})
    effects = EdgeEffects([0, 1], [30, 31], [0.5, -0.25], [3, 4])
    known = {name: np.full(5, 0.5) for name in ("facing", "photo_sureness")}
    graph = dataclasses.replace(
        graph, contrast=graph.gain, header={**graph.header, "n_images": 5}, **known
    ).having(groups=plain_groups(graph, np.arange(72) % 3 - 1), effects=effects)
    world = planted_world()
    found = dataclasses.replace(
        world.found,
        photo_size=np.full((len(world.found), 2), 100),
        peak_yx=world.found.yx,
        frames=world.found.views.frames,
        facing=np.linspace(-3, 3, len(world.found)),
    )
    marks = plain_marks(found.images[:3], "head", world.centre[:3] * 100)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of clicks that disagree
        parts = fit_parts(world.graph, found, marks)
    peaks = planted_peaks(n_images=4, channels=3).peaks
    maps = np.ones((4, 2, 16, 16, 3), np.float16)
    peaks = dataclasses.replace(peaks, maps=maps, photo_size=np.full((4, 2), 9))
    return {"graph": graph, "matches": found, "parts": parts, "peaks": peaks}


def nan(array):
    return put(0, np.nan)(array)


def negative(array):
    return put(-1, -1)(array)


def large(array):
    return put(-1, 100)(array)


def within(*keys, value):
    """Change one entry deep in a JSON value."""

    def change(held):
        copy = json.loads(json.dumps(held))
        inner = copy
        for key in keys[:-1]:
            inner = inner[key]
        inner[keys[-1]] = value
        return copy

    return change


def becomes(value):
    return lambda _: value


HEADERS = {
    "graph": [
        ("names", becomes({"0": 5}), r"Expected `str`, got `int` - at `\$\.names"),
        ("names", becomes({"1_0": "ear"}), r"Expected `int`, got `str` - at `key` in `\$\.names"),
        ("names", becomes({"72": "ear"}), "do not exist"),
        ("layers", within(0, "name", value=5), r"Expected `str`, got `int` - at `\$\.layers"),
        ("layers", within(0, "stride", value="x"), r"at `\$\.layers\[0\]\.stride"),
        ("layers", within(0, "stride", 0, value=0), "Expected `float` >= 1e-06"),
        ("layers", within(0, "grid", value=7), r"Expected `array`, got `int` - at"),
        ("layers", within(0, "grid", 0, value=10**6), "Expected `int` <= 16384"),
        ("layers", within(0, "channels", value=9), r"channel_mean\.0 must have shape \(9\)"),
        ("layers", becomes([]), "Expected `array` of length >= 1"),
        ("input_size", becomes([10**12, 9]), "Expected `int` <= 16384"),
        ("input_size", becomes([224, 0]), "Expected `int` >= 1"),
        ("group_names", becomes(["a", 5]), "Expected `str`, got `int`"),
        ("group_names", becomes(["a"]), r"groups\.yx must have shape \(1, 2\), got \(2, 2\)"),
        ("group_names", None, "must be there together"),
        ("config", becomes([1]), r"Expected `object`, got `array` - at `\$\.config`"),
        ("config", becomes({"pull": "x"}), r"Expected `int \| float`, got `str` - at"),
        ("preprocess", becomes("no"), r"Expected `object \| null`, got `str`"),
        ("preprocess", becomes({"input_size": [10**6] * 2}), "Expected `int` <= 16384"),
        (
            "preprocess",
            becomes({"input_size": [9, 9], "mean": [0.5]}),
            "`mean` and `std` have three values each, or one",
        ),
        (
            "preprocess",
            becomes({"input_size": [9, 9], "mean": [0.5], "std": [0]}),
            "Expected `float` > 0.0",
        ),
        ("model", becomes(5), r"Expected `str \| null`, got `int` - at `\$\.model`"),
        ("n_images", becomes(4), r"photo_sureness must have shape \(4\), got \(5,\)"),
        ("n_images", becomes(-1), "Expected `int` >= 0"),
        ("seed", becomes("0"), r"Expected `int \| null`, got `str`"),
        ("skipped", becomes([1]), "Expected `str`, got `int`"),
        ("versions", becomes({"numpy": 2}), "Expected `str`, got `int`"),
    ],
    "matches": [
        ("images", becomes([1] * 12), "Expected `str`, got `int`"),
        ("images", lambda images: images[1:], r"must have shape \(11, "),
        ("images", None, "missing required field `images`"),
        ("views", within("layer", "channels", value=7), r"views\.maps must have shape"),
        ("views", within("input_size", value=[1]), "Expected `array` of length 2"),
        ("views", None, r"there is no array .*views\."),
        ("graph_hash", becomes([]), r"Expected `str \| null`, got `array`"),
    ],
    "parts": [
        ("parts", becomes([]), "Expected `array` of length >= 1"),
        ("parts", within(0, "part", value=5), r"Expected `str`, got `int` - at `\$\.parts"),
        ("parts", within(0, "visible_from", value="x"), r"Expected `float \| null`, got `str`"),
        ("parts", within(0, "trait_share", value=2), "Expected `float` <= 1.0"),
        ("parts", within(0, "clicked", 0, value=1), "Expected `str`, got `int`"),
        ("parts", within(0, "clicked", value=["a"]), r"clicked\.\w+ must have shape \(1\)"),
        ("config", within("reach", value="x"), r"Expected `int \| float`, got `str`"),
        ("config", within("n_patterns", value=1.5), "Expected `int`, got `float`"),
        ("config", within("reach", value=0), "reach must be positive"),
        ("graph", within("layers", 0, "field", value="x"), r"at `\$\.graph\.layers\[0\]\.field`"),
    ],
    "peaks": [
        ("images", becomes(5), "Expected `array`, got `int`"),
        ("images", lambda images: images[1:], r"must have shape \(3, "),
        ("layers", within(0, "offset", 0, value="x"), "Expected `float`, got `str`"),
        ("input_size", becomes([9]), "Expected `array` of length 2"),
    ],
}

RULES = {
    "graph": {
        nan: "mu spread weight score support gain pose_weight pose_offset node_pose contrast "
        "facing edge_displacement edge_spread edge_correlation photo_sureness channel_mean.1 "
        "channel_scale.2 noise.0 groups.yx groups.node_offset groups.node_gain groups.spread "
        "groups.sureness groups.gain effects.effect",
        negative: "node_layer node_channel node_part spread weight score support edge_child "
        "edge_parent edge_spread photo_sureness channel_scale.0 noise.1 groups.spread "
        "groups.sureness effects.child effects.photos",
        large: "node_layer support edge_child edge_parent edge_correlation noise.2 "
        "groups.node_group groups.sureness effects.child effects.parent",
    },
    "matches": {
        nan: "yx score log_density frames peak_yx facing views.yx views.score views.gain "
        "views.maps views.frames",
        negative: "score node_layer photo_size frames views.score views.frames",
        large: "mirrored",
        put(0, -128): "peak",
    },
    "parts": {
        nan: "part.0.clicks part.0.centre part.0.look part.0.scene part.0.displacement "
        "part.0.spread part.0.weight part.0.scale part.0.trait part.0.clicked.view_probability "
        "graph.mu graph.channel_scale.0",
        negative: "part.0.clicks part.0.size part.0.node part.0.group part.0.spread part.0.weight "
        "part.0.scale part.0.clicked.view_probability graph.spread",
        large: "part.0.node part.0.clicked.mirrored part.0.clicked.turned part.0.start "
        "part.0.clicked.elsewhere",
        put(0, np.inf): "part.0.size part.0.clicked.distance look_mean",
    },
    "peaks": {
        nan: "frames peaks.0.yx peaks.1.weight mirrored.0.weight maps channel_mean.0",
        negative: "peaks.0.weight mirrored.1.weight photo_size frames channel_scale.0",
        put(0, np.inf): "peaks.0.weight maps frames",
    },
}


def told(kind, entry):
    """What a message calls an array: its name in the file, or the object's attribute."""
    return entry.split(".")[-2 if entry[-1].isdigit() else -1]


PLANTED = [
    *(
        (kind, entry, change, wrong)
        for kind, rows in HEADERS.items()
        for entry, change, wrong in rows
    ),
    *(
        (kind, entry, change, told(kind, entry))
        for kind, rules in RULES.items()
        for change, entries in rules.items()
        for entry in entries.split()
    ),
]


@pytest.mark.parametrize(("kind", "entry", "change", "message"), PLANTED)
def test_file__with_a_defect_is_refused(known, tmp_path, kind, entry, change, message):
    path = tmp_path / "planted.safetensors"
    known[kind].save(path)
    rewrite(path, kind, entry, change)
    with pytest.raises(ExplGraphError, match=rf"planted\.safetensors.*{message}"):
        LOADERS[kind].load(path)


@pytest.mark.parametrize("kind", LOADERS)
def test_file__with_any_array_cut_off_of_another_type_or_missing_is_refused(known, tmp_path, kind):
    path = tmp_path / "planted.safetensors"
    known[kind].save(path)
    names = contents(path)[0]
    alone = {"contrast", "facing", "photo_sureness", "edge_correlation", "photo_size", "peak_yx"}
    alone |= {"frames"} if kind == "matches" else {"maps"}
    for name, array in names.items():
        other = np.int32 if array.dtype == np.float64 else np.float64
        changes = [lambda a, other=other: a.astype(other), cut, lambda a: a[None]]
        if name.split(".")[-1] not in {*alone, "trait"}:
            changes.append(None)
        for change in changes:
            known[kind].save(path)
            rewrite(path, kind, name, change)
            free = ("facing", "pose_weight") if kind == "graph" else ()  # of a length of their own
            if change is cut and (name in free or not len(array)):
                continue
            with pytest.raises(ExplGraphError, match=r"planted\.safetensors"):
                LOADERS[kind].load(path)


@pytest.mark.parametrize("kind", LOADERS)
def test_file__with_an_array_of_its_own_is_refused(known, tmp_path, kind):
    path = tmp_path / "planted.safetensors"
    known[kind].save(path)
    rewrite(path, kind, "extra", lambda _: np.zeros(3))
    with pytest.raises(ExplGraphError, match=r"planted.*there is no array \['extra'\]"):
        LOADERS[kind].load(path)


@pytest.mark.parametrize("kind", LOADERS)
def test_file__round_and_with_entries_of_the_future(known, tmp_path, kind):
    """What a later version may add to a header stays in it."""
    first, second = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    known[kind].save(first)
    LOADERS[kind].load(first).save(second)
    assert first.read_bytes() == second.read_bytes()
    rewrite(first, kind, "of_the_future", lambda _: {"a": [1, None]})
    again = LOADERS[kind].load(first)
    assert again.header["of_the_future"] == {"a": [1, None]}
    assert not {"digest", "kind", "schema"} & set(again.header)


@pytest.mark.parametrize("kind", LOADERS)
def test_file__with_any_bit_flipped_is_another_or_refused(known, tmp_path, kind, rng):
    path = tmp_path / "a.safetensors"
    known[kind].save(path)
    whole = bytearray(path.read_bytes())
    start = 8 + int.from_bytes(whole[:8], "little")
    for place in rng.integers(start, len(whole), 60):
        damaged = whole.copy()
        damaged[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        with pytest.raises(ExplGraphError, match="not what was written"):
            LOADERS[kind].load(path)


def test_file__of_an_earlier_version_has_no_digest(known, tmp_path):
    """Nor some arrays, and some others: all is as it was then."""
    from tests.support.older import as_before

    path = tmp_path / "a.safetensors"
    for kind, one in known.items():
        one.save(path)
        as_before(path, kind)
        with safe_open(path, framework="numpy") as file:
            assert "digest" not in json.loads(file.metadata()["explgraph"])
        again = LOADERS[kind].load(path)
        if kind == "parts":
            assert again.aogs[0].visible_from == -np.inf
            assert again.aogs[0].clicked is None
        again.save(path)
        LOADERS[kind].load(path)
