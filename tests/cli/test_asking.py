"""``explgraph next``: the question of the page, for scripts."""

import json

import pytest
from typer.testing import CliRunner

import explgraph as eg
from explgraph.cli.app import app
from tests.support.planted_parts import SIDE, planted_world


@pytest.fixture
def labels(tmp_path):
    world = planted_world(14)
    folder = tmp_path / "labels"
    with eg.LabelSession.create(
        folder, world.graph, world.found, parts=("head", "tail")
    ) as session:
        session.click("head", "00.jpg", tuple(world.centre[0] * SIDE - 0.5))
        session.hide("head", "03.jpg")
        yield session


def run(*options):
    return CliRunner().invoke(app, ["next", *map(str, options)])


def test_next__says_what_the_session_says_while_it_is_open(labels):
    done = run(labels.folder, "--part", "head", "--n", 3, "--json")
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    assert [asked["image"] for asked in said["next"]] == [q.image for q in labels.next("head", 3)]
    assert said["answered"] == 2
    assert said["revision"] == labels.revision
    text = run(labels.folder).stdout
    assert "head: 2 of 14 photos answered" in text
    assert said["next"][0]["image"] in text


def test_next__of_a_part_without_clicks_names_clear_photos(labels):
    text = run(labels.folder, "--part", "tail").stdout
    assert "tail: 0 of 14 photos answered, 0% expected right, 14 in doubt" in text
    assert "clear" in text


@pytest.mark.parametrize(
    ("options", "told"),
    [(("--part", "ear"), "unknown part 'ear'"), (("--n", 0), "greater than or equal to 1")],
)
def test_next__wrong_options(labels, options, told):
    done = run(labels.folder, *options)
    assert done.exit_code == 2
    assert told in done.output


def test_next__no_labels(tmp_path):
    done = run(tmp_path)
    assert done.exit_code == 2
    assert "holds no labelling session" in done.output
