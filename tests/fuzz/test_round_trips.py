"""What is valid is saved and read again as it was, whatever its structure."""

import json
import os
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from aog import Parts
from explgraph.base.errors import ExplGraphError
from explgraph.base.files import Stages, read_arrays, write_arrays
from explgraph.base.schema import Column
from explgraph.base.tables import write_table
from explgraph.evaluation.few_shot.splits import read_splits
from explgraph.graphs.graph import ExplanatoryGraph
from explgraph.graphs.matches import Matches
from explgraph.networks.zoo import read_weights
from explgraph.peaks.structures import PeakSet
from explgraph.photos.annotation_files import read_annotations, write_annotations
from explgraph.photos.annotations import photo_of
from explgraph.photos.boxes import read_boxes
from explgraph.photos.images import open_images
from explgraph.photos.keypoints import write_keypoints
from explgraph.photos.masks import read_masks, write_masks
from explgraph.photos.place_files import FORMATS, write_places
from tests.support.spooling import spool_by_hand

from . import rules, seeds, strategies
from .meaning import meaning

EXAMPLES = "EXPLGRAPH_FUZZ_EXAMPLES"
few = settings(
    max_examples=int(os.environ.get(EXAMPLES, "8")),
    deadline=None,
    derandomize=EXAMPLES not in os.environ,
    database=None,
    suppress_health_check=list(HealthCheck),
)
SAVED = {
    "graph": (strategies.graphs(), ExplanatoryGraph, rules.graph),
    "matches": (strategies.matches(), Matches, rules.matches),
    "peaks": (strategies.peak_sets(), PeakSet, rules.peaks),
    "parts": (strategies.parts(), Parts, rules.parts),
}


@pytest.mark.parametrize("kind", SAVED)
def test_ours(tmp_path, kind):
    strategy, read, rule = SAVED[kind]
    path = tmp_path / "a.safetensors"

    @few
    @given(strategy)
    def comes_back(value):
        rule(value)
        value.save(path)
        first, back = path.read_bytes(), read.load(path)
        assert meaning(back) == meaning(value)
        back.save(path)
        assert path.read_bytes() == first

    comes_back()


def test_stages(tmp_path):
    @few
    @given(strategies.arrays)
    def comes_back(arrays):
        arrays = {name: np.nan_to_num(array) for name, array in arrays.items()}
        form = {n: Column(a.dtype.type, a.shape, open="inf") for n, a in arrays.items()}
        stages = Stages(tmp_path, {"a": [1, 2]})
        stages.save("x", arrays)
        assert meaning(stages.load("x", form, {})) == meaning(arrays)
        assert Stages(tmp_path, {"a": [1, 3]}).load("x", form, {}) is None

    comes_back()


def test_spools(tmp_path):
    @few
    @given(strategies.peak_sets(maps=False).filter(len), st.data())
    def comes_back(peaks, data):
        first = data.draw(st.integers(0, len(peaks) - 1))
        counts = [count for count in (first, len(peaks) - first) if count]
        back = spool_by_hand(peaks, tmp_path / "spool", counts).load()
        for name in ("images", "frames", "input_size", "peaks", "mirrored", "photo_size"):
            assert meaning(getattr(back, name)) == meaning(getattr(peaks, name)), name

    comes_back()


def test_annotations(tmp_path):
    @few
    @given(strategies.annotations())
    def comes_back(marks):
        write_annotations(tmp_path / "a.csv", marks)
        assert meaning(read_annotations(tmp_path / "a.csv")) == meaning(marks)

    comes_back()


def test_keypoints(tmp_path):
    """They come sorted by photo."""

    @few
    @given(strategies.annotations())
    def comes_back(marks):
        write_keypoints(tmp_path / "a.json", marks, (30, 40))
        back = read_annotations(tmp_path / "a.json")
        assert sorted(map(repr, rows(back))) == sorted(map(repr, rows(marks)))

    comes_back()


@pytest.mark.parametrize("format", FORMATS)
def test_places(tmp_path, format):
    """Pixels come back to two digits, or it is said why a name does not fit into the format."""
    path = tmp_path / f"a{FORMATS[format]}"
    whole = format in ("csv", "coco")  # the others know photos, not boxes in them

    @few
    @given(strategies.places())
    def come_back(told):
        try:
            write_places(path, told, (30, 40), format)
        except ExplGraphError:
            assert format == "cvat"
            assert not is_xml("".join((*told.images, *told.parts)))
            return
        kept = {"csv": told.visible, "label-studio": told.told}.get(format, True)
        marks = told.take(told.known & kept).annotations((30, 40))
        if len(marks):
            image = [name if whole else photo_of(name) for name in marks.image]
            assert rounded(read_annotations(path)) == rounded(marks, image)

    come_back()


def is_xml(text):
    """By the standard's list of characters."""
    known = ((0x9, 0xA), (0xD, 0xD), (0x20, 0xD7FF), (0xE000, 0xFFFD), (0x10000, 0x10FFFF))
    return all(any(low <= ord(one) <= high for low, high in known) for one in text)


def rounded(marks, image=None):
    yx, size = (np.round(array, 2).tolist() for array in (marks.yx + 0.0, marks.size))
    columns = (marks.image if image is None else image, marks.part, yx, size)
    return sorted(map(repr, zip(*columns, strict=True)))


def rows(marks):
    yx = (marks.yx + 0.0).tolist()  # no -0
    columns = (marks.image, marks.part, yx, marks.size.tolist(), marks.group)
    return zip(*columns, strict=True)


def box_rows():
    number, side = st.floats(-1e8, 1e8), st.floats(1, 1e8)
    return st.lists(st.tuples(strategies.names, number, number, side, side), min_size=1, max_size=4)


def told(path):
    return [
        (image, box.x0, box.y0, box.x1 - box.x0, box.y1 - box.y0)
        for image, boxes in read_boxes(path).items()
        for box in boxes
    ]


def by_image(boxes):
    """In the order of the images' first boxes."""
    order = list(dict.fromkeys(image for image, *_ in boxes))
    return sorted(boxes, key=lambda box: order.index(box[0]))


def same_boxes(found, boxes, shift=0.0):
    wanted = [(image, x + shift, y + shift, w, h) for image, x, y, w, h in by_image(boxes)]
    assert [image for image, *_ in found] == [image for image, *_ in wanted]
    numbers = [np.array([numbers for _, *numbers in each]) for each in (found, wanted)]
    np.testing.assert_allclose(*numbers, rtol=0, atol=1e-6)


def test_boxes__csv(tmp_path):
    @few
    @given(box_rows())
    def come_back(boxes):
        lines = [(i, x + w / 2 - 0.5, y + h / 2 - 0.5, w, h) for i, x, y, w, h in boxes]
        write_table(tmp_path / "a.csv", ("image", "x", "y", "width", "height"), lines)
        same_boxes(told(tmp_path / "a.csv"), boxes)

    come_back()


def test_boxes__coco(tmp_path):
    @few
    @given(box_rows())
    def come_back(boxes):
        images = list(dict.fromkeys(image for image, *_ in boxes))
        content = {
            "images": [{"id": i, "file_name": name} for i, name in enumerate(images)],
            "annotations": [
                {"id": k, "image_id": images.index(image), "bbox": numbers}
                for k, (image, *numbers) in enumerate(boxes)
            ],
        }
        (tmp_path / "a.json").write_text(json.dumps(content))
        same_boxes(told(tmp_path / "a.json"), boxes)

    come_back()


PLAIN = st.text(
    st.characters(
        codec="utf-8",
        exclude_categories=["Cs", "Cc", "Zl", "Zp", "Zs"],
        exclude_characters="\ufffe\uffff",
    ),
    min_size=1,
    max_size=9,
)


def test_boxes__voc(tmp_path):
    number, side = st.integers(-1000, 1000), st.integers(1, 1000)

    @few
    @given(PLAIN, st.lists(st.tuples(number, number, side, side), min_size=1, max_size=3))
    def come_back(image, boxes):
        root = ElementTree.Element("annotation")
        ElementTree.SubElement(root, "filename").text = image
        for x, y, w, h in boxes:
            held = ElementTree.SubElement(root, "object")
            ElementTree.SubElement(held, "name").text = image
            edges = ElementTree.SubElement(held, "bndbox")
            for name, value in zip(
                ("xmin", "ymin", "xmax", "ymax"), (x, y, x + w - 1, y + h - 1), strict=True
            ):
                ElementTree.SubElement(edges, name).text = str(value)
        ElementTree.ElementTree(root).write(tmp_path / "a.xml", encoding="utf-8")
        same_boxes(told(tmp_path / "a.xml"), [(image, *box) for box in boxes], shift=-1)

    come_back()


def test_cub(tmp_path):
    @few
    @given(st.lists(st.tuples(PLAIN, PLAIN, st.integers(0, 999), st.integers(0, 999)), min_size=1))
    def comes_back(points):
        (tmp_path / "parts").mkdir(exist_ok=True)
        texts = {
            "images.txt": [f"{i} x/{image}" for i, (image, *_) in enumerate(points)],
            "parts/parts.txt": [f"{i} {part}" for i, (_, part, *_) in enumerate(points)],
            "parts/part_locs.txt": [f"{i} {i} {x}.5 {y} 1" for i, (*_, y, x) in enumerate(points)],
        }
        for name, lines in texts.items():
            (tmp_path / name).write_text("\n".join(lines), encoding="utf-8", newline="")
        back = read_annotations(tmp_path)
        assert [*zip(back.image, back.part, back.yx.tolist(), strict=True)] == [
            (f"x/{image}", part, [y, x + 0.5]) for image, part, y, x in points
        ]

    comes_back()


def test_masks(tmp_path):
    @few
    @given(strategies.part_masks())
    def come_back(masks):
        write_masks(tmp_path, masks)
        assert meaning(read_masks(tmp_path, masks.images)) == meaning(masks)

    come_back()


def test_splits(tmp_path):
    @few
    @given(strategies.split_files())
    def come_back(splits):
        (tmp_path / "a.json").write_text(json.dumps(splits))
        back = read_splits(tmp_path / "a.json")
        rules.splits(back)
        assert json.loads(json.dumps(back)) == json.loads(json.dumps(splits))

    come_back()


def test_names(tmp_path):
    graph = seeds.graph()
    nodes = st.dictionaries(st.sampled_from(range(len(graph))), strategies.texts)

    @few
    @given(nodes, strategies.texts)
    def come_back(nodes, group):
        said = {"nodes": {graph.node_id(i): n for i, n in nodes.items()}, "groups": {"0": group}}
        (tmp_path / "a.json").write_text(json.dumps(said))
        back = graph.rename(tmp_path / "a.json")
        assert back.names == {**graph.names, **nodes}
        assert back.groups.names[0] == group

    come_back()


@pytest.mark.parametrize("ending", ["pth", "safetensors"])
def test_weights(tmp_path, ending):
    from safetensors.torch import save_file

    arrays = strategies.arrays.filter(bool)

    @few
    @given(arrays)
    def come_back(arrays):
        state = {name: torch.tensor(array) for name, array in arrays.items()}
        path = tmp_path / f"a.{ending}"
        (torch.save if ending == "pth" else save_file)(state, path)
        whole = all(name.startswith("module.") for name in state)
        wanted = {n.removeprefix("module.") if whole else n: t for n, t in state.items()}
        assert meaning(read_weights(path)) == meaning(wanted)

    come_back()


@pytest.mark.parametrize("ending", ["png", "bmp", "tif", "ppm", "webp"])
def test_pictures__without_loss(tmp_path, ending):
    path = tmp_path / f"a.{ending}"

    @few
    @given(strategies.pixels)
    def come_back(pixels):
        Image.fromarray(pixels).save(path, **({"lossless": True} if ending == "webp" else {}))
        back = open_images(str(path)).load(0)
        np.testing.assert_array_equal(np.asarray(back.image), pixels)

    come_back()


def test_arrays__equal_content_gives_equal_bytes(tmp_path):
    @few
    @given(strategies.arrays, st.dictionaries(strategies.texts, strategies.texts))
    def come_back(arrays, said):
        path, header = tmp_path / "a.safetensors", {"said": said}
        write_arrays(path, "some", arrays, header)
        first = path.read_bytes()
        found, about = read_arrays(path, "some")
        assert meaning(found) == meaning(arrays)
        assert about["said"] == said
        write_arrays(path, "some", dict(reversed(arrays.items())), header)
        assert path.read_bytes() == first

    come_back()
