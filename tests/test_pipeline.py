"""The facade: photos to a graph to matches, and what stands in the way."""

import dataclasses

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import explgraph as eg
from explgraph import pipeline
from explgraph.base.errors import ExplGraphError
from explgraph.graphs.graph import ExplanatoryGraph
from explgraph.graphs.matches import Matches
from explgraph.peaks.structures import PeakSet
from explgraph.peaks.survey import survey
from mining import mine_peaks

SIDE = 48
# A disc is found at the right peak every time, and 14 photos say little of how it moves: pull=1.
CONFIG = eg.MiningConfig(n_parents=4, pull=1.0)
QUIET = {"progress": False, "layers": ["1", "3"]}


def make_net(seed=0, side=SIDE, padding=2):
    torch.manual_seed(seed)
    module = nn.Sequential(
        nn.Conv2d(3, 12, 5, stride=4, padding=padding),
        nn.ReLU(),
        nn.Conv2d(12, 16, 3, stride=2, padding=1),
        nn.ReLU(),
    )
    return eg.Backbone(module, name="tiny", input_size=(side, side), device="cpu")


def make_photos(count, seed):
    """A bright bar and a red disc, always side by side, in different places on a grey ground."""
    rng = np.random.default_rng(seed)
    photos = rng.normal(110, 12, (count, 60, 72, 3))
    y, x = np.mgrid[:60, :72]
    for photo in photos:
        top, left = rng.uniform(20, 38), rng.uniform(14, 34)
        photo[(abs(y - top) < 12) & (abs(x - left) < 3)] = 235
        photo[(y - top) ** 2 + (x - left - 22) ** 2 < 60] = [220, 30, 30]
    return photos.clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def net():
    return make_net()


@pytest.fixture(scope="module")
def photos():
    return make_photos(14, 0)


@pytest.fixture(scope="module")
def background():
    return np.random.default_rng(5).normal(110, 40, (6, 60, 72, 3)).clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def graph(net, photos, background):
    return eg.mine(net, photos, background=background, config=CONFIG, **QUIET)


@pytest.fixture
def folder(tmp_path, photos):
    for i, photo in enumerate(photos):
        Image.fromarray(photo).save(tmp_path / f"{i:02d}.png")
    return tmp_path


def saved(what, folder):
    what.save(folder / "file.safetensors")
    return (folder / "file.safetensors").read_bytes()


# -- the whole path --------------------------------------------------------------------------------


def test_path__photos_to_graph_to_matches(net, graph, folder, tmp_path):
    graph.save(tmp_path / "graph.safetensors")
    again = ExplanatoryGraph.load(tmp_path / "graph.safetensors")
    found = eg.match(again, net, folder, progress=False)
    assert found.images == tuple(f"{i:02d}.png" for i in range(14))
    assert found.yx.shape == (14, len(graph), 2)
    assert found.header["weight_hash"] == net.weight_hash
    assert np.isfinite(found.yx).all()
    assert set(graph.node_layer) == {0, 1}
    assert len(graph.edge_child) > 0
    found.save(tmp_path / "matches.safetensors")
    assert np.array_equal(Matches.load(tmp_path / "matches.safetensors").yx, found.yx)


def test_path__nodes_follow_the_object(net, photos, background):
    """Some of the best nodes move with the disc in new photos; a point that sits still has 1."""
    options = {"mirror": False, "background": background}
    graph = eg.mine(net, photos, config=CONFIG, **options, **QUIET)
    new = make_photos(10, 7)
    found = eg.match(graph, net, new, progress=False, mirror=False)
    red = (new[..., 0] > 190) & (new[..., 1] < 60)
    centre = np.array([np.argwhere(r).mean(axis=0) / r.shape for r in red])
    off = found.yx[:, np.argsort(-graph.gain)[:20]] - centre[:, None]
    left = np.sqrt(np.var(off, axis=0).sum(axis=1) / np.var(centre, axis=0).sum())
    assert np.sort(left)[3] < 0.4


def test_path__equal_input_gives_equal_files(net, photos, background, graph, tmp_path):
    options = {**QUIET, "deterministic": True, "background": background, "config": CONFIG}
    first = eg.mine(net, photos, batch_size=3, **options)
    again = eg.mine(net, photos, batch_size=14, **options)
    assert saved(first, tmp_path) == saved(again, tmp_path)
    assert saved(first, tmp_path) != saved(eg.mine(net, photos, seed=3, **options), tmp_path)


def test_path__through_a_file_of_peaks(net, photos, background, tmp_path):
    options = {**QUIET, "deterministic": True, "background": background}
    peaks = eg.extract(net, photos, **options)
    peaks.save(tmp_path / "peaks.safetensors")
    loaded = PeakSet.load(tmp_path / "peaks.safetensors")
    stored = mine_peaks(loaded, config=CONFIG, seed=2)
    assert stored.contrast is None and stored.groups is None
    others = eg.extract(net, background, mirror=False, **options)
    stored = pipeline.grouped(stored, loaded, background=others)
    stored = pipeline.recorded(stored, survey(loaded))
    direct = eg.mine(net, photos, seed=2, config=CONFIG, **options)
    assert saved(stored, tmp_path) == saved(direct, tmp_path)


def test_path__mirrored_photos_have_mirrored_matches(net, graph, photos):
    plain = eg.match(graph, net, photos, progress=False)
    turned = eg.match(graph, net, photos[:, :, ::-1], progress=False)
    assert np.array_equal(turned.mirrored, 1 - plain.mirrored)
    mirrored = np.stack([turned.yx[..., 0], 1 - turned.yx[..., 1]], axis=-1)
    close = np.abs(mirrored - plain.yx).max(axis=2) < 0.01
    assert close[plain.score > 0.05].mean() > 0.95


def test_mine__has_defaults_for_everything(net, photos, background):
    graph = eg.mine(net, photos, background=background, **QUIET)
    assert graph.header["config"] == eg.MiningConfig().to_json()
    assert graph.header["seed"] == 0
    assert graph.header["n_images"] == 14


def test_mine__layers_may_come_in_any_order(net, photos):
    found = eg.extract(net, photos, layers=["3", "1"], progress=False)
    assert [spec.name for spec in found.layers] == ["1", "3"]


def test_mine__chooses_layers_by_itself(net, photos):
    found = eg.extract(net, photos, progress=False)
    assert [spec.name for spec in found.layers] == list(net.auto_layers())


# -- the background --------------------------------------------------------------------------------


def test_path__a_network_of_grey_images(photos, tmp_path):
    torch.manual_seed(0)
    layers = [torch.nn.Conv2d(1, 4, 3, 2, 1), torch.nn.ReLU(), torch.nn.Conv2d(4, 6, 3, 1, 1)]
    grey = eg.Backbone(torch.nn.Sequential(*layers, torch.nn.ReLU()), input_size=(32, 32))
    mined = eg.mine(grey, photos, seed=0, progress=False)
    mined.save(tmp_path / "grey.safetensors")
    again = eg.ExplanatoryGraph.load(tmp_path / "grey.safetensors")
    assert again.header["preprocess"]["mean"] == [0.459]
    found = eg.match(again, grey, photos, progress=False)
    assert len(again) > 0 and np.isfinite(found.yx).all()


def test_background__is_what_channels_are_normalised_by(net, photos, background):
    found = eg.extract(net, photos, background=background, **QUIET)
    alone = eg.extract(net, background, **QUIET)
    for ours, theirs in zip(found.channel_scale, alone.channel_scale, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5)


def test_background__may_be_peaks_or_a_graph(net, photos, graph):
    peaks = eg.extract(net, photos, background=graph, progress=False)
    assert peaks.layers == graph.layers
    for ours, theirs in zip(peaks.channel_scale, graph.channel_scale, strict=True):
        assert np.array_equal(ours, theirs)
    again = eg.extract(net, photos, background=peaks, progress=False, layers=["1"])
    assert again.layers == peaks.layers


@pytest.mark.parametrize("change", [{"side": 46}, {"padding": 1}], ids=str)
def test_background__of_another_network_is_refused(photos, graph, change):
    """Of another input size, though the grid is the same; of cells that lie elsewhere."""
    with pytest.raises(ExplGraphError, match="are not those of this network"):
        eg.extract(make_net(**change), photos, background=graph, progress=False)


# -- other photos ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("missing", "device"), [("", "cuda"), ("a GPU", "cpu")])
def test_mine_and_match__run_where_the_network_does(
    net, graph, photos, monkeypatch, missing, device
):
    monkeypatch.setattr("mining.devices.cuda_missing", lambda: missing)
    monkeypatch.setattr(net, "device", torch.device("cuda"))
    monkeypatch.setattr(pipeline, "_reference", lambda *_: (None, None))
    seen = []
    around = ("survey", "recorded", "_told")
    for name in ("mine_peaks", "grouped", "match_peaks", "extract_peaks", *around):
        monkeypatch.setattr(pipeline, name, lambda *_, device=None, **__: seen.append(device))
    eg.mine(net, photos, background=graph, progress=False)
    eg.match(graph, net, photos, progress=False)
    assert [where for where in seen if where] == [device] * 3


@pytest.mark.parametrize("deterministic", [True, False])
def test_match__a_photo_alone_is_found_as_among_others(graph, net, photos, deterministic):
    """But for the network's rounding, equal to the last bit."""
    options = {"progress": False, "deterministic": deterministic}
    atol = 0 if deterministic else 1e-4
    together = eg.match(graph, net, photos, **options)
    for i in (0, 5, 13):
        alone = eg.match(graph, net, photos[i : i + 1], **options)
        for name in ("yx", "score", "log_density"):
            ours, theirs = getattr(alone, name)[0], getattr(together, name)[i]
            np.testing.assert_allclose(ours, theirs, rtol=atol, atol=atol, err_msg=name)


# -- other weights ---------------------------------------------------------------------------------


def test_other_weights__are_refused_unless_forced(graph, photos):
    other = make_net(seed=1)
    with pytest.raises(ExplGraphError, match=r"mined from other weights \(model 'tiny', hash"):
        eg.match(graph, other, photos, progress=False)
    forced = eg.match(graph, other, photos, progress=False, force=True)
    assert forced.yx.shape == (14, len(graph), 2)


def test_other_weights__the_name_does_not_matter(graph, net, photos):
    same = make_net()
    same.name = "renamed"
    found = eg.match(graph, same, photos, progress=False, deterministic=True)
    expected = eg.match(graph, net, photos, progress=False, deterministic=True)
    assert np.array_equal(found.yx, expected.yx)


def test_graph_without_a_hash__is_refused_unless_forced(graph, net, photos):
    bare = dataclasses.replace(graph, header={})
    with pytest.raises(ExplGraphError, match="mined from other weights"):
        eg.match(bare, net, photos, progress=False)
    assert len(eg.match(bare, net, photos, progress=False, force=True)) == 14


# -- bad input -------------------------------------------------------------------------------------


def test_no_photos__is_an_error(net, graph, tmp_path):
    with pytest.raises(ExplGraphError, match="no image"):
        eg.mine(net, tmp_path, **QUIET)
    with pytest.raises(ExplGraphError, match="no image"):
        eg.match(graph, net, tmp_path, progress=False)


def test_one_photo__can_be_matched_but_not_mined(net, graph, photos):
    with pytest.raises(ExplGraphError, match="at least 2 photos of one category, got 1"):
        eg.mine(net, photos[:1], **QUIET)
    assert len(eg.match(graph, net, photos[:1], progress=False)) == 1


def test_unreadable_photos__are_named_in_the_files(net, graph, folder):
    (folder / "03.png").write_bytes(b"")
    mined = eg.mine(net, folder, config=CONFIG, **QUIET)
    assert mined.header["skipped"] == ["03.png"]
    assert mined.header["n_images"] == 13
    found = eg.match(graph, net, folder, progress=False)
    assert found.header["skipped"] == ["03.png"]
    assert "03.png" not in found.images
    with pytest.raises(ExplGraphError, match=r"03\.png"):
        eg.mine(net, folder, strict=True, **QUIET)


def test_photos_without_anything__are_an_error(photos):
    """Every layer fires on the background, none on the photos."""
    net = make_net()
    peaks = eg.extract(net, photos, **QUIET)
    with torch.no_grad():
        for conv in (net.module[0], net.module[2]):
            conv.weight.zero_()
            conv.bias.fill_(-1)
    with pytest.raises(ExplGraphError, match="no node explains the peaks better than noise"):
        eg.mine(net, photos, background=peaks, progress=False)


def test_network_without_maps__is_refused(photos):
    module = nn.Sequential(nn.Flatten(), nn.Linear(3 * SIDE * SIDE, 4))
    net = eg.Backbone(module, input_size=(SIDE, SIDE), device="cpu")
    with pytest.raises(ExplGraphError, match="no spatial layers to mine"):
        eg.mine(net, photos, progress=False)


# -- real photos -----------------------------------------------------------------------------------


@pytest.mark.shared
@pytest.mark.slow
def test_zebras__are_mined_with_the_defaults(shared):
    net = eg.load_backbone(
        "squeezenet1_0", weights=shared / "models" / "squeezenet1_0.safetensors", device="cpu"
    )
    photos = sorted((shared / "animalpart" / "zebra").glob("*.jpg"))[:28]
    others = sorted((shared / "animalpart" / "background").glob("*.jpg"))[:12]
    graph = eg.mine(net, photos[:24], background=others, progress=False)
    assert len(graph) > 200
    assert len(set(graph.node_layer)) == 4
    assert [(doubt.kind, doubt.severity) for doubt in graph.doubts] == [("few photos", "note")]
    assert graph.edges["correlation"].between(-1, 1).all()
    assert graph.edges["correlation"].median() > 0
    found = eg.match(graph, net, photos[24:], progress=False)
    assert found.yx.shape == (4, len(graph), 2)
    assert np.isfinite(found.yx).all()
    assert np.mean(found.score > 0) > 0.3
