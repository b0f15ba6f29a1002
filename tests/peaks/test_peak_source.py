"""What mining sees of photos: blocks of filters, groups of photos; from memory, from files."""

import dataclasses

import numpy as np
import pytest

from explgraph.base.errors import ExplGraphError
from explgraph.peaks import structures
from explgraph.peaks.structures import Peaks, PeakSource
from tests.peaks.test_structures import same_sets
from tests.support.planted_peaks import planted_peaks
from tests.support.spooling import spool_by_hand

N, CHANNELS = 11, 5
LAYERS = (0, 1)


@pytest.fixture(scope="module")
def peaks():
    """Mirrored peaks, too, are at random places: nothing can stand in for anything else."""
    given = planted_peaks(n_images=N, channels=CHANNELS).peaks
    other = planted_peaks(n_images=N, channels=CHANNELS, seed=1).peaks
    sizes = np.arange(2 * N).reshape(N, 2) + 30
    return dataclasses.replace(given, mirrored=other.peaks, photo_size=sizes)


@pytest.fixture(scope="module")
def plain(peaks):
    return dataclasses.replace(peaks, mirrored=None)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("spools")


@pytest.fixture(params=["memory", "files"])
def source(request, peaks, folder) -> PeakSource:
    return peaks if request.param == "memory" else spool_by_hand(peaks, folder / "a", (4, 4, 3))


@pytest.fixture(params=["memory", "files"])
def plain_source(request, plain, folder) -> PeakSource:
    return plain if request.param == "memory" else spool_by_hand(plain, folder / "b", (4, 4, 3))


def columns(block, first, last):
    """The arrays of filters first..last-1 of a block, which may hold more."""
    chosen = slice(first - block.first, last - block.first)
    assert chosen.start >= 0
    assert chosen.stop <= block.weight.shape[1]
    return [array[:, chosen] for array in block[:4]]


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("first, last", [(0, 1), (2, 4), (0, CHANNELS), (4, 5)])
def test_block__has_the_filters_of_all_photos(source, peaks, layer, first, last):
    given, other = peaks.peaks[layer], peaks.mirrored[layer]
    expected = [a[:, first:last] for a in (given.weight, given.yx, other.weight, other.yx)]
    for ours, theirs in zip(
        columns(source.block(layer, first, last), first, last), expected, strict=True
    ):
        assert ours.tobytes() == theirs.tobytes()


def test_block__of_photos_without_mirror_images_shows_them_as_given_twice(plain_source, plain):
    block = plain_source.block(1, 1, 3)
    assert block.mirrored_weight is block.weight
    assert block.mirrored_yx is block.yx
    assert np.array_equal(columns(block, 1, 3)[1], plain.peaks[1].yx[:, 1:3])
    assert plain_source.n_views == 1


@pytest.mark.parametrize("first, last", [(0, CHANNELS), (1, 3)])
def test_block__arrays_are_all_of_one_kind(source, first, last):
    """A compiled kernel has one form for each kind of array."""
    for array in source.block(0, first, last)[:4]:
        assert array.dtype == np.float32
        assert array.flags.c_contiguous
        assert not array.flags.writeable


def test_block__of_peaks_in_memory_is_no_copy(peaks):
    block = peaks.block(1, 2, 3)
    assert block.weight is peaks.peaks[1].weight
    assert block.mirrored_yx is peaks.mirrored[1].yx
    assert block.first == 0


def test_block__of_files_holds_what_was_asked_for(peaks, tmp_path):
    block = spool_by_hand(peaks, tmp_path, (N,)).block(1, 2, 4)
    assert block.weight.shape == (N, 2, 5)
    assert block.first == 2


@pytest.mark.parametrize("first, last", [(-1, 2), (2, 2), (3, CHANNELS + 1)])
def test_block__of_files_has_only_filters_that_are_there(peaks, tmp_path, first, last):
    spooled = spool_by_hand(peaks, tmp_path, (N,))
    with pytest.raises(ExplGraphError, match=r"the layer has filters 0 to 4, got"):
        spooled.block(0, first, last)


@pytest.mark.parametrize("size", [1, 3, 4, 10, 11, 12])
def test_groups__are_all_photos_in_order(monkeypatch, source, peaks, size):
    """Groups of files are those of memory, wherever shards end."""
    monkeypatch.setattr(structures, "GROUP", size)
    monkeypatch.setattr("explgraph.peaks.spool.reading.GROUP", size)
    groups = list(source.groups())
    assert [len(g) for g in groups] == [*[size] * (N // size), *([N % size] if N % size else [])]
    for start, group in zip(range(0, N, size), groups, strict=True):
        same_sets(group, peaks.take(np.arange(start, min(start + size, N))))
        assert np.array_equal(group.photo_size, peaks.photo_size[start : start + size])


def test_groups__of_photos_without_mirror_images(monkeypatch, plain_source, plain):
    monkeypatch.setattr(structures, "GROUP", 6)
    monkeypatch.setattr("explgraph.peaks.spool.reading.GROUP", 6)
    for group, rows in zip(plain_source.groups(), (slice(0, 6), slice(6, N)), strict=True):
        same_sets(group, plain.take(rows))


def test_groups__of_peaks_in_memory_are_no_copies(monkeypatch, peaks):
    monkeypatch.setattr(structures, "GROUP", 4)
    for group in peaks.groups():
        layers = zip((*group.peaks, *group.mirrored), (*peaks.peaks, *peaks.mirrored), strict=True)
        for ours, theirs in layers:
            assert np.shares_memory(ours.yx, theirs.yx)
            assert np.shares_memory(ours.weight, theirs.weight)


def test_groups__of_no_photos_are_none(peaks):
    assert list(peaks.take(slice(0, 0)).groups()) == []


def test_source__tells_about_the_photos(source, peaks):
    assert len(source) == N
    for name in ("images", "input_size", "layers", "n_views"):
        assert getattr(source, name) == getattr(peaks, name)
    assert dict(source.header) == dict(peaks.header)
    for name in ("frames", "photo_size", "channel_mean", "channel_scale"):
        assert np.array_equal(getattr(source, name), getattr(peaks, name))


def test_load__brings_files_into_memory(peaks, plain, tmp_path):
    same_sets(spool_by_hand(peaks, tmp_path / "a", (1, 7, 3)).load(), peaks)
    same_sets(spool_by_hand(plain, tmp_path / "b", (11,)).load(), plain)


# -- slices ----------------------------------------------------------------------------------------


def test_take__a_slice_is_what_its_indices_are_without_a_copy(peaks):
    part = peaks.take(slice(2, 9, 3))
    same_sets(part, peaks.take(np.array([2, 5, 8])))
    assert np.shares_memory(peaks.take(slice(2, 5)).frames, peaks.frames)
    one = Peaks(peaks.layers[0], peaks.peaks[0].yx, peaks.peaks[0].weight).take(slice(3, 5))
    assert np.array_equal(one.yx, peaks.peaks[0].yx[3:5])


def test_room__is_zeros_that_leave_nothing(source, folder):
    before = sorted(folder.rglob("*"))
    room = source.room((3, 2, 5))
    assert not room.any()
    room[1] = 7
    assert room.sum() == 70
    assert room.dtype == np.float32
    assert room.flags.c_contiguous
    assert sorted(folder.rglob("*")) == before
    assert source.room((0, 5)).shape == (0, 5)
