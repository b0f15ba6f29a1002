"""Photos to peaks: channel statistics, peaks of both orientations, batches, what is skipped."""

import logging
import math
import threading

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from explgraph import extract
from explgraph.base.errors import ExplGraphError
from explgraph.networks.backbone import Backbone
from explgraph.peaks import extraction, reading
from explgraph.peaks import finding_torch as torch_peaks
from explgraph.peaks.extraction import N_PEAKS, PeakRows, peak_batches
from explgraph.peaks.reading import span_size, spans_of
from explgraph.peaks.statistics import channel_statistics
from explgraph.photos.images import open_images
from tests.support import oracle

SIDE = 40


def make_net(seed=0, activation=nn.ReLU, **options):
    torch.manual_seed(seed)
    module = nn.Sequential(
        nn.Conv2d(3, 16, 3, stride=2, padding=1),
        activation(),
        nn.Conv2d(16, 24, 3, stride=2, padding=1),
        activation(),
        nn.Conv2d(24, 32, 3, padding=1),
        activation(),
    )
    return Backbone(module, name="tiny", input_size=(SIDE, SIDE), device="cpu", **options)


@pytest.fixture(scope="module")
def net():
    return make_net()


@pytest.fixture(scope="module")
def photos():
    """Smooth blots, so that peaks are not decided by rounding."""
    rng = np.random.default_rng(0)
    coarse = rng.uniform(0, 255, (7, 6, 6, 3)).astype(np.uint8)
    return np.stack([np.asarray(Image.fromarray(c).resize((50, 44), 3)) for c in coarse])


@pytest.fixture
def folder(photos, tmp_path):
    """Seven photos, two of which cannot be read."""
    for i, photo in enumerate(photos):
        Image.fromarray(photo).save(tmp_path / f"{i}.png")
    (tmp_path / "2.png").write_bytes(b"no picture")
    whole = (tmp_path / "5.png").read_bytes()
    (tmp_path / "5.png").write_bytes(whole[: len(whole) // 3])
    return tmp_path


def look(net, photos, **options):
    return extract(net, photos, layers=["3", "5"], **{"progress": False, **options})


def dense(net, photos, layer, flip=False):
    """(N, C, H, W) maps of photos one at a time."""
    tensors = [net.preprocess(Image.fromarray(photo))[0] for photo in photos]
    tensors = [t.flip(2) if flip else t for t in tensors]
    return np.concatenate([net.capture(t[None], [layer])[layer].numpy() for t in tensors])


# -- statistics ------------------------------------------------------------------------------------


def test_statistics__are_those_of_all_cells(net, photos):
    specs = net.select(["3", "5"])
    found = channel_statistics(net, photos, specs, {"progress": False, "batch_size": 3})
    for i, name in enumerate(("3", "5")):
        values = dense(net, photos, name).transpose(1, 0, 2, 3).reshape(specs[i].channels, -1)
        deviation = values.std(axis=1, dtype=float)
        floor = np.median(deviation[deviation > 0]) / 20
        assert not found.mean[i].any()  # the layer is rectified
        np.testing.assert_allclose(found.scale[i], np.maximum(deviation, floor), rtol=1e-5)


def test_statistics__of_a_layer_that_may_be_negative_have_a_mean(photos):
    net = make_net(activation=nn.Tanh)
    specs = net.select(["5"])
    assert not specs[0].rectified
    found = channel_statistics(net, photos, specs, {"progress": False})
    values = dense(net, photos, "5")
    np.testing.assert_allclose(found.mean[0], values.mean(axis=(0, 2, 3)), rtol=1e-4, atol=1e-6)


def test_statistics__a_channel_that_never_fires_does_not_drown_the_others(photos):
    net = make_net()
    with torch.no_grad():
        net.module[4].weight[3] = 0
        net.module[4].bias[3] = -1
    found = channel_statistics(net, photos, net.select(["5"]), {"progress": False}).scale[0]
    others = np.delete(dense(net, photos, "5").std(axis=(0, 2, 3), dtype=float), 3)
    assert found[3] == pytest.approx(np.median(others[others > 0]) / 20, rel=1e-4)
    peaks = look(net, photos).peaks[1]
    assert not peaks.weight[:, 3].any()


# -- peaks -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("activation", [nn.ReLU, nn.Tanh])
@pytest.mark.parametrize("mirrored", [False, True])
def test_peaks__are_those_of_the_maps(photos, activation, mirrored):
    net = make_net(activation=activation)
    found = look(net, photos, batch_size=2)
    for i, name in enumerate(("3", "5")):
        peaks = (found.mirrored if mirrored else found.peaks)[i]
        maps = dense(net, photos, name, flip=mirrored)
        statistics = found.channel_mean[i].astype(float), found.channel_scale[i].astype(float)
        expected = oracle.find_peaks(maps, found.layers[i], *statistics, N_PEAKS)
        weight = np.zeros_like(peaks.weight)
        for n, c in np.ndindex(*weight.shape[:2]):
            values = [peak[2] for peak in expected[n][c]]
            weight[n, c, : len(values)] = values
        np.testing.assert_allclose(peaks.weight, weight, rtol=1e-4, atol=1e-5)
        for n, c in np.ndindex(*weight.shape[:2]):
            if expected[n][c]:
                np.testing.assert_allclose(peaks.yx[n, c, 0], expected[n][c][0][:2], atol=0.02)


def test_peaks__of_mirrored_photos_are_the_mirrored_peaks(net, photos):
    given = look(net, photos)
    turned = look(net, photos[:, :, ::-1], background=given)
    for ours, theirs in zip(given.mirrored, turned.peaks, strict=True):
        np.testing.assert_allclose(ours.weight, theirs.weight, rtol=1e-3, atol=1e-3)


def test_mirror_images__may_be_left_out(net, photos):
    found = look(net, photos, mirror=False)
    assert found.mirrored is None
    whole = look(net, photos)
    assert np.array_equal(found.peaks[0].weight, whole.peaks[0].weight)


def test_set__records_photos_and_network(net, photos):
    found = look(net, photos)
    assert found.images == tuple(f"{i:06d}" for i in range(7))
    assert found.input_size == (SIDE, SIDE)
    assert [spec.name for spec in found.layers] == ["3", "5"]
    assert found.header["model"] == "tiny"
    assert found.header["weight_hash"] == net.weight_hash
    assert found.header["skipped"] == []
    np.testing.assert_allclose(found.frames, np.tile([[0, 1 / SIDE]] * 2, (7, 1, 1)))


# -- batches and threads ---------------------------------------------------------------------------


def assert_close(ours, theirs):
    """Weights by value; places of the strongest peak wherever it is clearly that."""
    for a, b in zip((*ours.peaks, *ours.mirrored), (*theirs.peaks, *theirs.mirrored), strict=True):
        np.testing.assert_allclose(a.weight, b.weight, rtol=1e-3, atol=1e-3)
        clear = a.weight[..., 0] > 1.01 * a.weight[..., 1] + 1e-3
        np.testing.assert_allclose(a.yx[clear, 0], b.yx[clear, 0], atol=0.05)


@pytest.mark.parametrize("batch_size", [1, 2, 5])
def test_batches__do_not_matter(net, photos, batch_size):
    assert_close(look(net, photos, batch_size=batch_size), look(net, photos))


def test_photos__alone_or_among_others_have_the_same_peaks(net, photos):
    whole = look(net, photos)
    assert_close(look(net, photos[2:4], background=whole), whole.take(np.array([2, 3])))


def saved(peaks, folder):
    peaks.save(folder / "peaks.safetensors")
    return (folder / "peaks.safetensors").read_bytes()


def test_deterministic__is_the_same_for_any_batches_and_threads(net, photos, tmp_path):
    threads = torch.get_num_threads()
    try:
        files = []
        for count, batch_size in ((1, 7), (2, 3), (4, 1)):
            torch.set_num_threads(count)
            found = look(net, photos, deterministic=True, batch_size=batch_size)
            assert torch.get_num_threads() == count
            files.append(saved(found, tmp_path))
    finally:
        torch.set_num_threads(threads)
    assert files[0] == files[1] == files[2]


def test_deterministic__shows_the_network_one_photo_at_a_time_on_one_thread(
    net, photos, monkeypatch
):
    seen = []
    capture = net.capture

    def note(batch, layers):
        seen.append((len(batch), torch.get_num_threads()))
        return capture(batch, layers)

    monkeypatch.setattr(net, "capture", note)
    look(net, photos, deterministic=True, batch_size=4)
    assert set(seen) == {(1, 1)}
    assert len(seen) == 3 * len(photos)  # statistics, as given, mirrored


def test_threads__are_given_back_after_an_error(net, photos):
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with pytest.raises(ZeroDivisionError):
            look(net, photos, deterministic=True, progress=lambda done, total: done / 0)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)


def stream(net, photos, **options):
    """Batches of the peaks that `look` collects."""
    layers, source = net.select(["3", "5"]), open_images(photos)
    options = {"progress": False, **options}
    statistics = channel_statistics(net, source, layers, options)
    return peak_batches(net, source, layers, statistics, options)


def test_stream__gives_the_rows_of_the_whole_in_order(net, photos):
    whole, seen = look(net, photos, batch_size=3, maps=True), []
    with stream(net, photos, batch_size=3, maps=True) as batches:
        for batch in batches:
            rows = slice(len(seen), len(seen) + len(batch.indices))
            seen += batch.indices
            for name in ("frames", "photo_size", "maps"):
                assert np.array_equal(getattr(batch, name), getattr(whole, name)[rows])
            for name in ("peaks", "mirrored"):
                for ours, theirs in zip(getattr(batch, name), getattr(whole, name), strict=True):
                    assert ours.layer == theirs.layer
                    assert np.array_equal(ours.yx, theirs.yx[rows])
                    assert np.array_equal(ours.weight, theirs.weight[rows])
        assert not batches.skipped
    assert seen == list(range(7))


def test_stream__leaves_out_what_is_not_asked_for(net, photos):
    with stream(net, photos, mirror=False) as batches:
        batch = next(batches)
    assert (batch.mirrored, batch.maps) == (None, None)


def test_stream__counts_what_it_skips(net, folder):
    with stream(net, folder, batch_size=2) as batches:
        indices = [batch.indices for batch in batches]
        assert batches.skipped.names == ["2.png", "5.png"]
    assert indices == [[0, 1], [3, 4], [6]]


def test_stream__may_be_left_early(net, photos):
    before = threading.active_count()
    with stream(net, photos, batch_size=1, workers=3) as batches:
        next(batches)
        assert threading.active_count() > before
    assert threading.active_count() == before
    with pytest.raises(StopIteration):
        next(batches)


def test_rows__are_allocated_once_for_all_photos(net, folder):
    """Memory is the peaks once: views of arrays that have room for photos that were skipped."""
    found = look(net, folder, batch_size=2)
    for peaks in (*found.peaks, *found.mirrored):
        for array in (peaks.yx, peaks.weight):
            assert len(array) == 5
            assert owner(array).shape == (7, *array.shape[1:])


def owner(array):
    return array if array.base is None else owner(array.base)


# -- precision -------------------------------------------------------------------------------------


def test_precision__half_is_near_single_and_recorded(net, photos):
    single, half = look(net, photos), look(net, photos, precision="bfloat16")
    assert "precision" not in single.header
    assert "precision" not in look(net, photos, precision="float32").header
    assert half.header["precision"] == "bfloat16"
    for ours, theirs in zip(half.peaks, single.peaks, strict=True):
        assert ours.weight.dtype == np.float32
        strongest = ours.weight[..., 0], theirs.weight[..., 0]
        assert not np.array_equal(*strongest)
        np.testing.assert_allclose(*strongest, rtol=0.05, atol=0.05)
    scales = zip(half.channel_scale, single.channel_scale, strict=True)
    assert any(not np.array_equal(*scale) for scale in scales)


def test_precision__of_half_that_overflows_is_refused(photos):
    net = make_net()
    with torch.no_grad():
        net.module[2].weight.mul_(1e6)
    assert np.isfinite(look(net, photos).peaks[0].weight).all()
    with pytest.raises(ExplGraphError, match=r"layer 3 gave .* in float16.*: use .*bfloat16"):
        look(net, photos, precision="float16")


def test_precision__unknown_is_refused(net, photos):
    with pytest.raises(ExplGraphError, match="one of float32, bfloat16, float16, got 'half'"):
        look(net, photos, precision="half")


# -- where maps go ---------------------------------------------------------------------------------


def test_dense_maps__stay_where_the_network_runs(photos, monkeypatch):
    """What goes to the host on the way that GPUs take: sums of channels, peaks."""
    module = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.ReLU())
    net = Backbone(module, input_size=(SIDE, SIDE), device="cpu")
    expected = extract(net, photos, layers=["1"], progress=False, batch_size=7)
    sent = []

    def note(method):
        def call(tensor, *arguments):
            sent.append(tuple(tensor.shape))
            return method(tensor, *arguments)

        return call

    def find_peaks(maps, *arguments):
        return torch_peaks.find_peaks(maps, *arguments, N_PEAKS)

    monkeypatch.setattr(extraction, "_find_peaks", find_peaks)
    for name in ("cpu", "numpy", "tolist", "item", "__array__"):
        monkeypatch.setattr(torch.Tensor, name, note(getattr(torch.Tensor, name)))
    found = extract(net, photos, layers=["1"], progress=False, workers=1, batch_size=7)
    pixels = (3, SIDE, SIDE)  # preprocessing, on the host
    results = {pixels, (16,), (7,), (7, 16, N_PEAKS, 3)}
    assert set(sent) == results
    assert_close(found, expected)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_gpu__finds_the_same_peaks(photos):
    on_gpu = make_net()
    on_gpu = Backbone(on_gpu.module, input_size=(SIDE, SIDE), device="cuda")
    found = look(on_gpu, photos, maps=True)
    expected = look(make_net(), photos, maps=True)
    assert_close(found, expected)
    np.testing.assert_allclose(found.maps, expected.maps, rtol=0.01, atol=0.01)


# -- bad input -------------------------------------------------------------------------------------


def test_unreadable_photos__are_skipped_and_named(net, photos, folder, caplog):
    with caplog.at_level(logging.WARNING, logger="explgraph"):
        found = look(net, folder, batch_size=2)
    assert found.header["skipped"] == ["2.png", "5.png"]
    assert found.images == ("0.png", "1.png", "3.png", "4.png", "6.png")
    assert "skipped 2 of 7 images" in caplog.text
    assert "5.png" in caplog.text
    rest = look(net, photos[[0, 1, 3, 4, 6]])
    assert_close(found, rest)


def test_unreadable_photos__stop_a_strict_run(net, folder):
    with pytest.raises(ExplGraphError, match=r"2\.png"):
        look(net, folder, strict=True)


def test_unreadable_photos__alone_are_an_error(net, folder):
    with pytest.raises(ExplGraphError, match="none of the 2 images can be used"):
        look(net, [folder / "2.png", folder / "5.png"])


def test_no_photos__is_an_error(net, photos, tmp_path):
    for nothing in (tmp_path, [], photos[:0]):
        with pytest.raises(ExplGraphError, match=r"no (image|photo)"):
            look(net, nothing)


def test_one_photo__has_peaks(net, photos):
    assert len(look(net, photos[:1])) == 1


def test_layer_that_never_fires__is_an_error(photos):
    net = make_net()
    with torch.no_grad():
        net.module[4].weight.zero_()
        net.module[4].bias.fill_(-1)
    with pytest.raises(ExplGraphError, match="layer 5 never fires: leave it out"):
        look(net, photos)


def test_layer_that_fires_on_the_background_alone__has_no_peaks(net, photos):
    found = look(net, photos)
    dark = np.zeros((3, 44, 50, 3), dtype=np.uint8)
    quiet = make_net()
    with torch.no_grad():
        quiet.module[4].weight.zero_()
        quiet.module[4].bias.fill_(-1)
    there = look(quiet, dark, background=found)
    assert not there.peaks[1].weight.any()


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_weights_that_are_not_finite__are_refused(value):
    module = make_net().module
    with torch.no_grad():
        module[2].weight[1, 2, 0, 0] = value
    with pytest.raises(ExplGraphError, match=r"1 of 3456 values of 2\.weight are NaN or infinite"):
        Backbone(module, input_size=(SIDE, SIDE), device="cpu")


class WhiteBreaks(nn.Conv2d):
    """A convolution that gives infinity for white photos."""

    def forward(self, x):
        white = x.amin(dim=(1, 2, 3), keepdim=True) > 1.9
        return super().forward(x) + torch.where(white, torch.inf, 0.0)


@pytest.mark.parametrize("background", [True, False])
def test_maps_that_are_not_finite__are_refused(photos, background):
    torch.manual_seed(0)
    net = Backbone(
        nn.Sequential(WhiteBreaks(3, 4, 3, padding=1)), input_size=(SIDE, SIDE), device="cpu"
    )
    bad = photos.copy()
    bad[3] = 255
    reference = photos if background else None
    message = "for 1 of 4 images" if background else "gave NaN or infinite values"
    with pytest.raises(ExplGraphError, match=message):
        extract(net, bad, layers=["0"], background=reference, progress=False)


@pytest.mark.parametrize("axis", [0, 1])
def test_rows__are_those_of_the_batches_and_filled_anew_when_cleared(net, photos, axis):
    layers, options = net.select(["3", "5"]), {"progress": False, "batch_size": 3}
    source = open_images(photos)
    statistics = channel_statistics(net, source, layers, options)
    whole = look(net, photos)
    rows = PeakRows(4, axis)
    for batch in peak_batches(net, source, layers, statistics, options):  # of 3, 3 and 1 photos
        if len(rows.indices) + len(batch.indices) > 4:
            rows.indices.clear()
        rows.append(batch)
    assert rows.is_full
    assert rows.indices == [3, 4, 5, 6]
    found = rows.arrays()
    np.testing.assert_array_equal(found["frames"], whole.frames[3:])
    assert set(found) >= {"peaks.0.yx", "peaks.0.weight", "mirrored.1.yx"}
    weight = np.moveaxis(found["mirrored.1.weight"], axis, 0)
    np.testing.assert_allclose(weight, whole.mirrored[1].weight[3:], rtol=1e-4, atol=1e-6)
    assert found["mirrored.1.weight"].flags.c_contiguous


def test_spans__are_fixed_ranges_and_batches_begin_anew_in_each(net, photos, monkeypatch):
    """Seven photos in units of four: whatever comes first, a unit's peaks are the same bits."""
    monkeypatch.setattr(reading, "GROUP", 4)
    layers, options = net.select(["3", "5"]), {"progress": False, "batch_size": 2}
    source = open_images(photos)
    statistics = channel_statistics(net, source, layers, options)
    spans = spans_of(span_size(net, options), 0, len(photos))
    assert spans == [range(4), range(4, 7)]
    assert spans_of(4, 5, 7) == [range(5, 7)]
    assert spans_of(4, 4, 9) == [range(4, 8), range(8, 9)]
    assert spans_of(4, 3, 3) == []
    whole = list(peak_batches(net, source, layers, statistics, options, spans))
    assert [batch.indices for batch in whole] == [[0, 1], [2, 3], [4, 5], [6]]
    last = list(peak_batches(net, source, layers, statistics, options, spans[1:]))
    for ours, theirs in zip(last, whole[2:], strict=True):
        assert ours.indices == theirs.indices
        assert ours.peaks[1].yx.tobytes() == theirs.peaks[1].yx.tobytes()


def test_unknown_layer__names_the_nearest(net, photos):
    with pytest.raises(ExplGraphError, match="unknown layer '33'"):
        extract(net, photos, layers=["33"], progress=False)


@pytest.mark.parametrize(
    "module",
    [
        nn.Sequential(nn.Flatten(), nn.Linear(3 * SIDE * SIDE, 8), nn.ReLU()),
        nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(3, 8, 1)),
    ],
    ids=["linear", "pooled"],
)
def test_network_without_maps__is_refused(photos, module):
    net = Backbone(module, input_size=(SIDE, SIDE), device="cpu")
    with pytest.raises(ExplGraphError, match="no spatial layers to mine"):
        extract(net, photos, progress=False)
