"""The lines that serve NumPy and PyTorch give both the same; here with tensors of the CPU."""

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from explgraph.base.arrays import beside, namespace_of, on_host
from explgraph.graphs.matches import fires
from mining import MiningConfig, described, pose
from mining.em import Inference, PeakColumns
from mining.guides import Placed
from mining.matching import _sum_by_photo
from mining.parents import Companions, choose_parents, plain_prior
from mining.pooling import pool_peaks
from mining.pose import PoseMap, pose_basis, pose_shift, regress
from tests.support.planted_peaks import SIDE, random_peaks

pytest.importorskip("array_api_compat")

N, P, UPPER, E = 30, 7, 11, 9
CONFIG = MiningConfig(pose_terms=4)


def put(array):
    return torch.tensor(array)


def brought(arrays, put=put):
    return type(arrays)(*map(put, arrays))


def assert_all_close(actual, expected, **tolerance):
    for ours, theirs in zip(actual, expected, strict=True):
        assert isinstance(ours, torch.Tensor)
        assert np.asarray(ours).dtype == theirs.dtype
        np.testing.assert_allclose(on_host(ours), theirs, **tolerance)


@pytest.fixture
def peaks(rng):
    """A layer of two blocks of filters; one photo is empty."""
    peaks = random_peaks(rng, n_images=N, channels=70)
    weight = peaks.weight.copy()
    weight[4] = 0
    return type(peaks)(peaks.layer, peaks.yx, weight)


@pytest.fixture
def placed(rng):
    """Displacements (P, 2, N) and scores (P, N), one node in no photo."""
    score = rng.gamma(0.5, 1.0, (P, N)).astype(np.float32)
    score[2] = 0
    return rng.normal(0, 9, (P, 2, N)).astype(np.float32), score


# -- arrays ----------------------------------------------------------------------------------------


def test_namespace_of__is_the_arrays_own():
    assert namespace_of(np.zeros(1)) is np
    assert namespace_of(torch.zeros(1)).__name__ == "array_api_compat.torch"


def test_beside__copies_what_is_read_only_and_leaves_numpy_alone():
    given = np.arange(3.0)
    given.flags.writeable = False
    assert beside(given, np.zeros(1)) is given
    found = beside(given, torch.zeros(1))
    found += 1
    assert found.tolist() == [1, 2, 3]
    assert given.tolist() == [0, 1, 2]
    assert on_host(given) is given


# -- poses -----------------------------------------------------------------------------------------


def test_pool_peaks__products_of_tents_are_the_loops_shares(peaks):
    yx = peaks.yx.copy()
    yx[0, :3, 0] = [[0, 0], [SIDE, SIDE], [SIDE / 8, 3]]  # corners, and the middle of a cell
    size = SIDE, SIDE
    actual = pool_peaks(put(yx), put(peaks.weight), size)
    assert_all_close([actual], [pool_peaks(yx, peaks.weight, size)], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("most", [1000, 25])
def test_pose_basis__agrees(peaks, monkeypatch, most):
    """Also where components are looked for in some photos alone."""
    monkeypatch.setattr(pose, "MOST_PHOTOS", most)
    whole = PeakColumns.of(peaks)

    def basis(arrays):
        def columns(first, last):
            return PeakColumns(*(array[first:last] for array in arrays))

        return pose_basis(columns, peaks.layer, N, (SIDE, SIDE), CONFIG)

    expected, actual = basis(whole), basis(brought(whole))
    assert len(expected.scale) == 4
    for ours, theirs in zip(actual, expected, strict=True):
        assert isinstance(ours, np.ndarray)
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_pose_basis__of_no_peaks_is_none(peaks):
    blank = brought(PeakColumns.of(peaks))
    blank = PeakColumns(torch.zeros_like(blank.weight), blank.yx)

    def columns(first, last):
        return PeakColumns(*(array[first:last] for array in blank))

    assert pose_basis(columns, peaks.layer, N, (SIDE, SIDE), CONFIG) is None


def test_regress__agrees(rng, placed):
    code = rng.normal(0, 1, (N, 4))
    expected = regress(code, *placed, 2.0)
    assert np.abs(expected.move).max() > 0.3
    assert_all_close(regress(put(code), *map(put, placed), 2.0), expected, rtol=1e-9, atol=1e-12)


def test_poses__agree(rng, peaks):
    weight = rng.normal(0, 1, (70 * 16, 3)).astype(np.float32)
    poses = PoseMap(weight, np.ones(3, dtype=np.float32))
    expected = poses(peaks, (SIDE, SIDE))
    assert not expected[4].any()
    actual = poses.of(put(peaks.yx), put(peaks.weight), (SIDE, SIDE))
    assert_all_close([actual], [expected], rtol=1e-5, atol=1e-6)
    assert PoseMap.none().of(put(peaks.yx), put(peaks.weight), (SIDE, SIDE)).shape == (N, 0)


@pytest.mark.parametrize("rank", [0, 3])
def test_pose_shift__agrees(rng, rank):
    given = rng.normal(0, 1, (N, rank)), rng.normal(0, 5, (P, 2, rank))
    given = [array.astype(np.float32) for array in given]
    actual = pose_shift(*map(put, given))
    assert_all_close([actual], [pose_shift(*given)], rtol=1e-5, atol=1e-5)


# -- parents and places ----------------------------------------------------------------------------


def test_choose_parents__agree_and_take_the_first_of_equals(rng, placed):
    upper = rng.normal(0, 9, (UPPER, 2, N)).astype(np.float32), np.ones((UPPER, N), np.float32)
    expected = choose_parents(*placed, Companions.of(*upper), 3)
    found = choose_parents(*map(put, placed), Companions.of(*map(put, upper)), 3)
    seen = np.delete(np.arange(P), 2)
    np.testing.assert_array_equal(found[seen], expected[seen])
    assert found[2].tolist() == [0, 1, 2]  # no photo shows that node
    assert found.dtype == np.int32


def test_plain_prior__agrees(rng):
    shift = rng.normal(0, 1, (P, 2, N)).astype(np.float32)
    assert_all_close(plain_prior(put(shift), 9.0), plain_prior(shift, 9.0))


def test_places_densities_and_sums__agree(rng):
    places = [rng.uniform(0, SIDE, (P, 2, N)).astype(np.float32) for _ in range(2)]
    gain = rng.normal(0, 1, (5, N)).astype(np.float32)
    found = Inference(np.zeros((P, N), np.int8), np.zeros((P, N), np.float32), *places, gain)
    prior = plain_prior(places[0], 9.0)
    assert_all_close([brought(found).places(0.4)], [found.places(0.4)], rtol=1e-6)
    densities = brought(found).log_density(brought(prior)), found.log_density(prior)
    assert_all_close(densities[:1], densities[1:], rtol=1e-5)
    np.testing.assert_allclose(_sum_by_photo(put(gain)), _sum_by_photo(gain), rtol=1e-12)


# -- summaries -------------------------------------------------------------------------------------


@pytest.mark.parametrize("at_once", [4096, 4])
def test_edges__agree(rng, placed, monkeypatch, at_once):
    monkeypatch.setattr(described, "_EDGES", at_once)
    yx, score = placed
    child, parent = rng.integers(0, P, (2, E)).astype(np.int32)
    base = rng.normal(0, 3, (E, 2)).astype(np.float32)
    active = fires(score, score.mean(axis=1))
    np.testing.assert_array_equal(on_host(fires(put(score), put(score.mean(axis=1)))), active)
    strength = described._strength(score)
    np.testing.assert_allclose(on_host(described._strength(put(score))), strength, rtol=1e-6)
    for loop, width, nodes in (
        (described._relate, (E, 2, 4), (yx, score)),
        (described._multiply, (E, 1), (strength,)),
    ):
        expected, actual = np.ones(width), np.ones(width)
        described._over_edges(loop, child, parent, base, expected, *nodes)
        described._over_edges(loop, child, parent, base, actual, *map(put, nodes))
        assert np.ptp(expected) > 1
        np.testing.assert_allclose(actual, expected, rtol=1e-6)


# -- another device --------------------------------------------------------------------------------


@pytest.fixture
def pretended(monkeypatch):
    """Within it, a GPU is pretended: tensors have a device and no values, and must not be mixed."""
    monkeypatch.setattr(torch.cuda, "_lazy_init", lambda: None)
    with FakeTensorMode():
        yield lambda array: torch.tensor(array, device="cuda")


def edges(put, yx, score):
    ends = put(np.zeros((2, E), dtype=np.int32))
    return described._relation_sums(*ends, put(np.zeros((E, 2), dtype=np.float32)), yx, score)


STEPS = {
    "pose": lambda put, peaks, *_: PoseMap(
        np.ones((70 * 16, 2), dtype=np.float32), np.ones(2, dtype=np.float32)
    ).of(put(peaks.yx), put(peaks.weight), (SIDE, SIDE)),
    "photos": lambda put, peaks, *_: brought(PeakColumns.of(peaks), put).by_photo(np.arange(3)),
    "regressions": lambda put, _, *placed: regress(put(np.ones((N, 2))), *map(put, placed), 1.0),
    "companions": lambda put, _, *placed: Companions.of(*map(put, placed)),
    "edges": lambda put, _, *placed: edges(put, *map(put, placed)),
    "place": lambda put, _, *placed: Placed.of(
        Inference(None, put(placed[1]), put(placed[0]), put(placed[0]), None), np.ones((P, 2)), 0.4
    ),
}


@pytest.mark.parametrize("step", STEPS)
def test_steps__stay_on_their_device(pretended, peaks, placed, step):
    found = STEPS[step](pretended, peaks, *placed)
    for array in found if isinstance(found, tuple) else [found]:
        assert array.device.type == "cuda"


def test_pretended_device__is_not_mixed_with_the_cpu(pretended):
    with pytest.raises(RuntimeError, match=r"same device|different devices"):
        pretended(np.ones(3)) + torch.ones(3)
