"""The few-shot protocol from photos to its table, and its command, on a small network."""

import json

import numpy as np
import pytest

from explgraph import load_backbone
from explgraph.base.errors import ExplGraphError
from explgraph.evaluation.few_shot.and_or import AND_OR, PEAK, VOTES
from explgraph.evaluation.few_shot.feature_matching import AVERAGED, MEDIAN
from explgraph.evaluation.few_shot.grad_cam import FREQUENT_CLASS
from explgraph.evaluation.few_shot.raw_units import K_TEMPLATES
from explgraph.evaluation.few_shot.study import (
    CROP_CENTRE,
    MEAN_OF_CLICKS,
    MEAN_OF_TRUTH,
    constants,
    study_few_shot,
)
from explgraph.photos.annotation_files import read_annotations
from tests.cli.test_app import ok, refused
from tests.cli.test_evaluate import FACTORY, work  # noqa: F401  a fixture
from tests.support.splits import draw_splits

LAYERS = ("relu2", "relu3")


@pytest.fixture(scope="module")
def net(work):  # noqa: F811
    return load_backbone(f"{work / 'net.py'}:net", device="cpu")


@pytest.fixture(scope="module")
def annotations(work):  # noqa: F811
    return read_annotations(work / "zebra" / "annotations.csv")


@pytest.fixture(scope="module")
def splits(annotations):
    return draw_splits(annotations, "head", clicks=(1, 3), seeds=(0, 1))


@pytest.fixture(scope="module")
def study(work, net, annotations, splits):  # noqa: F811
    return study_few_shot(
        net,
        {"zebra": work / "zebra"},
        {"zebra": annotations},
        {"zebra": splits, "other": {}},
        background=work / "background",
        layers=LAYERS,
    )


def test_study__has_every_row_of_every_task(study):
    table = study.table
    assert set(table["row"]) >= {CROP_CENTRE, FREQUENT_CLASS, AVERAGED + MEDIAN, K_TEMPLATES}
    assert set(map(tuple, table[["clicks", "seed"]].to_numpy())) == {(1, 0), (1, 1), (3, 0), (3, 1)}
    assert table.groupby("row").size().nunique() == 1
    assert (table["photos"] >= 8).all()
    assert np.isfinite(table["distance"]).all()


def test_constants__are_what_they_are_called(study, annotations, splits):
    """Drawings are of 128 x 128 pixels."""
    heads = annotations.of("head")
    at = {name: (yx + 0.5) / 128 for name, yx in zip(heads.image, heads.yx, strict=True)}
    group = dict(zip(heads.image, heads.group, strict=True))
    training = splits["head"][3][0]
    used = {group[name] for name in training}
    truth = np.array([at[name] for name in at if group[name] not in used])
    points = {
        CROP_CENTRE: (0.5, 0.5),
        MEAN_OF_CLICKS: np.mean([at[name] for name in training], axis=0),
        MEAN_OF_TRUTH: truth.mean(axis=0),
    }
    table = study.table.query("clicks == 3 and seed == 0").set_index("row")["distance"]
    for row, point in points.items():
        expected = np.linalg.norm(truth - point, axis=1).mean() / np.sqrt(2)
        assert table[row] == pytest.approx(expected)


def test_study__asks_locators_in_turn_and_names_what_is_missing(work, net, annotations):  # noqa: F811
    photos, marks = {"zebra": work / "zebra"}, {"zebra": annotations}
    with pytest.raises(ExplGraphError, match="splits"):
        study_few_shot(net, photos, marks, {"zebras": {}}, locators=[constants])
    with pytest.raises(ExplGraphError, match="annotated"):
        study_few_shot(net, photos, {}, {"zebra": {}}, locators=[constants])
    with pytest.raises(ExplGraphError, match="locator"):
        study_few_shot(net, photos, marks, {"zebra": {}}, locators=[])


@pytest.fixture(scope="module")
def command(work, splits):  # noqa: F811
    (work / "splits.json").write_text(json.dumps({"zebra": splits}))
    return (
        "evaluate", work / "zebra", "--model", f"{work / 'net.py'}:net", "--layers",
        ",".join(LAYERS), "--background", work / "background", "--device", "cpu",
        "--splits", work / "splits.json",
    )  # fmt: skip


def test_command__prints_the_study_and_the_graph_s_own_rows(command, study):
    found = json.loads(ok(*command, "--json").stdout)
    baselines = [line for line in found["tasks"] if not line["row"].startswith(AND_OR)]
    np.testing.assert_allclose(
        [line["distance"] for line in baselines], study.table["distance"], rtol=1e-4
    )
    own = {line["row"] for line in found["tasks"]} - {line["row"] for line in baselines}
    assert own == {AND_OR, PEAK, VOTES}
    assert found["paired"]["reference"] == AND_OR
    rows = {line["row"]: line for line in found["paired"]["rows"]}
    assert rows[K_TEMPLATES]["error_categories"] is None


def test_command__reliability_needs_splits_background_and_sizes(command):
    assert "goes with --splits" in refused(*command[:-2], "--reliability")
    assert "exactly one box" in refused(*command, "--reliability")
    at = command.index("--background")
    without = command[:at] + command[at + 2 :]
    assert "give --background DIR" in refused(*without, "--reliability")


def test_command__prints_a_table(command):
    text = ok(*command).stdout
    assert "head: normalised distance" in text
    assert CROP_CENTRE in text


def test_command__takes_nothing_that_it_would_not_use(command):
    assert "--measures" in refused(*command, "--measures", "stability")
