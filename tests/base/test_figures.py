"""Standard errors and correlations, against SciPy's."""

import math

import numpy as np
import pytest
from scipy.stats import pearsonr, sem

from explgraph.base.figures import correlation, standard_error


def test_standard_error__is_scipys_and_nan_for_one_value(rng):
    values = rng.normal(size=7)
    assert standard_error(values) == pytest.approx(sem(values))
    assert math.isnan(standard_error(values[:1]))
    assert math.isnan(standard_error(np.append(values, np.nan)))


def test_correlation__is_pearsons_over_the_pairs_that_are_known(rng):
    one, other = rng.normal(size=(2, 9))
    expected = pearsonr(one[2:], other[2:]).statistic
    one[0], other[1] = np.nan, np.inf
    assert correlation(one, other) == pytest.approx(expected)


@pytest.mark.parametrize("one", [[1, 2, np.nan], [1, 1, 1]], ids=["two pairs", "a constant"])
def test_correlation__is_nan_where_there_is_none(one):
    assert math.isnan(correlation(np.array(one, dtype=float), np.array([3.0, 1, 2])))
