"""The files that are changed: tiny ones of every format, the library's own or as others write them.

A seed is a folder: by name, the bytes of each file in it. Made again, it has the same bytes.
"""

import io
import json
import tarfile
import tempfile
import warnings
from functools import cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from scipy.io import savemat

from aog import PartConfig, fit_parts, locate
from aog.files import predicted_places, write_answers
from explgraph.base.files import Stages, write_arrays
from explgraph.base.layer import look_layer
from explgraph.base.schema import Column
from explgraph.graphs.effects import EdgeEffects
from explgraph.groups.files import write_group_places
from explgraph.groups.grouping import group_places
from explgraph.peaks.spool.manifest import Manifest
from explgraph.photos.annotation_files import write_annotations
from explgraph.photos.annotations import photo_of
from explgraph.photos.keypoints import write_keypoints
from explgraph.photos.part_places import PartPlaces
from explgraph.photos.place_files import write_places
from mining import MiningConfig, match_peaks, mine_peaks
from tests.photos.tars import tar_of
from tests.support.plain import plain_groups, plain_marks
from tests.support.planted_peaks import planted_peaks
from tests.support.spooling import spool_by_hand

KEPT = 3
"""Photos in the seeds; the graph is mined from some more."""
N_MINED = 12
SHAPES = (64, 48)


@cache
def mined_peaks():
    """Two layers of two filters, with maps of the one that tells what places look like."""
    peaks = planted_peaks(n_images=N_MINED, strides=(32, 64), channels=2, limbs=2).peaks
    layer = peaks.layers[look_layer(peaks.layers)]
    maps = np.random.default_rng(1).random((N_MINED, 2, *layer.grid, layer.channels))
    sizes = np.tile(np.array(SHAPES), (N_MINED, 1))
    return peaks.__class__(
        **{name: getattr(peaks, name) for name in peaks.__slots__}
        | {"maps": maps.astype(np.float16), "photo_size": sizes}
    )


@cache
def peaks():
    return mined_peaks().take(slice(0, KEPT))


@cache
def graph():
    """With all that a graph may hold."""
    found = mine_peaks(mined_peaks(), config=MiningConfig())
    groups = plain_groups(found, np.arange(len(found)) % 3 - 1).rename({0: "hat"})
    low, high = (np.flatnonzero(found.node_layer == i)[0] for i in (0, 1))
    return found.__class__(
        **{name: getattr(found, name) for name in found.__slots__ if name != "__weakref__"}
        | {
            "groups": groups,
            "names": {0: "left ear", 1: "Ohr, rechts \u2192"},
            "contrast": np.linspace(-1, 1, len(found)),
            "effects": EdgeEffects(*map(np.array, ([low], [high], [0.5], [3]))),
        }
    )


@cache
def plain_graph():
    """With as little as a graph may hold."""
    found = graph().select(np.arange(2))
    less = dict.fromkeys(("contrast", "groups", "effects", "facing", "photo_sureness"))
    return found.__class__(
        **{name: getattr(found, name) for name in found.__slots__ if name != "__weakref__"}
        | less
        | {"names": {}}
    )


@cache
def found(views):
    return match_peaks(graph(), peaks(), views=views)


@cache
def marks():
    names = peaks().images
    return plain_marks(
        [names[0], names[1], names[0]], ["head", "head", "tail"], [(10, 12), (30, 20), (5.5, 40)]
    )


@cache
def parts():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of clicks that disagree
        return fit_parts(graph(), found(True), marks(), config=PartConfig())


def written(write, name):
    """Return the files that are written into an empty folder; ``write`` gets the path ``name``."""
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder, name))
        return {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for path in sorted(Path(folder).rglob("*"))
            if path.is_file()
        }


def statistics():
    arrays = {f"channel_mean.{i}": v for i, v in enumerate(peaks().channel_mean)}
    arrays |= {f"channel_scale.{i}": v for i, v in enumerate(peaks().channel_scale)}
    key = {"layers": [layer.to_json() for layer in peaks().layers]}
    return written(lambda p: write_arrays(p, "statistics", arrays, {"key": key}), "a.safetensors")


STAGE_KEY = {"seed": 1, "layers": ["low", "top"]}
STAGE_COLUMNS = {"yx": Column(np.float32, ("N", 2)), "n": Column(np.int64, ("K",), least=0)}


def stage():
    arrays = {"yx": np.arange(12, dtype=np.float32).reshape(6, 2), "n": np.array([3, 4])}
    return written(lambda p: Stages(p.parent, STAGE_KEY).save("mined.2", arrays), "a")


def spool():
    less = peaks().__class__(
        **{name: getattr(peaks(), name) for name in peaks().__slots__} | {"maps": None}
    )

    def write(path):
        spool_by_hand(less, path.parent, (2, 1))
        Manifest.read(path.parent).write(path.parent)  # of this version: it has a digest

    return written(write, "a")


def answers(name):
    where = locate(parts(), found(True))
    return written(lambda p: write_answers(p, where, SHAPES), name)


def told_places(name, format):
    """What people said and what was predicted, in another tool's format."""
    where = predicted_places(locate(parts(), found(True)))
    told = PartPlaces(
        **{field: getattr(where, field) for field in where.__slots__ if field != "__weakref__"}
        | {"answers": ("here", *where.answers[1:-1], "right")}
    )
    return written(lambda p: write_places(p, told, SHAPES, format), name)


def groups_table():
    places = group_places(graph(), found(True))
    names = graph().groups.labels
    return written(lambda p: write_group_places(p, places, names, SHAPES), "a.csv")


def text(name, content):
    return {name: content.encode() if isinstance(content, str) else json.dumps(content).encode()}


CSV = (
    "image,part,x,y,width,height,group\r\na.jpg,head,1,2.5,3,4,g\r\n"
    '"b, c.jpg","""tail""",-1.5,2e1,,,\n\nd\u00e9.png,head,7,8,1,1,\n'
)
CROPS = (
    "image,imagenet_id,part,visible,x0,y0,x1,y1,cx,cy\n"
    "a.jpg,n01,head,1,1,2,5,8,3,5\nb.jpg,n02,head,0,,,,,,\nc.jpg,n02,tail,1,0,0,4,4,2,2\n"
)
BOXES = "image,x,y,width,height,label\na.jpg,1,2,3,4,cat\nb.jpg,1.5,2,1e1,2,dog\na.jpg,0,0,1,1,\n"
COCO = {
    "images": [{"id": 1, "file_name": "a.png"}, {"id": "two", "file_name": "b/c.png"}],
    "categories": [{"id": 3, "name": "dog", "keypoints": ["head", "tail"]}],
    "annotations": [
        {"id": 1, "image_id": 1, "category_id": 3, "bbox": [1, 2, 3.5, 4], "iscrowd": 0,
         "keypoints": [1, 2, 2, 0, 0, 0]},
        {"id": 2, "image_id": "two", "category_id": 3, "bbox": [0, 0, 1, 1], "iscrowd": 1},
        {"id": 3, "image_id": "two", "category_id": 3, "bbox": [0, 0, 9, 1e1],
         "keypoints": [0.5, 1.5, 1, 4, 5, 2]},
    ],
}  # fmt: skip
CVAT = (
    '<?xml version="1.0" encoding="utf-8"?>\n<annotations><version>1.1</version><meta><task><id>1'
    '</id></task></meta><image id="0" name="a/b c.png" width="9" height="7"><points label="head" '
    'occluded="0" points="1.5,2;3,4.25"/><box label="tail &amp; fin" xtl="1" ytl="2" xbr="3.5" '
    'ybr="4" rotation="30"><attribute name="x">1</attribute></box></image><!-- two --><image '
    'id="1" name="d.png"><skeleton label="dog"><points label="head" outside="0" points="1,1"/>'
    '<points label="tail" outside="1" points="2,2"/></skeleton><polygon label="dog" '
    'points="1,2;3,4"/></image></annotations>'
)
LABEL_STUDIO = [
    {"id": 1, "data": {"image": "/data/local-files/?d=x/a%20b.png", "n": 1}, "annotations": [
        {"was_cancelled": False, "result": [
            {"id": "a", "type": "keypointlabels", "original_width": 90, "original_height": 70,
             "image_rotation": 0, "value": {"x": 10.5, "y": 20, "keypointlabels": ["head"]}},
            {"id": "b", "type": "rectanglelabels", "original_width": 90, "original_height": 70.0,
             "value": {"x": 1, "y": 2, "width": 30, "height": 4.5, "rotation": 15,
                       "rectanglelabels": ["tail"]}},
            {"type": "choices", "value": {"choices": ["dog"]}}]}],
     "predictions": [{"result": [], "score": 0.5}]},
    {"data": {"picture": "https://example.org/data/upload/1/0123abcd-c.png"}, "annotations": [
        {"result": [{"type": "keypointlabels", "original_width": 9, "original_height": 7, "value":
                     {"x": 100, "y": 0, "keypointlabels": ["head", "tail"]}}]}]},
]  # fmt: skip
VOC = (
    '<?xml version="1.0" encoding="utf-8"?>\n<annotation><folder>x</folder><filename>a.png'
    "</filename><size><width>9</width></size><object><name>dog</name><bndbox><xmin>1</xmin>"
    "<ymin>2</ymin><xmax>3.5</xmax><ymax>4</ymax></bndbox></object><!-- two --><object>"
    "<name>cat &amp; mouse</name><bndbox><ymax>7</ymax><xmin>1</xmin><ymin>2</ymin><xmax>8</xmax>"
    "</bndbox></object></annotation>"
)
SPLITS = {"dog": {"head": {"2": {"0": ["a", "b"], "1": ["b", "c"]}, "1": {"0": ["a"]}}}}
CUB = {
    "images.txt": b"1 001.Albatross/a.jpg\n2 002.Wren/b c.jpg\n",
    "parts/parts.txt": b"1 left eye\n2 tail\n",
    "parts/part_locs.txt": b"1 1 2.0 3.0 1\n1 2 0.0 0.0 0\n2 2 4.5 6 1\n",
}


def names():
    first = {graph().node_id(0): "ear"}
    return text("a.json", {"nodes": first, "groups": {"0": "beak", "hat": "Kopf \u2192"}})


def keypoints():
    sizes = dict.fromkeys(marks().image, SHAPES)
    return written(lambda p: write_keypoints(p, marks(), sizes), "a.json")


def masks(mode):
    image = Image.fromarray(np.array([[0, 1, 2, 2], [2, 2, 0, 0], [0, 0, 0, 1]], np.uint8))
    if mode == "P":
        image.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return {"parts.json": b'["head", "tail \\u2192"]', "a/b.png": buffer.getvalue()}


def network():
    """Of the weights; it is never run."""
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Conv2d(3, 2, 2), torch.nn.BatchNorm2d(2))


def weights(kind):
    from safetensors.torch import save

    state = network().state_dict()
    if kind == "safetensors":
        return {"a.safetensors": save(state)}
    buffer = io.BytesIO()
    held = {"state_dict": {f"module.{k}": v for k, v in state.items()}} if kind == "held" else state
    torch.save(held, buffer, _use_new_zipfile_serialization=kind != "old")
    return {"a.pth": buffer.getvalue()}


def voc_parts(*, packed):
    def mask(y0, x0, y1, x1):
        whole = np.zeros((6, 7), np.uint8)
        whole[y0:y1, x0:x1] = 1
        return whole

    def thing(name, **held):
        parts = np.zeros((1, len(held)), [("part_name", object), ("mask", object)])
        for i, (part, where) in enumerate(held.items()):
            parts[0, i] = (part, mask(*where))
        return name, parts if held else np.zeros((0, 0))

    objects = np.zeros((1, 2), [("class", object), ("parts", object)])
    objects[0, 0] = thing("dog", head=(0, 0, 2, 5), tail=(4, 3, 5, 6))
    objects[0, 1] = thing("cat")
    anno = np.zeros((1, 1), [("imname", object), ("objects", object)])
    anno[0, 0] = ("2008_000001", objects)
    buffer = io.BytesIO()
    savemat(buffer, {"anno": anno}, do_compression=packed)
    data = bytearray(buffer.getvalue())
    data[:116] = b"MATLAB 5.0 MAT-file".ljust(116)  # SciPy writes the time into it
    return {"2008_000001.mat": bytes(data)}


def pixels(channels, side=(6, 9)):
    values = np.random.default_rng(channels).integers(0, 256, (*side, channels), np.uint8)
    return values[..., 0] if channels == 1 else values


PICTURES = {
    "bmp": ("RGB", "1", "P", "L"),
    "gif": ("P", "L", "frames"),
    "jpeg": ("RGB", "L", "CMYK", "turned"),
    "jpeg2000": ("RGB", "L"),
    "mpo": ("RGB",),
    "png": ("RGB", "RGBA", "LA", "P", "1", "L", "I;16", "turned"),
    "ppm": ("RGB", "L", "1"),
    "tiff": ("RGB", "L", "1", "I;16", "F", "RGBA", "CMYK", "packed"),
    "webp": ("RGB", "RGBA", "frames"),
}
ENDINGS = {"jpeg": "jpg", "jpeg2000": "jp2", "tiff": "tif"}


def picture(kind, mode):
    rgb = Image.fromarray(pixels(3))
    options = {}
    if mode == "I;16":
        image = Image.fromarray(pixels(1).astype(np.uint16) * 257)
    elif mode == "F":
        image = Image.fromarray((pixels(1) / 255).astype(np.float32))
    elif mode in ("turned", "frames", "packed"):
        image = rgb
    else:
        image = rgb.convert(mode)
    if mode == "turned":
        exif = Image.Exif()
        exif[0x0112] = 6
        options["exif"] = exif
    if mode == "frames" or kind == "mpo":
        options |= {"save_all": True, "append_images": [rgb.rotate(180)]}
    if mode == "packed":
        options["compression"] = "tiff_lzw"
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return {f"a.{ENDINGS.get(kind, kind)}": buffer.getvalue()}


TARS = (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT)


def tar(layout):
    """Two photos and a text; one has a name that the oldest layout has no room for."""
    long = "" if layout == tarfile.USTAR_FORMAT else "f\u00fcchse/" * 20
    png, jpeg = (next(iter(picture(k, "RGB").values())) for k in ("png", "jpeg"))
    members = {f"{long}a.png": png, "b/c.jpg": jpeg, "b/c.txt": b"no photo"}
    return {"a.tar": tar_of(members, layout)}


def saved(thing):
    return written(thing.save, "a.safetensors")


def photo_names():
    return [photo_of(name) for name in peaks().images]


def annotations():
    return written(lambda p: write_annotations(p, marks()), "a.csv")
