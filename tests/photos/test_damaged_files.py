"""Files of others with bytes that are changed, cut out or repeated: read, or one clear error."""

import json
import os
import random

import numpy as np
import pytest
from PIL import Image

from explgraph.base.errors import ExplGraphError
from explgraph.evaluation.few_shot.splits import read_splits
from explgraph.photos.annotation_files import read_annotations
from explgraph.photos.boxes import read_boxes
from explgraph.photos.masks import read_masks
from tests.support.patience import at_once

from .test_folders import part, save_voc, thing

N_CHANGES = int(os.environ.get("EXPLGRAPH_TEST_CHANGES", "200"))
HOSTILE = [
    b"9" * 400, b"1e999", b"-1", b"NaN", b"null", b"[[", b"}", b'"', b"\xff", b"\0", b"1_0", b"{}",
    "\uff11".encode(), b"true", b"[" * 2000, b"&x;", b"<!DOCTYPE a>", b"\r", b"2147483648",
]  # fmt: skip
COCO = {
    "images": [{"id": 1, "file_name": "a.png"}, {"id": 2, "file_name": "b.png"}],
    "categories": [{"id": 3, "name": "dog", "keypoints": ["head", "tail"]}],
    "annotations": [
        {"id": 1, "image_id": 1, "category_id": 3, "bbox": [1, 2, 3.5, 4], "iscrowd": 0,
         "keypoints": [1, 2, 2, 0, 0, 0],
         "explgraph": {"sizes": [1, 2, None, None], "item": "a.png#0", "group": "g"}},
        {"id": 2, "image_id": 2, "category_id": 3, "bbox": [0, 0, 1, 1], "keypoints": [0.5] * 6},
    ],
}  # fmt: skip
VOC = (
    '<?xml version="1.0" encoding="utf-8"?><annotation><filename>a.png</filename><object>'
    "<name>dog</name><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>3</xmax><ymax>4</ymax></bndbox>"
    "</object></annotation>"
)


def text(name, content, read):
    def prepare(folder):
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path, lambda: read(path)

    return prepare


def cub(folder):
    (folder / "parts").mkdir()
    (folder / "images.txt").write_text("1 x/a.jpg\n2 x/b.jpg\n")
    (folder / "parts" / "parts.txt").write_text("1 left eye\n2 tail\n")
    path = folder / "parts" / "part_locs.txt"
    path.write_text("1 1 2.0 3.0 1\n2 2 4.5 6 1\n2 1 0 0 0\n")
    return path, lambda: read_annotations(folder)


def voc_part(folder):
    path = folder / "2008_000001.mat"
    save_voc(
        path, [thing("dog", [part("head", (0, 0, 2, 5)), part("tail", (9, 3, 9, 6))])], packed=False
    )
    return path, lambda: read_annotations(folder)


def masks(of):
    def prepare(folder):
        (folder / "parts.json").write_text('["head", "tail"]')
        Image.fromarray(np.array([[0, 1, 2], [2, 2, 0]], np.uint8)).save(folder / "a.png")
        return folder / of, lambda: read_masks(folder, ["a.jpg"])

    return prepare


FORMATS = {
    "CSV annotations": text(
        "a.csv", "image,part,x,y,width,height,group\na,head,1,2,3,4,g\nb,tail,1.5,2,,,\n",
        read_annotations,
    ),
    "CSV boxes": text("b.csv", "image,x,y,width,height\na,1,2,3,4\nb,1.5,2,1e1,2\n", read_boxes),
    "COCO key points": text("a.json", COCO, read_annotations),
    "COCO boxes": text("b.json", COCO, read_boxes),
    "VOC boxes": text("b.xml", VOC, read_boxes),
    "CUB": cub,
    "VOC-Part": voc_part,  # not packed: the check sum of zlib would notice nearly every change
    "masks": masks("a.png"),
    "names of masks": masks("parts.json"),
    "splits": text("s.json", {"dog": {"head": {"2": {"0": ["a", "b"]}}}}, read_splits),
}  # fmt: skip


def changed(whole, chance):
    """A file of which something is another."""
    data, place = bytearray(whole), chance.randrange(len(whole))
    kind = chance.randrange(6)
    if kind == 0:
        data[place] ^= 1 << chance.randrange(8)
    elif kind == 1:
        data[place:] = b""
    elif kind == 2:
        data[place : place + chance.randrange(1, 40)] = b""
    elif kind == 3:
        data[place:place] = chance.choice(HOSTILE)
    elif kind == 4:
        data[place : place + chance.randrange(1, 12)] = chance.choice(HOSTILE)
    else:
        data[place:place] = data[chance.randrange(len(data)) :][:60]
    return bytes(data)


@pytest.mark.filterwarnings("ignore")  # of SciPy and Pillow, about what they read
@pytest.mark.parametrize("kind", FORMATS)
def test_readers__damaged_files_are_read_or_refused_by_one_error(tmp_path, kind):
    path, read = FORMATS[kind](tmp_path)
    read()
    whole, chance, refused = path.read_bytes(), random.Random(kind), 0
    for _ in range(N_CHANGES):
        path.write_bytes(changed(whole, chance))
        try:
            read()
        except ExplGraphError as error:
            assert str(error)
            refused += 1
    assert refused > N_CHANGES / 5


@pytest.mark.parametrize("kind", FORMATS)
def test_readers__a_pipe_or_an_endless_device_is_refused_at_once(tmp_path, kind):
    path, read = FORMATS[kind](tmp_path)
    path.unlink()
    os.mkfifo(path)
    with at_once(), pytest.raises(ExplGraphError):
        read()
    path.unlink()
    path.symlink_to("/dev/zero")
    with at_once(), pytest.raises(ExplGraphError):
        read()
