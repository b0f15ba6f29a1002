"""The scalar formulas, compiled and as plain Python."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mining import _math
from tests import oracle

CASES = [(0.0, 0.0, 1.0), (1.0, -2.0, 3.0), (-15.5, 4.0, 33.6**2), (7.9, 0.0, 1.0)]


def density(dy, dx, var):
    return _math.height(0.5 / var) * _math.bump(dy, dx, 0.5 / var)


@pytest.mark.parametrize("case", CASES)
def test_normal__is_the_density(case):
    *offset, var = case
    np.testing.assert_allclose(density(*case), oracle.normal_2d(*case), rtol=1e-13)
    log = math.log(oracle.normal_2d(*case))
    np.testing.assert_allclose(_math.log_normal_2d(*offset, 0.5 / var), log, rtol=1e-13)


def test_normal__integrates_to_one():
    side = np.linspace(-40, 40, 161)
    total = sum(density(y, x, 25.0) for y in side for x in side) * (side[1] - side[0]) ** 2
    assert abs(total - 1) < 1e-9


def test_normal__is_zero_where_it_is_far_and_its_log_is_not():
    assert density(8.1, 0.0, 1.0) == 0
    expected = -(8.1**2) / 2 - math.log(2 * math.pi)
    np.testing.assert_allclose(_math.log_normal_2d(8.1, 0.0, 0.5), expected)


@given(st.floats(-300, 300), st.floats(-300, 300), st.floats(1e-4, 50))
def test_compiled__equals_plain_python(dy, dx, half_precision):
    for function, arguments in (
        (_math.bump, (dy, dx, half_precision)),
        (_math.height, (half_precision,)),
        (_math.log_normal_2d, (dy, dx, half_precision)),
    ):
        assert math.isclose(function(*arguments), function.py_func(*arguments), rel_tol=1e-12)
