"""The scalar formulas, compiled and as plain Python, against the functions of the math library."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mining import _math
from tests.support import oracle

F4 = np.float32
OFFSETS = st.floats(-300, 300, width=32)
PRECISIONS = st.floats(2**-14, 50, width=32)
MANTISSAS = st.floats(1, float(np.nextafter(F4(2), F4(1))), width=32)
EXPONENTS = st.integers(-120, 120)


def density(dy, dx, var):
    half_precision = F4(0.5 / var)
    return _math.height(half_precision) * _math.bump(F4(dy), F4(dx), half_precision)


@pytest.mark.parametrize(
    "case", [(0.0, 0.0, 1.0), (1.0, -2.0, 3.0), (-15.5, 4.0, 33.6**2), (3.5, -3.0, 1.0)]
)
def test_normal__is_the_density(case):
    np.testing.assert_allclose(density(*case), oracle.normal_2d(*case), rtol=5e-6)


@pytest.mark.parametrize(
    "least, most, tolerance", [(0, 4, 4e-6), (4, 11.5, 8e-6), (11.5, 20, 2e-4), (20, 31.9, 4e-3)]
)
def test_bump__is_the_exponential(least, most, tolerance):
    """Less exactly where it is tiny: 11.5 is where it falls below 1e-5."""
    rng = np.random.default_rng(0)
    for exponent, angle in zip(
        rng.uniform(least, most, 2000), rng.uniform(0, 7, 2000), strict=True
    ):
        half_precision = F4(10 ** rng.uniform(-5, 1))
        length = math.sqrt(exponent / half_precision)
        dy, dx = F4(length * math.sin(angle)), F4(length * math.cos(angle))
        expected = math.exp(-(float(dy) ** 2 + float(dx) ** 2) * float(half_precision))
        assert _math.bump(dy, dx, half_precision) == pytest.approx(expected, rel=tolerance)


def test_bump__falls_all_the_way_to_0():
    """At most by rounding does it rise: a nearer peak is not taken for a farther one."""
    value = [_math.bump(F4(y), F4(0), F4(0.5)) for y in np.linspace(0, 9, 4001)]
    assert value[0] == 1
    assert value[-1] == 0
    assert np.all(np.diff(value) <= 2e-6 * np.array(value[:-1]))


def test_normal__integrates_to_one():
    side = np.linspace(-40, 40, 161)
    total = sum(density(y, x, 25.0) for y in side for x in side) * (side[1] - side[0]) ** 2
    assert abs(total - 1) < 1e-6


@pytest.mark.parametrize("offset, is_zero", [(7.99, False), (8.01, True), (1e18, True)])
def test_bump__is_zero_where_it_is_far(offset, is_zero):
    """Beyond 8 standard deviations: half the square is more than 32."""
    assert (_math.bump(F4(0), F4(-offset), F4(0.5)) == 0) == is_zero


@given(EXPONENTS, MANTISSAS)
def test_log__is_the_logarithm(exponent, mantissa):
    expected = math.log(mantissa) + exponent * math.log(2)
    assert _math.log_of(F4(exponent), F4(mantissa)) == pytest.approx(expected, rel=5e-7, abs=5e-7)


@given(MANTISSAS)
def test_log__near_1_loses_no_digits(mantissa):
    assert _math.log_of(F4(0), F4(mantissa)) == pytest.approx(math.log(mantissa), rel=1e-6)


def test_log__of_powers_of_two_by_hand():
    """log 1 = 0, log 2 = .693147, log(1/8) = -2.079442."""
    found = [_math.log_of(F4(exponent), F4(1)) for exponent in (0, 1, -3)]
    np.testing.assert_allclose(found, [0, 0.693147, -2.079442], atol=1e-6)


@given(OFFSETS, OFFSETS, PRECISIONS, EXPONENTS, MANTISSAS)
def test_compiled__equals_plain_python(dy, dx, half_precision, exponent, mantissa):
    """To the last bit: nothing is reordered or contracted."""
    for function, arguments in (
        (_math.bump, (dy, dx, half_precision)),
        (_math.height, (half_precision,)),
        (_math.log_of, (exponent, mantissa)),
    ):
        values = [F4(value) for value in arguments]
        with np.errstate(all="ignore"):  # the series is computed even where it is not needed
            assert function(*values) == function.py_func(*values)
