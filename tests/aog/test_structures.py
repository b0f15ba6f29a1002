"""And-Or graphs, parts and answers as data: shapes checked, arrays frozen, files round."""

import dataclasses
import json
import math

import numpy as np
import pytest

from aog import AndOrGraph, Localizations, PartConfig, Parts
from explgraph.base.errors import ExplGraphError
from tests.support.damage import cut, put, rewrite
from tests.support.planted_parts import planted_graph

ARRAYS = (
    *("clicks", "centre", "size", "look", "scene", "start"),
    *("node", "group", "displacement", "spread", "weight", "scale"),
)


def and_or_graph(part="head", templates=2, channels=3, **changes):
    """Templates of two patterns, the last of three."""
    count, rng = 2 * templates + 1, np.random.default_rng(templates)
    fields = {
        "clicks": np.arange(templates) + 1,
        "centre": rng.uniform(0, 99, (templates, 2)),
        "size": np.where(np.arange(templates)[:, None] > 0, np.nan, rng.uniform(9, 20, (1, 2))),
        "look": rng.normal(0, 1, (templates, 9, channels)),
        "scene": rng.normal(0, 1, (templates, 5 * channels)),
        "start": np.r_[2 * np.arange(templates), count],
        "node": rng.integers(0, 6, count),
        "group": np.zeros(count),
        "displacement": rng.normal(0, 9, (count, 2)),
        "spread": rng.uniform(5, 9, count),
        "weight": rng.uniform(0, 1, count),
        "scale": rng.uniform(1, 2, count),
        "trait": rng.normal(0, 1, channels),
        "trait_share": 0.5,
        "visible_from": 0.25,
    }
    return AndOrGraph(part=part, **{**fields, **changes})


@pytest.fixture(scope="module")
def graph():
    return planted_graph(np.random.default_rng(3).uniform(20, 90, (6, 2)), {"seed": 4})


@pytest.fixture
def parts(graph):
    config = PartConfig(n_patterns=7, vote=1.5)
    header = {"graph_hash": "h", "model": "m", "weight_hash": None}
    both = (and_or_graph("head"), and_or_graph("tail", templates=1))
    return Parts(graph, both, np.array([0.5, 0.25, 0.125]), config, header)


# -- And-Or graphs ---------------------------------------------------------------------------------


def test_and_or_graph__counts_templates_and_names_each_patterns_own():
    aog = and_or_graph()
    assert len(aog) == 2
    assert aog.template.tolist() == [0, 0, 1, 1, 1]
    empty = and_or_graph(start=np.array([0, 0, 5]))
    assert empty.template.tolist() == [1] * 5


def test_and_or_graph__kinds_of_numbers_are_the_contracts_and_frozen():
    aog = and_or_graph()
    kinds = {name: getattr(aog, name).dtype.name for name in ARRAYS}
    integers = dict.fromkeys(("node", "group"), "int32")
    assert kinds == {
        **dict.fromkeys(ARRAYS, "float32"),
        **integers,
        "start": "int64",
        "scene": "float16",
    }
    for name in ARRAYS:
        assert not getattr(aog, name).flags.writeable


def test_and_or_graph__leaves_the_callers_array_writable():
    weight = np.ones(5, dtype=np.float32)
    and_or_graph(weight=weight)
    weight[0] = 2


FLOATS = ("clicks", "centre", "look", "displacement", "spread", "weight", "scale")
SHAPED = [name for name in ARRAYS if name not in ("start", "node")]


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("node", put(2, -1), "part 'head'.node must be at least 0"),
        ("start", lambda _: np.array([0]), "part 'head' needs at least one template"),
        ("start", put(2, 4), "must be rising from 0 to 5, got"),
        ("start", put(0, 1), "must be rising from 0 to 5, got"),
        ("start", put(1, 6), "must be rising from 0 to 5, got"),
        ("start", put(2, 6), "must be rising from 0 to 5, got"),
        *((n, cut, rf"part 'head'\.{n} must have shape") for n in SHAPED),
        *((n, put(1, np.nan), rf"part 'head'\.{n} must be finite, but 1 of") for n in FLOATS),
        *((n, put(1, np.inf), rf"part 'head'\.{n} must be finite, but 1 of") for n in FLOATS),
    ],
)
def test_and_or_graph__of_what_does_not_fit_is_refused(name, change, message):
    with pytest.raises(ExplGraphError, match=message):
        and_or_graph(**{name: change(getattr(and_or_graph(), name))})


# -- parts -----------------------------------------------------------------------------------------


def test_parts__are_found_by_name(parts):
    assert len(parts) == 2
    assert parts.names == ("head", "tail")
    assert parts["tail"] is parts[1] is parts.aogs[1]
    assert list(parts) == list(parts.aogs)
    with pytest.raises(ExplGraphError, match="unknown part 'tails'; the nearest are tail"):
        parts["tails"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"aogs": ()}, "Parts needs at least one part"),
        ({"aogs": (and_or_graph(),) * 2}, r"different names, got \('head', 'head'\)"),
        ({"look_mean": np.zeros((1, 3))}, r"Parts\.look_mean must have shape"),
        ({"aogs": (and_or_graph(node=np.r_[0, 1, 6, 2, 3]),)}, "'head'.node must be at most 5"),
        ({"look_mean": np.zeros(0)}, "parts look at 3 channels, but look_mean has 0"),
        ({"look_mean": np.zeros(4)}, r"'head'.look must have shape \(2, 9, 4 or 0\)"),
    ],
)
def test_parts__of_what_does_not_fit_are_refused(parts, change, message):
    with pytest.raises(ExplGraphError, match=message):
        dataclasses.replace(parts, **change)


def test_parts__go_through_a_file(parts, tmp_path):
    parts.save(tmp_path / "parts.safetensors")
    again = Parts.load(tmp_path / "parts.safetensors")
    assert again.names == parts.names
    assert again.config == parts.config
    assert dict(again.header) == dict(parts.header)
    assert again.look_mean.tolist() == [0.5, 0.25, 0.125]
    for ours, theirs in zip(again.aogs, parts.aogs, strict=True):
        assert ours.visible_from == theirs.visible_from
        assert ours.trait_share == theirs.trait_share
        for name in ARRAYS:
            assert getattr(ours, name).dtype == getattr(theirs, name).dtype
            np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name))


def test_parts__hold_the_graph_whole(parts, tmp_path):
    parts.save(tmp_path / "parts.safetensors")
    parts.graph.save(tmp_path / "graph.safetensors")
    Parts.load(tmp_path / "parts.safetensors").graph.save(tmp_path / "again.safetensors")
    first, second = (tmp_path / f"{name}.safetensors" for name in ("graph", "again"))
    assert first.read_bytes() == second.read_bytes()


def test_parts__equal_parts_give_equal_bytes(parts, graph, tmp_path):
    same = Parts(graph, parts.aogs, parts.look_mean.copy(), parts.config, dict(parts.header))
    others = (
        dataclasses.replace(parts, config=PartConfig()),
        dataclasses.replace(parts, aogs=parts.aogs[::-1]),
        dataclasses.replace(parts, look_mean=np.zeros(3)),
    )
    files = []
    for i, each in enumerate((parts, same, *others)):
        each.save(tmp_path / f"{i}.safetensors")
        files.append((tmp_path / f"{i}.safetensors").read_bytes())
    Parts.load(tmp_path / "0.safetensors").save(tmp_path / "again.safetensors")
    assert files[0] == files[1] == (tmp_path / "again.safetensors").read_bytes()
    assert len(set(files)) == 4


def test_parts__without_looks_go_through_a_file(graph, tmp_path):
    bare = and_or_graph(channels=0)
    Parts(graph, (bare,), np.zeros(0), PartConfig()).save(tmp_path / "parts.safetensors")
    again = Parts.load(tmp_path / "parts.safetensors")
    assert again["head"].look.shape == (2, 9, 0)
    assert again["head"].scene.shape == (2, 0)
    assert again.look_mean.shape == (0,)


def test_parts__files_of_other_kinds_are_refused(parts, tmp_path):
    path = tmp_path / "graph.safetensors"
    parts.graph.save(path)
    with pytest.raises(ExplGraphError, match="holds 'graph', expected 'parts'"):
        Parts.load(path)
    with pytest.raises(ExplGraphError, match="is not a file"):
        Parts.load(tmp_path / "nowhere.safetensors")


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.999])
def test_parts__a_file_cut_off_is_refused(parts, tmp_path, share):
    path = tmp_path / "parts.safetensors"
    parts.save(path)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(ExplGraphError, match="not a whole explgraph parts file"):
        Parts.load(path)


@pytest.mark.parametrize(
    ("entry", "change", "message"),
    [
        *(
            (name, None, f"the array {name} is missing")
            for name in ("part.1.weight", "part.0.look", "look_mean", "graph.mu")
        ),
        *(
            (name, None, f"missing required field `{name}`")
            for name in ("parts", "graph", "config")
        ),
        ("part.0.weight", cut, r"part\.0\.weight must have shape \(5\), got"),
        ("part.0.node", lambda node: node + 6, "part 'head'.node must be at most 5"),
        (
            "config",
            lambda config: {**config, "votes": 2},
            "unknown setting of parts 'votes'; the nearest are vo",
        ),
    ],
)
def test_parts__a_file_whose_entries_do_not_fit_is_refused(parts, tmp_path, entry, change, message):
    path = tmp_path / "parts.safetensors"
    parts.save(path)
    rewrite(path, "parts", entry, change)
    with pytest.raises(ExplGraphError, match=message):
        Parts.load(path)


# -- settings --------------------------------------------------------------------------------------


def test_config__goes_through_json():
    config = PartConfig(n_patterns=3, reach=0.5, merge=0.25)
    assert PartConfig.from_json(json.loads(json.dumps(config.to_json()))) == config
    assert PartConfig.from_json({}) == PartConfig()


def test_config__of_earlier_versions_multiplied_the_gain_itself():
    old = {"facing": 7.0, "merge": 0.0}
    assert PartConfig.from_json(old) == PartConfig(view=0.5, merge=0.0)
    assert old == {"facing": 7.0, "merge": 0.0}


NOT_NEGATIVE = ("vote", "look", "scene", "view", "doubt", "merge")


@pytest.mark.parametrize(
    ("setting", "value", "message"),
    [
        *(
            (name, value, "must be positive, got")
            for name in ("reach", "width", "floor")
            for value in (0.0, -1.0, math.nan)
        ),
        *((name, -1, "may not be negative, got -1") for name in NOT_NEGATIVE),
        ("n_patterns", 0, "must be 1 at least"),
    ],
)
def test_config__out_of_range_is_refused(setting, value, message):
    with pytest.raises(ExplGraphError, match=rf"PartConfig\.{setting} {message}"):
        PartConfig(**{setting: value})


def test_config__has_room_to_its_bounds():
    PartConfig(n_patterns=1, **dict.fromkeys(NOT_NEGATIVE, 0.0))


# -- answers ---------------------------------------------------------------------------------------


def localizations(m=4, grid=3, **changes):
    rng = np.random.default_rng(m)
    fields = {
        "images": tuple(f"{i // 2}.jpg" for i in range(m)),
        "parts": ("head", "tail") * (m // 2) + ("head",) * (m % 2),
        "yx": rng.random((m, 2)),
        "size": np.where(rng.random((m, 1)) < 0.5, np.nan, rng.random((m, 2))),
        "confidence": rng.random(m),
        "evidence": rng.normal(0, 1, m),
        "visible": rng.integers(0, 2, m),
        "template": rng.integers(0, 3, m),
        "mirrored": rng.integers(0, 2, m),
        "probability": rng.dirichlet(np.ones(grid * grid), m).reshape(m, grid, grid),
        "frames": np.tile([[0.0, 1.0], [0.0, 1.0]], (m, 1, 1)),
    }
    return Localizations(**{**fields, **changes})


ANSWERS = (
    *("yx", "size", "confidence", "evidence", "visible", "template", "mirrored"),
    *("probability", "frames"),
)


def test_localizations__of_a_part():
    where = localizations()
    heads = where.of("head")
    assert heads.images == ("0.jpg", "1.jpg")
    assert heads.parts == ("head", "head")
    for name in ANSWERS:
        np.testing.assert_array_equal(getattr(heads, name), getattr(where, name)[[0, 2]])
    with pytest.raises(ExplGraphError, match="unknown part 'heads'; the nearest are head"):
        where.of("heads")


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (np.array([3, 0]), [3, 0]),
        (np.array([False, True, True, False]), [1, 2]),
        (np.array([-1]), [3]),
        (np.array([], dtype=int), []),
    ],
    ids=["index", "mask", "from the end", "none"],
)
def test_localizations__take(rows, expected):
    where = localizations()
    some = where.take(rows)
    assert some.images == tuple(where.images[i] for i in expected)
    assert some.parts == tuple(where.parts[i] for i in expected)
    for name in ANSWERS:
        np.testing.assert_array_equal(getattr(some, name), getattr(where, name)[expected])


def test_localizations__table_by_hand():
    where = localizations(
        2,
        yx=np.array([[0.25, 0.5], [0.75, 1]]),
        size=np.array([[0.5, 0.125], [np.nan, np.nan]]),
        visible=np.array([1, 0]),
        mirrored=np.array([0, 1]),
        template=np.array([2, 0]),
    )
    rows = where.table.to_dict("records")
    assert rows[0] | {"confidence": 0, "evidence": 0} == {
        "image": "0.jpg",
        "part": "head",
        "y": 0.25,
        "x": 0.5,
        "height": 0.5,
        "width": 0.125,
        "confidence": 0,
        "evidence": 0,
        "visible": True,
        "template": 2,
        "mirrored": False,
    }
    assert (rows[1]["part"], rows[1]["visible"], rows[1]["mirrored"]) == ("tail", False, True)
    assert math.isnan(rows[1]["height"])
    np.testing.assert_array_equal(where.table["confidence"], where.confidence)
    np.testing.assert_array_equal(where.table["evidence"], where.evidence)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        *((name, cut, rf"Localizations\.{name} must have shape") for name in ANSWERS),
        ("parts", cut, "Localizations has 4 images but 3 parts"),
        ("probability", lambda _: np.ones((4, 3, 5)), r"probability must have shape \(4, 5, 5\)"),
    ],
)
def test_localizations__of_what_does_not_fit_are_refused(name, change, message):
    with pytest.raises(ExplGraphError, match=message):
        localizations(**{name: change(getattr(localizations(), name))})


def test_localizations__are_frozen():
    where = localizations()
    assert where.visible.dtype == where.mirrored.dtype == np.uint8
    assert where.template.dtype == np.int32
    for name in ANSWERS:
        assert not getattr(where, name).flags.writeable
