"""``explgraph evaluate --explanations``, on drawn fishes."""

import dataclasses
import json
import math
import shutil

import numpy as np
import pytest

from explgraph.photos.annotation_files import write_annotations
from tests.support.commands import ok, refused
from tests.support.world import MODEL


@pytest.fixture(scope="module")
def photos(world, files, tmp_path_factory):
    """A folder of drawings with the box of each head in annotations.csv."""
    folder = tmp_path_factory.mktemp("explained") / "fish"
    shutil.copytree(files.photos, folder)
    heads = world.marks.of("head")
    boxed = dataclasses.replace(heads, size=np.full((len(heads), 2), 40.0))
    write_annotations(folder / "annotations.csv", boxed)
    return folder


@pytest.mark.slow
def test_explanations__are_measured_beside_the_graphs_own(photos):
    methods = "grad_cam,random"
    command = ("evaluate", photos, "--model", MODEL, "--explanations", "--photos", 2)
    done = ok(*command, "--methods", methods, "--on-grid", "--seeds", 0, "--json")
    data = json.loads(done.stdout)
    lines = {line["row"]: line for line in data["table"]}
    assert set(lines) == {"grad_cam", "random", "graph"}
    assert data["photos"] == {"fish": 2}
    assert data["refused"] == {"fish": {}}
    for row, line in lines.items():
        assert line["photos"] == 2
        assert line["difference"] == pytest.approx(line["insertion"] - line["deletion"], abs=1e-6)
        gain = line["difference"] - lines["grad_cam"]["difference"]
        assert line["difference_gain"] == pytest.approx(gain, abs=1e-6), row
        assert 0 <= line["pointing"] <= 1
        assert math.isfinite(line["seconds"])
    assert lines["grad_cam"]["difference"] > lines["random"]["difference"]


@pytest.mark.slow
def test_explanations__tables_have_the_columns_that_something_is_known_of(photos):
    command = ("evaluate", photos, "--model", MODEL, "--explanations", "--photos", 2)
    shown = ok(*command, "--methods", "grad_cam", "--no-robustness", "--seeds", 0).stdout
    (header,) = (line for line in shown.splitlines() if "insertion " in line and "method" in line)
    assert header.split()[2:] == [
        "insertion", "deletion", "difference", "pointing", "energy", "gain", "pointing", "gain", "s"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--measures", "explained"), "a table of its own"),
        (("--photos", "1"), "at least 2"),
        (("--methods", "grad_kam"), "grad_kam"),
    ],
)
def test_explanations__wrong_options(photos, options, said):
    command = ("evaluate", photos, "--model", MODEL, "--explanations", *options)
    assert said in refused(*command)
