"""Each formula of the mixture once: scalar functions that the CPU loops and the CUDA kernels call.

Equation numbers are those of the model description in docs/method.md.
"""

from __future__ import annotations

import math

from explgraph._jit import jit

FAR = 32.0
"""Squared distance over 2 S^2 beyond which a density is taken as zero: exp(-32) is 1e-14."""


@jit
def bump(dy: float, dx: float, half_precision: float) -> float:
    """Return exp(-|d|^2 / (2 S^2)), half_precision being 1 / (2 S^2); 0 where that is far."""
    exponent = (dy * dy + dx * dx) * half_precision
    return math.exp(-exponent) if exponent < FAR else 0.0


@jit
def height(half_precision: float) -> float:
    """Return the isotropic normal's density at its centre, 1 / (2 pi S^2), per square pixel."""
    return half_precision / math.pi


@jit
def log_normal_2d(dy: float, dx: float, half_precision: float) -> float:
    """Return log N(d; 0, S^2 I), at any distance."""
    return math.log(height(half_precision)) - (dy * dy + dx * dx) * half_precision
