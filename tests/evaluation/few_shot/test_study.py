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
from tests.support.commands import ok, refused
from tests.support.splits import draw_splits
from tests.support.world import SMALL_LAYERS as LAYERS


@pytest.fixture(scope="module")
def net(files):
    return load_backbone(files.small_model, device="cpu")


@pytest.fixture(scope="module")
def annotations(files):
    return read_annotations(files.annotated / "annotations.csv")


@pytest.fixture(scope="module")
def splits(annotations):
    return draw_splits(annotations, "head", clicks=(1, 3), seeds=(0, 1))


@pytest.fixture(scope="module")
def study(files, net, annotations, splits):
    return study_few_shot(
        net,
        {"fish": files.annotated},
        {"fish": annotations},
        {"fish": splits, "other": {}},
        background=files.background,
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


def test_study__asks_locators_in_turn_and_names_what_is_missing(files, net, annotations):
    photos, marks = {"fish": files.annotated}, {"fish": annotations}
    with pytest.raises(ExplGraphError, match="splits"):
        study_few_shot(net, photos, marks, {"fishes": {}}, locators=[constants])
    with pytest.raises(ExplGraphError, match="annotated"):
        study_few_shot(net, photos, {}, {"fish": {}}, locators=[constants])
    with pytest.raises(ExplGraphError, match="locator"):
        study_few_shot(net, photos, marks, {"fish": {}}, locators=[])


@pytest.fixture(scope="module")
def command(files, splits, tmp_path_factory):
    path = tmp_path_factory.mktemp("splits") / "splits.json"
    path.write_text(json.dumps({"annotated": splits}))
    return (
        "evaluate", files.annotated, "--model", files.small_model, "--layers",
        ",".join(LAYERS), "--background", files.background, "--device", "cpu", "--splits", path,
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
