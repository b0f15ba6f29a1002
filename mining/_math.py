"""Each formula of the mixture once: scalar functions that the CPU loops and the CUDA kernels call.

Equation numbers are those of the model description in docs/method.md.
"""

from __future__ import annotations

import math

from explgraph._jit import jit

TWO_PI = 2.0 * math.pi
FAR = 32.0
"""Squared distance over 2 S^2 beyond which a density is taken as zero: exp(-32) is 1e-14."""


@jit
def exponent_2d(dy: float, dx: float, var: float) -> float:
    """Return |d|^2 / (2 S^2)."""
    return (dy * dy + dx * dx) / (2.0 * var)


@jit
def normal_2d(dy: float, dx: float, var: float) -> float:
    """Return the isotropic normal density N(d; 0, S^2 I), per square pixel; 0 where it is far."""
    far = exponent_2d(dy, dx, var)
    if far > FAR:
        return 0.0
    return math.exp(-far) / (TWO_PI * var)


@jit
def log_normal_2d(dy: float, dx: float, var: float) -> float:
    """Return the log of the isotropic normal density, at any distance."""
    return -exponent_2d(dy, dx, var) - math.log(TWO_PI * var)
