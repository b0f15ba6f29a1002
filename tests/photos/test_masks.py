"""Masks: the folder's format, written out by hand, and what is refused."""

import json
import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from explgraph.base.arrays import NONE
from explgraph.base.errors import ExplGraphError
from explgraph.photos.images import open_images
from explgraph.photos.masks import PartMasks, read_masks, write_masks
from tests.support.patience import at_once

PARTS = ("head", "tail")
LABELS = np.array([[0, 1, 2], [2, 2, 0]], dtype=np.uint8)


def made_pipe(path):
    path.unlink()
    os.mkfifo(path)


def write_bomb(path):
    """A PNG that says that it has 20000 x 20000 pixels."""
    sound = path.read_bytes()
    header = b"IHDR" + struct.pack(">II", 20000, 20000) + sound[24:29]
    path.write_bytes(sound[:12] + header + struct.pack(">I", zlib.crc32(header)) + sound[33:])


@pytest.fixture
def folder(tmp_path):
    """One mask of the photo "a.jpg", in grey."""
    (tmp_path / "parts.json").write_text(json.dumps(PARTS))
    Image.fromarray(LABELS).save(tmp_path / "a.png")
    return tmp_path


def test_read_masks__zero_is_background_and_i_the_ith_part(folder):
    masks = read_masks(folder, ["a.jpg"])
    assert (masks.images, masks.parts) == (("a.jpg",), PARTS)
    np.testing.assert_array_equal(masks.labels[0], [[NONE, 0, 1], [1, 1, NONE]])


def test_read_masks__photos_in_the_order_asked_for_and_of_sub_folders(folder):
    (folder / "b").mkdir()
    Image.fromarray(LABELS[:1]).save(folder / "b" / "c.png")
    masks = read_masks(folder, ["b/c.jpeg", "a.jpg"])
    assert [mask.shape for mask in masks.labels] == [(1, 3), (2, 3)]


def test_read_masks__a_palettes_colours_do_not_matter(folder):
    image = Image.fromarray(LABELS, mode="L").convert("P")
    image.putdata(LABELS.ravel().tolist())
    image.putpalette([200, 3, 3] * 3)
    image.save(folder / "p.png")
    np.testing.assert_array_equal(
        read_masks(folder, ["p.jpg"]).labels[0], read_masks(folder, ["a.jpg"]).labels[0]
    )


@pytest.mark.parametrize(
    ("break_it", "said"),
    [
        (lambda f: (f / "a.png").unlink(), "every photo needs a mask"),
        (lambda f: (f / "a.png").write_bytes(b"none"), "cannot read image"),
        (lambda f: (f / "parts.json").unlink(), "list of the parts' names"),
        (lambda f: (f / "parts.json").write_text("["), "is no JSON"),
        (lambda f: (f / "parts.json").write_text("{}"), "Expected `array`"),
        (lambda f: (f / "parts.json").write_text("[]"), "1 to 255 names"),
        (lambda f: (f / "parts.json").write_text("[1]"), "Expected `str`"),
        (lambda f: (f / "parts.json").write_text("[" * 100_000), "Expected `str`"),
        (lambda f: (f / "parts.json").write_bytes(b'["\xff"]'), "is no JSON"),
        (lambda f: made_pipe(f / "parts.json"), "is a named pipe"),
        (lambda f: made_pipe(f / "a.png"), "is a named pipe"),
        (lambda f: write_bomb(f / "a.png"), "400000000 pixels.*EXPLGRAPH_MAX_PIXELS"),
        (lambda f: (f / "a.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0"), "no picture in any"),
        (lambda f: (f / "parts.json").write_text('["head"]'), "the label 2.* only 1 parts"),
        (lambda f: Image.new("RGB", (2, 2)).save(f / "a.png"), "mode 'RGB'"),
        (lambda f: Image.new("I;16", (2, 2)).save(f / "a.png"), "mode 'I;16'"),
    ],
)
def test_read_masks__says_what_is_wrong(folder, break_it, said):
    break_it(folder)
    with at_once(), pytest.raises(ExplGraphError, match=said):
        read_masks(folder, ["a.jpg"])


def test_write_masks__is_read_back(tmp_path):
    labels = (np.array([[NONE, 0], [1, 1]]), np.array([[1, NONE, 0]]))
    write_masks(tmp_path / "new", PartMasks(("x/0.jpg", "1.png"), PARTS, labels))
    assert len(open_images(tmp_path / "new")) == 2
    with Image.open(tmp_path / "new" / "x" / "0.png") as written:
        assert np.asarray(written).tolist() == [[0, 1], [2, 2]]
    masks = read_masks(tmp_path / "new", ("x/0.jpg", "1.png"))
    assert masks.parts == PARTS
    for ours, theirs in zip(labels, masks.labels, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_write_masks__the_255th_part_is_kept(tmp_path):
    parts = tuple(map(str, range(255)))
    write_masks(tmp_path, PartMasks(("a.png",), parts, (np.array([[254, NONE]]),)))
    assert read_masks(tmp_path, ["a.png"]).labels[0].tolist() == [[254, NONE]]


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ([np.array([[0, 2]])], "labels from -1 to 1, got 0 to 2"),
        ([np.array([[-2, 0]])], "got -2 to 0"),
        ([np.zeros(3)], r"shape \(height, width\), got \(3,\)"),
        ([np.zeros((2, 2))] * 2, "1 photos but 2 masks"),
    ],
)
def test_part_masks__refuse_what_does_not_fit(labels, said):
    with pytest.raises(ExplGraphError, match=said):
        PartMasks(("a.jpg",), PARTS, tuple(labels))


def test_part_masks__need_a_part():
    with pytest.raises(ExplGraphError, match="1 to 255 parts, got 0"):
        PartMasks((), (), ())
