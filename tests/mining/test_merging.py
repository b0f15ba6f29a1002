"""Merging of a filter's nodes: by hand, and against the definition in loops."""

import numpy as np
import pytest

from mining.em import Mixture
from mining.filters import merge_nodes
from tests.support import oracle


def mixture(mu, weight, counts):
    start = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    noise = np.linspace(0.1, 0.4, len(counts))
    return Mixture(start, np.array(mu, dtype=float), np.array(weight, dtype=float), noise)


def test_merging__by_hand():
    """In filter 0 node 1 takes nodes 0 and 2; in filter 1 both stay; filter 2 is another filter.

    Nodes 0, 1 and 2 lie in a row, 5 px apart: the middle one is the heaviest. Node 3 is 6 px away.
    """
    rows = [(10, 10), (10, 15), (10, 20), (16, 15), (50, 50), (50, 56), (50, 50)]
    given = mixture(rows, [0.2, 0.4, 0.3, 0.1, 0.5, 0.5, 1], [4, 2, 1])
    found, kept = merge_nodes(given, 6)
    assert kept.tolist() == [1, 3, 4, 5, 6]
    assert found.start.tolist() == [0, 2, 4, 5]
    assert found.mu.tolist() == [list(map(float, rows[i])) for i in kept]
    np.testing.assert_allclose(found.weight, [0.9, 0.1, 0.5, 0.5, 1])
    assert np.array_equal(found.noise, given.noise)


def test_merging__a_node_joins_the_nearest_that_stays():
    """Node 2 lies 5 px from the heavier node 0 and 4 px from node 1."""
    found, kept = merge_nodes(mixture([(0, 0), (0, 9), (0, 5)], [0.5, 0.3, 0.2], [3]), 6)
    assert kept.tolist() == [0, 1]
    np.testing.assert_allclose(found.weight, [0.5, 0.5])


def test_merging__is_no_chain():
    """Each is near the next, but what is merged attracts nothing: the ends both stay."""
    found, kept = merge_nodes(mixture([(0, 0), (0, 5), (0, 10)], [0.5, 0.3, 0.2], [3]), 6)
    assert kept.tolist() == [0, 2]
    np.testing.assert_allclose(found.weight, [0.8, 0.2])


def test_merging__of_equal_nodes_the_first_stays():
    found, kept = merge_nodes(mixture([(3, 3)] * 4, [0.25] * 4, [4]), 1)
    assert kept.tolist() == [0]
    assert found.weight.tolist() == [1]


def test_merging__with_radius_0_keeps_even_equal_places():
    assert merge_nodes(mixture([(3, 3)] * 2, [0.5] * 2, [2]), 0)[1].tolist() == [0, 1]


def test_merging__of_no_nodes():
    found, kept = merge_nodes(mixture(np.zeros((0, 2)), [], [0, 0]), 5)
    assert len(found) == len(kept) == 0
    assert found.start.tolist() == [0, 0, 0]


@pytest.mark.parametrize("seed", range(5))
def test_merging__equals_the_definition(seed):
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, 15, 6)
    weight = np.concatenate([rng.dirichlet(np.ones(n)) for n in counts if n])
    given = mixture(rng.uniform(0, 40, (counts.sum(), 2)), weight, counts)
    found, kept = merge_nodes(given, 8)
    expected = {}
    for first, stop in zip(given.start, given.start[1:], strict=False):
        part = oracle.merged(given.mu[first:stop], given.weight[first:stop], 8)
        expected |= {first + v: share for v, share in part.items()}
    assert kept.tolist() == sorted(expected)
    assert len(kept) < len(given)
    np.testing.assert_allclose(found.weight, [expected[v] for v in kept])
