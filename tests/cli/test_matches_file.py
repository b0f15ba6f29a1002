"""Matches that were written with views stand for a run of the network, byte for byte."""

import json
import shutil
from dataclasses import replace

import pytest
from PIL import Image

import explgraph as eg
from explgraph.networks.backbone import Backbone
from tests.support.commands import ok, refused, tensors_of
from tests.support.world import MODEL, N_PHOTOS


@pytest.fixture
def no_network(monkeypatch):
    """Whoever runs the network now fails."""

    def capture(*_):
        raise AssertionError("the network is run")

    monkeypatch.setattr(Backbone, "capture", capture)


@pytest.fixture(scope="module")
def known(files, tmp_path_factory):
    """Matches with views, and parts that were fitted without them."""
    folder = tmp_path_factory.mktemp("matches")
    ok(
        "match",
        files.graph,
        files.photos,
        "--model",
        MODEL,
        "--views",
        "--out",
        folder / "m.safetensors",
    )
    ok(*parts(files), "--model", MODEL, "--out", folder / "parts.safetensors")
    ok(*locate(files, folder), "--model", MODEL, "--out", folder / "where.csv")
    return folder


def parts(files):
    return "parts", files.graph, files.photos, "--annotations", files.clicks


def locate(files, folder):
    return "locate", folder / "parts.safetensors", files.photos


# ---- the file


def test_match__with_views_is_the_librarys(files, world, known, tmp_path):
    found = eg.match(world.graph, world.net, files.photos, views=True, progress=False)
    found.save(tmp_path / "m.safetensors")
    assert (known / "m.safetensors").read_bytes() == (tmp_path / "m.safetensors").read_bytes()


def test_match__views_add_to_the_file_and_change_nothing_in_it(files, known, tmp_path):
    ok("match", files.graph, files.photos, "--model", MODEL, "--out", tmp_path / "m.safetensors")
    plain, more = tensors_of(tmp_path / "m.safetensors"), tensors_of(known / "m.safetensors")
    assert {name: array.tobytes() for name, array in plain.items()} == {
        name: array.tobytes() for name, array in more.items() if not name.startswith("views.")
    }
    assert len(more) == len(plain) + 5


# ---- in place of the network


def test_parts__of_matches_equal_those_of_photos(files, known, no_network, tmp_path):
    out = tmp_path / "parts.safetensors"
    ok(*parts(files), "--matches", known / "m.safetensors", "--out", out)
    assert out.read_bytes() == (known / "parts.safetensors").read_bytes()


@pytest.mark.parametrize("name", ["where.csv", "where.json"])
def test_locate__of_matches_equals_that_of_photos(files, known, no_network, tmp_path, name):
    ok(*locate(files, known), "--matches", known / "m.safetensors", "--out", tmp_path / name)
    if name == "where.csv":
        assert (tmp_path / name).read_bytes() == (known / name).read_bytes()
    else:
        names = [
            image["file_name"] for image in json.loads((tmp_path / name).read_text())["images"]
        ]
        assert names == [f"{i:02d}.png" for i in range(24)]


def test_parts__of_matches_say_what_they_took(files, known, no_network, tmp_path):
    command = (
        *parts(files),
        "--matches",
        known / "m.safetensors",
        "--out",
        tmp_path / "p.safetensors",
    )
    result = ok(*command, "--json")
    data = json.loads(result.stdout)
    assert data["photos"] == N_PHOTOS
    assert set(data["seconds"]) >= {"fitting"}
    assert "photos_per_second" not in data
    assert result.stderr.startswith("done in ")


def test_parts__of_photos_that_could_not_be_read(files, tmp_path):
    folder, out = tmp_path / "photos", tmp_path / "m.safetensors"
    shutil.copytree(files.photos, folder)
    (folder / "broken.png").write_bytes(b"")
    ok("match", files.graph, folder, "--model", MODEL, "--views", "--out", out)
    command = ("parts", files.graph, folder, "--annotations", files.clicks, "--matches", out)
    data = json.loads(ok(*command, "--out", tmp_path / "p.safetensors", "--json").stdout)
    assert data["skipped"] == ["broken.png"]


# ---- what is refused


@pytest.fixture
def refuses(files, known, tmp_path):
    """Save matches, and return what both commands say to them, the names of files left out."""

    def refuses(found):
        path = tmp_path / "changed.safetensors"
        found.save(path)
        messages = {
            refused(*command, "--matches", path, "--out", tmp_path / out).replace(str(path), "FILE")
            for command, out in ((parts(files), "p.safetensors"), (locate(files, known), "w.csv"))
        }
        return messages.pop() if len(messages) == 1 else messages

    return refuses


def test_matches__without_views(world, refuses):
    assert "without views: match with --views" in refuses(replace(world.found, views=None))


def test_matches__of_another_graph(world, refuses):
    header = {**world.found.header, "graph_hash": "0" * 64}
    assert "the matches of another graph" in refuses(replace(world.found, header=header))


def test_matches__of_boxes(world, refuses):
    images = tuple(f"{name}#0" for name in world.names)
    message = refuses(replace(world.found, images=images))
    assert "24 of IMAGES are not in it, the first is 00.png; 24 are in it alone, the" in message
    assert "--boxes" in message


def test_matches__of_other_photos(files, world, known, tmp_path):
    fewer, more = tmp_path / "fewer", tmp_path / "more"
    for folder in (fewer, more):
        shutil.copytree(files.photos, folder)
    (fewer / "05.png").unlink()
    Image.fromarray(world.photos[0]).save(more / "99.png")
    command = ("locate", known / "parts.safetensors")
    options = ("--matches", known / "m.safetensors", "--out", tmp_path / "w.csv")
    assert "1 are in it alone, the first is 05.png" in refused(*command, fewer, *options)
    assert "1 of IMAGES are not in it, the first is 99.png" in refused(*command, more, *options)


def test_matches__and_unlabelled_photos(files, known, tmp_path):
    message = refused(
        *parts(files), "--matches", known / "m.safetensors", "--unlabelled", files.background,
        "--out", tmp_path / "p.safetensors",
    )  # fmt: skip
    assert "leave out --unlabelled" in message


def test_matches__a_file_of_another_kind(files, known, tmp_path):
    message = refused(*locate(files, known), "--matches", files.graph, "--out", tmp_path / "w.csv")
    assert "expected 'matches'" in message
