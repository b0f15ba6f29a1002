"""Each formula of the mixture once: scalar functions that the CPU loops and the CUDA kernels call.

Equation numbers are those of the model description in docs/method.md. Arguments and results are
float32 in the kernels.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from explgraph.base.arrays import F8
from explgraph.base.jit import jit

Real = float | np.floating[Any]

FAR = np.float32(32.0)
"""Squared distance over 2 S^2 beyond which a density is taken as zero: exp(-32) is 1e-14."""

_ZERO, _ONE, _TWO = np.float32(0.0), np.float32(1.0), np.float32(2.0)
_SHARE = np.float32(1.0 / 32.0)
_A2, _A3, _A4, _A5, _A6, _A7 = (np.float32(1.0 / math.factorial(i)) for i in range(2, 8))
_B3, _B5, _B7, _B9, _B11 = (np.float32(1.0 / i) for i in range(3, 13, 2))
_LN2 = np.float32(math.log(2.0))
_LEAST = np.float32(1e-37)  # its logarithm is finite
_PER_PI = np.float32(1.0 / math.pi)


@jit
def bump(dy: Real, dx: Real, half_precision: Real) -> Real:
    """Return exp(-|d|^2 / (2 S^2)), half_precision being 1 / (2 S^2); 0 where that is far.

    The 32nd power of the exponential's series at a 32nd of the exponent. It is right to 4e-6 as
    long as it is above 1e-5, and to 2e-3 at the end. Unlike the library's function it is computed
    for as many photos at once as the machine has lanes, and alike on every machine.
    """
    exponent = (dy * dy + dx * dx) * half_precision
    z = -exponent * _SHARE
    power = _ONE + z * (_ONE + z * (_A2 + z * (_A3 + z * (_A4 + z * (_A5 + z * (_A6 + z * _A7))))))
    power *= power
    power *= power
    power *= power
    power *= power
    power *= power
    return power if exponent < FAR else _ZERO


@jit
def log_of(exponent: Real, mantissa: Real) -> Real:
    """Return log(mantissa * 2^exponent), mantissa in [1, 2), by the series of the area tangent."""
    s = (mantissa - _ONE) / (mantissa + _ONE)
    square = s * s
    series = _ONE + square * (
        _B3 + square * (_B5 + square * (_B7 + square * (_B9 + square * _B11)))
    )
    return exponent * _LN2 + _TWO * s * series


@jit
def height(half_precision: Real) -> Real:
    """Return the isotropic normal's density at its centre, 1 / (2 pi S^2), per square pixel."""
    return half_precision * _PER_PI


@jit
def part_of(whole: Real, kappa: Real, normaliser: Real) -> Real:
    """Return whole kappa / Z; 0 where no node of the photo has any weight (Eq. 4)."""
    part = whole * kappa / normaliser
    return part if normaliser > _ZERO else _ZERO


@jit
def agreement(square: Real, y: Real, x: Real, variance: float) -> Real:
    """Return kappa of parents whose mean displacement is (y, x), mean square ``square`` (Eq. 3)."""
    disagreement = max(square - y * y - x * x, _ZERO)  # mean |nu - d|^2
    kappa: float = math.exp(-0.5 * disagreement / variance)
    return kappa


@jit
def held_out(
    moments: tuple[Real, Real, Real, Real],
    amplitude: Real,
    odds: float,
    sums: F8,
    half_precision: Real,
) -> float:
    """Sum F r log(odds N(p; mu + nu, S^2)) over a photo's peaks, mu being the others' mean.

    ``moments`` are the photo's sums of F r times 1, dy, dx and |d|^2, ``sums`` those of all photos.
    A photo without which nothing is left of a node adds nothing: it predicts nothing.
    """
    mass, down, right, square = moments
    rest = sums[0] - mass
    if mass <= _ZERO or rest <= 1e-6 * sums[0]:
        return 0.0
    y, x = (sums[1] - down) / rest, (sums[2] - right) / rest
    stray = square - 2.0 * (down * y + right * x) + mass * (y * y + x * x)
    gain: float = mass * math.log(max(amplitude, _LEAST) * odds) - half_precision * stray
    return gain
