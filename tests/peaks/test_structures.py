"""The data types: shapes are checked, arrays frozen, files round."""

import dataclasses

import numpy as np
import pytest

from explgraph.base.errors import ExplGraphError
from explgraph.base.files import read_arrays
from explgraph.base.layer import LayerSpec, look_layer
from explgraph.graphs.matches import Matches
from explgraph.peaks.structures import Peaks, PeakSet
from tests.support.damage import put, rewrite
from tests.support.planted_peaks import layer_spec, planted_peaks

ARRAYS = ("yx", "score", "log_density", "peak", "mirrored", "node_layer")
NOT_WHOLE = "not a whole explgraph peaks file"


@pytest.fixture(scope="module")
def peaks():
    return planted_peaks(n_images=4, channels=3).peaks


@pytest.fixture
def matches(rng):
    return Matches(
        images=("a/1.png", "b.png", "c.png"),
        yx=rng.random((3, 5, 2)),
        score=rng.random((3, 5)),
        log_density=rng.normal(0, 1, (3, 5)),
        peak=rng.integers(-1, 8, (3, 5)),
        mirrored=np.array([0, 1, 0]),
        node_layer=np.array([0, 0, 1, 1, 1]),
        header={"model": "m", "graph_hash": "h"},
    )


def same_peaks(ours, theirs):
    assert ours.layer == theirs.layer
    assert np.array_equal(ours.yx, theirs.yx)
    assert np.array_equal(ours.weight, theirs.weight)


def same_sets(ours, theirs):
    assert (ours.images, ours.input_size, dict(ours.header)) == (
        theirs.images,
        theirs.input_size,
        dict(theirs.header),
    )
    assert np.array_equal(ours.frames, theirs.frames)
    for kind in ("peaks", "mirrored"):
        first, second = getattr(ours, kind), getattr(theirs, kind)
        assert (first is None) == (second is None)
        for a, b in zip(first or (), second or (), strict=True):
            same_peaks(a, b)
    for name in ("channel_mean", "channel_scale"):
        for a, b in zip(getattr(ours, name), getattr(theirs, name), strict=True):
            assert np.array_equal(a, b)


# -- layers and peaks ------------------------------------------------------------------------------


def test_layer__goes_through_json():
    layer = LayerSpec("a.1", 3, (4, 5), (8.0, 8.5), (3.5, 4.0), (19, 21), False, True)
    assert LayerSpec.from_json(layer.to_json()) == layer


def test_peaks__are_frozen_but_not_the_callers_arrays(rng):
    yx, weight = rng.random((2, 3, 4, 2), dtype=np.float32), rng.random((2, 3, 4), dtype=np.float32)
    peaks = Peaks(layer_spec(0, 8, 3), yx, weight)
    with pytest.raises(ValueError, match="read-only"):
        peaks.yx[0] = 0
    with pytest.raises(dataclasses.FrozenInstanceError):
        peaks.yx = yx
    assert yx.flags.writeable
    assert peaks.yx.dtype == peaks.weight.dtype == np.float32


@pytest.mark.parametrize(
    ("yx", "weight", "message"),
    [
        (np.zeros((2, 3, 4, 2)), np.zeros((2, 5, 4)), r"Peaks\.weight must have shape"),
        (np.zeros((2, 3, 5, 2)), np.zeros((2, 3, 4)), r"Peaks\.yx must have shape"),
        (np.zeros((2, 3, 4, 3)), np.zeros((2, 3, 4)), r"Peaks\.yx must have shape"),
        (np.zeros((3, 4, 2)), np.zeros((3, 4)), r"Peaks\.weight must have shape"),
        (put(7, np.nan)(np.zeros((2, 3, 4, 2))), np.zeros((2, 3, 4)), "yx must be finite"),
        (np.zeros((2, 3, 4, 2)), put(7, np.nan)(np.zeros((2, 3, 4))), "weight .* finite"),
    ],
)
def test_peaks__of_what_does_not_fit_are_refused(yx, weight, message):
    with pytest.raises(ExplGraphError, match=message):
        Peaks(layer_spec(0, 8, 3), yx, weight)


@pytest.mark.parametrize("images", [[2, 0], [True, False, True, False], [], [-1]], ids=str)
def test_take__selects_photos_everywhere(peaks, images):
    index = np.array(images) if images else np.array([], dtype=int)
    part = peaks.take(index)
    expected = np.arange(4)[index]
    assert part.images == tuple(peaks.images[i] for i in expected)
    assert np.array_equal(part.mirrored[1].yx, peaks.mirrored[1].yx[expected])
    assert np.array_equal(part.peaks[0].weight, peaks.peaks[0].weight[expected])
    assert len(part) == len(part.frames) == len(expected)


def test_oriented__takes_each_photo_the_way_that_is_asked(peaks):
    mirrored = [0, 1, 1, 0]
    for layer, found in enumerate(peaks.oriented(mirrored)):
        for i, flip in enumerate(mirrored):
            way = (peaks.mirrored if flip else peaks.peaks)[layer]
            same_peaks(found.take([i]), way.take([i]))
        assert not np.array_equal(found.yx, peaks.peaks[layer].yx)
    assert peaks.oriented(np.zeros(4)) == peaks.peaks


def test_oriented__refuses_what_cannot_be_mirrored(peaks):
    with pytest.raises(ExplGraphError, match="mirrored must have shape"):
        peaks.oriented(np.ones(3))
    given = dataclasses.replace(peaks, mirrored=None)
    assert given.oriented(np.zeros(4)) == peaks.peaks
    with pytest.raises(ExplGraphError, match="extract with mirror=True"):
        given.oriented(np.ones(4))


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("images frames", "PeakSet has 3 images but 4 rows of peaks"),
        ("frames", r"PeakSet\.frames must have shape"),
        ("channel_mean", "channel_mean needs one array per layer"),
        ("mirrored", "mirrored"),
    ],
)
def test_peak_set__must_fit_together(peaks, names, message):
    with pytest.raises(ExplGraphError, match=message):
        dataclasses.replace(peaks, **{name: getattr(peaks, name)[1:] for name in names.split()})


def test_peak_set__header_cannot_be_changed(peaks):
    with pytest.raises(TypeError):
        peaks.header["model"] = "other"


# -- peaks files -----------------------------------------------------------------------------------


def test_peak_set__goes_through_a_file(peaks, tmp_path):
    peaks.save(tmp_path / "a.safetensors")
    again = PeakSet.load(tmp_path / "a.safetensors")
    same_sets(again, peaks)
    again.save(tmp_path / "b.safetensors")
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


def test_peak_set__without_mirror_images_goes_through_a_file(peaks, tmp_path):
    plain = dataclasses.replace(peaks, mirrored=None)
    plain.save(tmp_path / "a.safetensors")
    same_sets(PeakSet.load(tmp_path / "a.safetensors"), plain)


def test_peak_set__of_transposed_arrays_goes_through_a_file(peaks, tmp_path):
    def scattered(array):
        return np.asfortranarray(array)

    layers = tuple(Peaks(p.layer, scattered(p.yx), scattered(p.weight)) for p in peaks.peaks)
    odd = dataclasses.replace(peaks, peaks=layers, frames=scattered(peaks.frames))
    peaks.save(tmp_path / "a.safetensors")
    odd.save(tmp_path / "b.safetensors")
    same_sets(PeakSet.load(tmp_path / "b.safetensors"), peaks)
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


@pytest.mark.parametrize(
    ("entry", "change", "message"),
    [
        ("frames", None, NOT_WHOLE),
        ("peaks.1.weight", None, NOT_WHOLE),
        ("channel_mean.0", None, NOT_WHOLE),
        ("peaks.0.weight", lambda weight: weight[:, 1:], r"peaks\.0\.weight must have shape"),
    ],
)
def test_peak_set__file_whose_arrays_do_not_fit_is_refused(peaks, tmp_path, entry, change, message):
    peaks.save(tmp_path / "a")
    rewrite(tmp_path / "a", "peaks", entry, change)
    with pytest.raises(ExplGraphError, match=message):
        PeakSet.load(tmp_path / "a")


# -- matches ---------------------------------------------------------------------------------------


def test_matches__go_through_a_file(matches, tmp_path):
    matches.save(tmp_path / "m.safetensors")
    again = Matches.load(tmp_path / "m.safetensors")
    assert again.images == matches.images
    assert dict(again.header) == dict(matches.header)
    for name in ARRAYS:
        assert getattr(again, name).dtype == getattr(matches, name).dtype
        assert np.array_equal(getattr(again, name), getattr(matches, name))


def test_matches__file_has_what_the_contract_names(matches, tmp_path):
    matches.save(tmp_path / "m.safetensors")
    arrays, header = read_arrays(tmp_path / "m.safetensors", "matches")
    kinds = {name: (array.dtype.name, array.shape) for name, array in arrays.items()}
    assert kinds == {
        "yx": ("float32", (3, 5, 2)),
        "score": ("float32", (3, 5)),
        "log_density": ("float32", (3, 5)),
        "peak": ("int8", (3, 5)),
        "mirrored": ("uint8", (3,)),
        "node_layer": ("int32", (5,)),
    }
    assert header["images"] == ["a/1.png", "b.png", "c.png"]


def test_matches__canonical_places_mirror_the_mirrored_photos(matches):
    found = matches.canonical_yx
    assert np.array_equal(found[..., 0], matches.yx[..., 0])
    assert np.array_equal(found[[0, 2], :, 1], matches.yx[[0, 2], :, 1])
    np.testing.assert_allclose(found[1, :, 1], 1 - matches.yx[1, :, 1])


def test_matches__take_selects_photos_and_nodes(matches):
    part = matches.take(np.array([2, 0]), np.array([False, True, False, True, True]))
    assert part.images == ("c.png", "a/1.png")
    assert part.node_layer.tolist() == [0, 1, 1]
    for name in ("yx", "score", "log_density", "peak"):
        expected = getattr(matches, name)[[2, 0]][:, [1, 3, 4]]
        assert np.array_equal(getattr(part, name), expected)
    assert np.array_equal(matches.take().yx, matches.yx)
    assert matches.take(nodes=np.array([], dtype=int)).yx.shape == (3, 0, 2)


@pytest.mark.parametrize("name", ARRAYS[:5])
def test_matches__shapes_must_fit(matches, name):
    with pytest.raises(ExplGraphError, match=rf"Matches\.{name} must have shape"):
        dataclasses.replace(matches, **{name: getattr(matches, name)[1:]})


def test_matches__a_file_of_peaks_is_refused(peaks, tmp_path):
    peaks.save(tmp_path / "p.safetensors")
    with pytest.raises(ExplGraphError, match="holds 'peaks', expected 'matches'"):
        Matches.load(tmp_path / "p.safetensors")


# -- the layer of looks ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("grids", "chosen"),
    [
        ([(27, 27), (13, 13)], 1),
        ([(14, 14), (14, 14), (7, 7)], 1),
        ([(56, 56), (10, 20), (9, 20)], 1),
        ([(8, 8), (7, 7)], 0),
        ([(7, 7), (7, 7)], 1),
    ],
)
def test_look_layer__is_the_deepest_that_is_fine_enough(grids, chosen):
    layers = [LayerSpec(str(grid), 3, grid, (8, 8), (4, 4), (9, 9)) for grid in grids]
    assert look_layer(layers) == chosen
