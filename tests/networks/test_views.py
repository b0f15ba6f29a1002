"""Photos seen both ways: what matching keeps for parts, and the maps that extraction keeps."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

import explgraph as eg
from explgraph.base.errors import ExplGraphError
from explgraph.graphs.matches import Matches, Views, odds_of_gain
from explgraph.peaks.structures import PeakSet
from mining import MiningConfig, match_peaks
from tests.support import oracle
from tests.support.damage import cut, rewrite
from tests.support.hills import SIDE as HILLS
from tests.support.hills import hills_graph, hills_net, hills_photos
from tests.support.plain import plain_graph
from tests.support.planted_peaks import SIDE, layer_spec, planted_peaks

VIEW_ARRAYS = ("frames", "yx", "score", "gain", "maps")
CONFIG = MiningConfig(spread_start=0.2, pull=0.4)
LAYER = layer_spec(0, 16, 3)


def views(n=3, v=2, p=4, **changes):
    rng = np.random.default_rng(n)
    fields = {
        "layer": LAYER,
        "input_size": (SIDE, SIDE),
        "frames": rng.random((n, 2, 2)),
        "yx": rng.uniform(0, SIDE, (n, v, p, 2)),
        "score": rng.random((n, v, p)),
        "gain": rng.normal(0, 1, (n, v)),
        "maps": rng.random((n, v, 8, 8, 3)),
    }
    return Views(**{**fields, **changes})


def matches(n=3, p=4, **changes):
    rng = np.random.default_rng(n)
    fields = {
        "images": tuple(f"{i}.jpg" for i in range(n)),
        "yx": rng.random((n, p, 2)),
        "score": rng.random((n, p)),
        "log_density": rng.random((n, p)),
        "peak": np.zeros((n, p)),
        "mirrored": np.zeros(n),
        "node_layer": np.arange(p) // 2,
        "header": {"graph_hash": "h"},
        "photo_size": np.array([[60, 80], [90, 50], [33, 44]])[:n],
        "views": views(n, p=p),
    }
    return Matches(**{**fields, **changes})


# -- views -----------------------------------------------------------------------------------------


def test_views__kinds_of_numbers_are_the_contracts_and_frozen():
    seen = views()
    assert len(seen) == 3
    kinds = {name: getattr(seen, name).dtype.name for name in VIEW_ARRAYS}
    assert kinds == {
        **dict.fromkeys(("frames", "gain"), "float64"),
        **dict.fromkeys(("yx", "score"), "float32"),
        "maps": "float16",
    }
    assert not any(getattr(seen, name).flags.writeable for name in VIEW_ARRAYS)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        *((name, cut, "must have shape") for name in VIEW_ARRAYS if name != "gain"),
        ("maps", lambda _: np.zeros((3, 2, 8, 8, 4)), r"must have shape \(3, 2, 8, 8, 3\)"),
    ],
)
def test_views__shapes_must_fit(name, change, message):
    with pytest.raises(ExplGraphError, match=rf"Views\.{name} {message}"):
        views(**{name: change(getattr(views(), name))})


# -- matches with views ----------------------------------------------------------------------------


def test_take__selects_photos_and_nodes_in_the_views_too():
    whole = matches()
    some = whole.take(np.array([2, 0]), np.array([False, True, False, True]))
    assert some.photo_size.tolist() == [[33, 44], [60, 80]]
    rows, nodes = [2, 0], [1, 3]
    for name in ("frames", "gain", "maps"):
        expected = getattr(whole.views, name)[rows]
        np.testing.assert_array_equal(getattr(some.views, name), expected)
    for n, v, p in np.ndindex(2, 2, 2):
        assert some.views.score[n, v, p] == whole.views.score[rows[n], v, nodes[p]]
        np.testing.assert_array_equal(some.views.yx[n, v, p], whole.views.yx[rows[n], v, nodes[p]])
    np.testing.assert_array_equal(whole.take().views.maps, whole.views.maps)
    assert len(whole.take(np.array([True, False, False])).views) == 1


def test_take__without_views_and_sizes():
    bare = matches(views=None, photo_size=None).take(np.array([1]))
    assert bare.views is None
    assert bare.photo_size is None


def test_view_probability__is_that_of_the_log_odds():
    found = matches(facing=np.log([3.0, 1.0, 1 / 9]))
    np.testing.assert_allclose(found.view_probability, [[0.75, 0.25], [0.5, 0.5], [0.1, 0.9]])
    some = found.take(np.array([2, 0]))
    np.testing.assert_allclose(some.view_probability[:, 0], [0.1, 0.75])
    both = Matches.joined([some, found])
    np.testing.assert_allclose(both.view_probability[:, 1], [0.9, 0.25, 0.25, 0.5, 0.9])
    one_way = matches(views=None, facing=odds_of_gain(np.zeros((3, 1))))
    assert one_way.view_probability.tolist() == [[1, 0]] * 3


def test_view_probability__of_files_of_earlier_versions(tmp_path):
    """From how well both views are explained, where that is known."""
    seen = views()
    matches(views=seen).save(tmp_path / "old.safetensors")
    again = Matches.load(tmp_path / "old.safetensors")
    odds = 1 / (1 + np.exp(-14 * (seen.gain[:, 0] - seen.gain[:, 1])))
    np.testing.assert_allclose(again.view_probability[:, 0], odds)
    with pytest.raises(ExplGraphError, match="how sure"):
        matches(views=None).view_probability  # noqa: B018


@pytest.mark.parametrize("v", [1, 2])
def test_matches__views_go_through_a_file(tmp_path, v):
    seen = views(v=v)
    found = matches(views=seen, facing=odds_of_gain(seen.gain))
    found.save(tmp_path / "m.safetensors")
    again = Matches.load(tmp_path / "m.safetensors")
    assert np.array_equal(again.facing, found.facing)
    assert again.views.layer == LAYER
    assert again.views.input_size == (SIDE, SIDE)
    assert dict(again.header) == {"graph_hash": "h"}
    assert again.photo_size.dtype == np.int32
    np.testing.assert_array_equal(again.photo_size, found.photo_size)
    for name in VIEW_ARRAYS:
        assert getattr(again.views, name).dtype == getattr(found.views, name).dtype
        np.testing.assert_array_equal(getattr(again.views, name), getattr(found.views, name))
    again.save(tmp_path / "again.safetensors")
    files = [(tmp_path / f"{name}.safetensors").read_bytes() for name in ("m", "again")]
    assert files[0] == files[1]


def test_matches__without_views_go_through_a_file(tmp_path):
    matches(views=None, photo_size=None).save(tmp_path / "m.safetensors")
    again = Matches.load(tmp_path / "m.safetensors")
    assert again.views is None
    assert again.photo_size is None


def test_matches__views_and_sizes_must_be_of_the_same_photos_and_nodes():
    with pytest.raises(ExplGraphError, match=r"Matches\.photo_size must have shape \(3, 2\)"):
        matches(photo_size=np.ones((2, 2)))
    for other in (views(2), views(p=5)):
        with pytest.raises(ExplGraphError, match=r"Views\.score of Matches must have shape"):
            matches(views=other)


@pytest.mark.parametrize("name", VIEW_ARRAYS)
def test_matches__a_file_that_lacks_an_array_of_its_views_is_refused(tmp_path, name):
    path = tmp_path / "m.safetensors"
    matches().save(path)
    rewrite(path, "matches", f"views.{name}")
    with pytest.raises(ExplGraphError, match=rf"the array views\.{name} is missing"):
        Matches.load(path)


# -- matching --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def graph():
    """Of the planted means, without edges: two layers of three filters with two nodes each."""
    planted = planted_peaks(n_images=16, strides=(8, 16), channels=3, seed=2)
    peaks, count = planted.peaks, 12
    return plain_graph(
        peaks.layers,
        peaks.input_size,
        statistics=(peaks.channel_mean, peaks.channel_scale),
        nodes=(np.arange(count) // 6, np.arange(count) // 2 % 3, np.arange(count) % 2),
        mu=planted.means.reshape(count, 2),
        header={**peaks.header, "config": CONFIG.to_json()},
    )


@pytest.fixture(scope="module")
def new_photos():
    """Two photos as the graph's and two turned round, with maps and sizes of their own."""
    rng = np.random.default_rng(1)
    peaks = planted_peaks(n_images=16, strides=(8, 16), channels=3, seed=2).peaks
    peaks = peaks.take(np.arange(4))
    turn = [1, 3]
    given, mirrored = zip(
        *(swapped(a, b, turn) for a, b in zip(peaks.peaks, peaks.mirrored, strict=True)),
        strict=True,
    )
    return dataclasses.replace(
        peaks,
        peaks=given,
        mirrored=mirrored,
        maps=rng.random((4, 2, 16, 16, 3)),  # of the finer layer
        photo_size=rng.integers(20, 90, (4, 2)),
        frames=rng.uniform(0.01, 0.02, (4, 2, 2)),
    )


def swapped(first, second, rows):
    """Exchange some photos' peaks with those of their mirror images."""
    arrays = {}
    for name in ("yx", "weight"):
        a, b = getattr(first, name).copy(), getattr(second, name).copy()
        a[rows], b[rows] = b[rows], a[rows]
        arrays[name] = a, b
    return tuple(type(first)(first.layer, arrays["yx"][k], arrays["weight"][k]) for k in (0, 1))


def test_match_peaks__views_equal_the_loops_in_both_orientations(graph, new_photos):
    seen = match_peaks(graph, new_photos, views=True).views
    for v, layers in enumerate((new_photos.peaks, new_photos.mirrored)):
        _, score, gain, peak = oracle.find_nodes(graph, layers, 0.2 * SIDE, 0.0, 0.4)
        np.testing.assert_allclose(seen.score[:, v], score.T, rtol=2e-3, atol=1e-6)
        np.testing.assert_allclose(seen.gain[:, v], gain, rtol=1e-4, atol=1e-6)
        sure = score.T > 1e-6
        assert sure.mean() > 0.3
        np.testing.assert_allclose(seen.yx[:, v][sure], peak.transpose(2, 0, 1)[sure], atol=1e-3)


def test_match_peaks__nodes_are_on_peaks_of_their_filters(graph, new_photos):
    found = match_peaks(graph, new_photos, views=True)
    count = 0
    for n, p in np.ndindex(4, len(graph)):
        if found.score[n, p] == 0:
            continue
        view = int(found.mirrored[n])
        layers = new_photos.mirrored if view else new_photos.peaks
        own = layers[graph.node_layer[p]].yx[n, graph.node_channel[p], found.peak[n, p]]
        np.testing.assert_allclose(found.views.yx[n, view, p], own, atol=1e-3)
        count += 1
    assert count > len(graph)


def test_match_peaks__the_better_view_is_the_matches_own(graph, new_photos):
    found = match_peaks(graph, new_photos, views=True)
    assert found.mirrored.tolist() == [0, 1, 0, 1]
    better = found.views.gain[:, 1] > found.views.gain[:, 0]
    np.testing.assert_array_equal(better, found.mirrored)
    rows = np.arange(4)
    np.testing.assert_array_equal(found.views.score[rows, found.mirrored], found.score)


def test_match_peaks__views_keep_what_the_photos_bring(graph, new_photos):
    found = match_peaks(graph, new_photos, views=True)
    assert found.views.layer == graph.layers[0]  # 16 x 16 cells, the top one has 8 x 8
    assert found.views.input_size == (SIDE, SIDE)
    np.testing.assert_array_equal(found.views.maps, new_photos.maps)
    np.testing.assert_array_equal(found.views.frames, new_photos.frames)
    np.testing.assert_array_equal(found.photo_size, new_photos.photo_size)


def test_match_peaks__with_and_without_views_finds_the_same(graph, new_photos):
    with_views = match_peaks(graph, new_photos, views=True)
    without = match_peaks(graph, new_photos)
    assert without.views is None
    np.testing.assert_array_equal(without.photo_size, new_photos.photo_size)
    for name in ("yx", "score", "log_density", "peak", "mirrored"):
        np.testing.assert_array_equal(getattr(with_views, name), getattr(without, name))


def test_match_peaks__of_photos_not_mirrored_there_is_one_view(graph, new_photos):
    alone = dataclasses.replace(new_photos, mirrored=None, maps=new_photos.maps[:, :1])
    seen = match_peaks(graph, alone, views=True).views
    both = match_peaks(graph, new_photos, views=True).views
    assert seen.gain.shape == (4, 1)
    for name in ("yx", "score", "gain", "maps"):
        np.testing.assert_array_equal(getattr(seen, name), getattr(both, name)[:, :1])


def test_match_peaks__views_need_maps(graph, new_photos):
    blind = dataclasses.replace(new_photos, maps=None)
    assert match_peaks(graph, blind).views is None
    with pytest.raises(ExplGraphError, match=r"views need maps: extract .* with maps=True"):
        match_peaks(graph, blind, views=True)


# -- peaks with maps -------------------------------------------------------------------------------


def test_peak_set__maps_and_sizes_go_through_a_file(new_photos, tmp_path):
    new_photos.save(tmp_path / "p.safetensors")
    again = PeakSet.load(tmp_path / "p.safetensors")
    assert (again.maps.dtype, again.photo_size.dtype) == (np.float16, np.int32)
    np.testing.assert_array_equal(again.maps, new_photos.maps)
    np.testing.assert_array_equal(again.photo_size, new_photos.photo_size)
    bare = dataclasses.replace(new_photos, maps=None, photo_size=None)
    bare.save(tmp_path / "p.safetensors")
    again = PeakSet.load(tmp_path / "p.safetensors")
    assert again.maps is None
    assert again.photo_size is None


def test_peak_set__take_selects_maps_and_sizes(new_photos):
    some = new_photos.take(np.array([3, 1]))
    np.testing.assert_array_equal(some.maps, new_photos.maps[[3, 1]])
    np.testing.assert_array_equal(some.photo_size, new_photos.photo_size[[3, 1]])


def test_peak_set__maps_and_sizes_must_fit(new_photos):
    with pytest.raises(ExplGraphError, match=r"PeakSet\.maps must have shape \(4, 2, 16, 16, 3\)"):
        dataclasses.replace(new_photos, maps=new_photos.maps[:, :1])
    with pytest.raises(ExplGraphError, match=r"PeakSet\.maps must have shape \(4, 1, 16, 16, 3\)"):
        dataclasses.replace(new_photos, mirrored=None)
    with pytest.raises(ExplGraphError, match=r"PeakSet\.photo_size must have shape \(4, 2\)"):
        dataclasses.replace(new_photos, photo_size=new_photos.photo_size[1:])


# -- extraction ------------------------------------------------------------------------------------


def read(photos, net=None, **options):
    net = net or hills_net()
    return eg.extract(net, photos, layers=["1"], progress=False, **options)


def test_extract__maps_are_the_networks_over_its_scale_and_then_mirrored():
    """The hills network's layer is the photo's red and green."""
    photos = hills_photos(3)
    photos[1] = photos[1][::-1]
    photos[2] //= 2
    found = read(photos, maps=True, batch_size=2)
    expected = photos[..., :2] / 255 / found.channel_scale[0]
    assert found.maps.shape == (3, 2, HILLS, HILLS, 2)
    np.testing.assert_allclose(found.maps[:, 0], expected, rtol=1e-3)
    np.testing.assert_allclose(found.maps[:, 1], expected[:, :, ::-1], rtol=1e-3)
    # The unit is that of the peaks' weights: hill A's top is the strongest of the red filter.
    assert found.maps[0, 0, 1, 1, 0] == pytest.approx(found.peaks[0].weight[0, 0, 0], rel=1e-3)


def test_extract__maps_are_less_the_mean_and_never_negative():
    """What a layer without a ReLU gives is counted from the channel's mean, .1 and .2 here."""
    net = hills_net(rectified=False)
    graph = hills_graph(net, mean=(0.1, 0.2), scale=(0.5, 0.25))
    found = eg.extract(net, hills_photos(1), background=graph, progress=False, maps=True)
    expected = np.maximum(hills_photos(1)[..., :2] / 255 - [0.1, 0.2], 0) / [0.5, 0.25]
    np.testing.assert_allclose(found.maps[:, 0], expected, rtol=1e-3, atol=1e-6)


def test_extract__large_responses_are_kept_finite():
    net = hills_net()
    graph = hills_graph(net, scale=(1e-6, 1.0))
    found = eg.extract(net, hills_photos(1), background=graph, progress=False, maps=True)
    assert found.maps[0, 0, 1, 1, 0] == np.finfo(np.float16).max
    assert np.isfinite(found.maps).all()


def test_extract__maps_only_where_they_are_asked_for():
    photos = hills_photos(2)
    assert read(photos).maps is None
    assert read(photos, maps=False).maps is None
    assert read(photos, maps=True, mirror=False).maps.shape == (2, 1, HILLS, HILLS, 2)
    np.testing.assert_array_equal(
        read(photos, maps=True, mirror=False).maps, read(photos, maps=True).maps[:, :1]
    )


def test_extract__photo_size_is_that_of_the_upright_photo(tmp_path):
    """Of 8 by 5 pixels; of 4 by 7 stored lying on its side; and of boxes the whole photo's."""
    rng = np.random.default_rng(0)
    exif = Image.Exif()
    exif[0x0112] = 6
    for name, shape, options in (("a", (8, 5), {}), ("b", (7, 4), {"exif": exif})):
        photo = rng.integers(0, 255, (*shape, 3)).astype(np.uint8)
        Image.fromarray(photo).save(tmp_path / f"{name}.png", **options)
    found = read(tmp_path)
    assert found.images == ("a.png", "b.png")
    assert found.photo_size.tolist() == [[8, 5], [4, 7]]
    boxes = tmp_path / "boxes.csv"
    boxes.write_text("image,x,y,width,height\na.png,1,2,3,4\na.png,2,2,2,2\nb.png,3,1,2,2\n")
    cut = read(tmp_path, boxes=boxes)
    assert cut.images == ("a.png#0", "a.png#1", "b.png#0")
    assert cut.photo_size.tolist() == [[8, 5], [8, 5], [4, 7]]


def test_match__views_bring_their_maps_along():
    net, photos = hills_net(), hills_photos(2, mirrored=[1])
    graph = hills_graph(net)
    found = eg.match(graph, net, photos, views=True, progress=False)
    expected = photos[..., :2] / 255
    np.testing.assert_allclose(found.views.maps[:, 0], expected, rtol=1e-3)
    np.testing.assert_allclose(found.views.maps[:, 1], expected[:, :, ::-1], rtol=1e-3)
    assert found.photo_size.tolist() == [[HILLS, HILLS]] * 2
    assert eg.match(graph, net, photos, progress=False).views is None
