"""What fuzzing has found, each in the smallest file that shows it."""

import os
import struct
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from aog import PartConfig
from explgraph.base.errors import ExplGraphError
from explgraph.base.layer import LayerSpec
from explgraph.graphs.graph import ExplanatoryGraph
from explgraph.graphs.matches import Matches
from explgraph.photos.annotation_files import read_annotations
from explgraph.photos.annotations import photo_of
from explgraph.photos.boxes import read_boxes
from explgraph.photos.images import open_images
from mining import MiningConfig, match_peaks

from . import seeds

CROP = "image,imagenet_id,part,visible,x0,y0,x1,y1,cx,cy\na.jpg,n01,head,1,{},2,{},8,3,5\n"
BOX = "image,x,y,width,height\na.jpg,1,2,{},4\n"


@pytest.mark.parametrize(
    "text",
    [
        '{"nodes": ' + "[" * 100_000,
        '{"nodes": {"layer0/0/0": "\\ud800"}}',
        '{"nodes": {"layer0/0/0": null}}',
        '{"groups": {"0": 1e999}}',
        "9" * 5000,
    ],
)
def test_names__of_any_text(tmp_path, text):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(ExplGraphError, match=r"a\.json"):
        seeds.graph().rename(tmp_path / "a.json")


def test_crops__right_edge_may_not_be_left_of_the_left_one(tmp_path):
    (tmp_path / "a.csv").write_text(CROP.format(1, 5))
    assert read_annotations(tmp_path / "a.csv").size.tolist() == [[6, 4]]
    (tmp_path / "a.csv").write_text(CROP.format(5, 1))
    with pytest.raises(ExplGraphError, match="line 2: width and height may not be negative"):
        read_annotations(tmp_path / "a.csv")


def test_boxes__a_width_that_no_sum_shows_is_an_empty_box(tmp_path):
    (tmp_path / "a.csv").write_text(BOX.format("1e-9"))
    assert len(read_boxes(tmp_path / "a.csv")) == 1
    (tmp_path / "a.csv").write_text(BOX.format("1e-320"))
    with pytest.raises(ExplGraphError, match="the box is empty"):
        read_boxes(tmp_path / "a.csv")


def test_pictures__a_signalling_nan_is_refused_without_a_warning(tmp_path):
    path = tmp_path / "a.tif"
    Image.fromarray(np.full((1, 2), 0.625, np.float32)).save(path)
    data = path.read_bytes()
    path.write_bytes(data.replace(struct.pack("<f", 0.625), struct.pack("<I", 0x7F800001), 1))
    with pytest.raises(ExplGraphError, match="grey values of mode 'F' are not in"):
        open_images(str(path)).load(0)


def test_photo_of__a_name_is_never_empty(tmp_path):
    assert photo_of("#0") == "#0"
    (tmp_path / "a.csv").write_text("image,part,x,y\n#0,head,1,2\n")
    assert read_annotations(tmp_path / "a.csv").group == ("#0",)


@pytest.mark.parametrize("array", ["pose_weight", "facing"])
def test_graph__maps_from_peaks_of_another_layer_are_refused(array):
    graph = seeds.graph()
    for rows in (getattr(graph, array)[:-1], np.repeat(getattr(graph, array), 2, axis=0)):
        with pytest.raises(ExplGraphError, match=r"PoseMap\.weight|`facing`"):
            match_peaks(replace(graph, **{array: rows}), seeds.peaks())
    match_peaks(graph, seeds.peaks())


def test_files__a_damaged_name_of_the_digest_is_no_way_around_it(tmp_path):
    path = tmp_path / "a.safetensors"
    seeds.graph().save(path)
    whole = path.read_bytes()
    for wrong in (b"Digest", b"diges4", b"`igest"):
        path.write_bytes(
            whole.replace(b'"digest', b'"' + wrong).replace(b'\\"digest', b'\\"' + wrong)
        )
        with pytest.raises(ExplGraphError, match="its digest is missing"):
            ExplanatoryGraph.load(path)


def test_files__numbers_that_overflow_are_refused(tmp_path):
    graph = seeds.graph()
    with pytest.raises(ExplGraphError, match="mu must hold numbers up to 1e"):
        replace(graph, mu=graph.mu * 1e30)


def test_matches__photos_seen_both_ways_cannot_be_sure_without_end():
    found = seeds.found(True)
    for facing in (np.inf, -np.inf):
        with pytest.raises(ExplGraphError, match=r"facing of photos seen both ways must be finite"):
            replace(found, facing=np.full(len(found), facing))
    one_way = replace(seeds.found(False), facing=np.full(len(found), np.inf))
    assert (one_way.view_probability[:, 0] == 1).all()


def test_parts__settings_that_overflow_are_refused():
    with pytest.raises(ExplGraphError, match=r"PartConfig\.scene may be 1e\+12 at most"):
        PartConfig(scene=1e39)
    with pytest.raises(ExplGraphError, match=r"PartConfig\.width must be a share"):
        PartConfig(width=2.0)
    parts = seeds.parts()
    with pytest.raises(ExplGraphError, match=r"spread must be at least 1e-06"):
        replace(parts.aogs[0], spread=parts.aogs[0].spread * 1e-40)
    with pytest.raises(ExplGraphError, match="visible_from must be a number"):
        replace(parts.aogs[0], visible_from=-1e300)
    replace(parts.aogs[0], visible_from=-np.inf)


def test_graph__a_setting_whose_square_vanishes_is_refused():
    for value in (0.0, 1e-320, 1.5):
        with pytest.raises(ExplGraphError, match=r"MiningConfig\.spread must be in 1e-06\.\.1"):
            MiningConfig(spread=value)


@pytest.mark.parametrize("change", [{"stride": [32.0, 1e-320]}, {"offset": [1e300, 0.0]}])
def test_layers__strides_that_no_place_can_be_divided_by_are_refused(change):
    said = seeds.graph().layers[0].to_json()
    assert LayerSpec.from_json(said) == seeds.graph().layers[0]
    with pytest.raises(ExplGraphError, match=f"{next(iter(change))}"):
        LayerSpec.from_json(said | change)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems' names are Unicode")
def test_photos__a_name_that_is_no_utf8_can_be_saved_and_read_again(tmp_path):
    """Before, matches and graphs with such a photo were written, and then refused."""
    folder = tmp_path / "photos"
    folder.mkdir()
    data = next(iter(seeds.picture("png", "RGB").values()))
    Path(os.fsdecode(bytes(folder) + b"/caf\xe9.png")).write_bytes(data)
    (folder / "caf\u00e9.png").write_bytes(data)
    source = open_images(folder)
    assert sorted(source.names) == ["caf\\xe9.png", "caf\u00e9.png"]
    assert source.load(0).photo_size == source.load(1).photo_size == (6, 9)
    found = replace(seeds.found(False), images=(*source.names, "b"))
    found.save(tmp_path / "a.safetensors")
    assert Matches.load(tmp_path / "a.safetensors").images == found.images
