"""Loops over photos that lie side by side: the lanes of the CPU kernels.

Each is a function of rows, so that the compiler sees that the photos can be computed side by side;
within a larger function it does not. All are in float32 but for `total`.
"""

# ruff: noqa: ANN001, ANN202, PLR0913
# mypy: disallow-untyped-defs=False, disallow-untyped-calls=False

from __future__ import annotations

import numpy as np

from explgraph.base.jit import jit

from ._math import bump, log_of, part_of

_ZERO = np.float32(0.0)
_FRACTION, _UNIT = np.int32(0x007FFFFF), np.int32(0x3F800000)  # parts of a float32's bits
_EXPONENT, _BIAS = np.int32(23), np.int32(127)


@jit
def fill(out, value):
    """Put a value into every lane."""
    for i in range(len(out)):
        out[i] = value


@jit
def shift_from(values, start, out):
    """Fill start + values."""
    for i in range(len(values)):
        out[i] = start + values[i]


@jit
def copy_to(values, out):
    """Fill as many lanes as ``out`` has."""
    for i in range(len(out)):
        out[i] = values[i]


@jit
def add_scaled(values, factor, total):
    """Add factor * values."""
    for i in range(len(values)):
        total[i] += factor * values[i]


@jit
def share(kappa, normaliser, whole, share):
    """Fill whole kappa / Z; 0 where no node has any weight."""
    for i in range(len(share)):
        share[i] = part_of(whole[i], kappa[i], normaliser[i])


@jit
def add_joint(y, x, place_y, place_x, half_precision, amplitude, joint, density):
    """Fill pi_V N(p; mu_V + nu_V, S_V^2 I) of a node at one peak of each photo; add it to P(p)."""
    for i in range(len(y)):
        joint[i] = amplitude[i] * bump(y[i] - place_y[i], x[i] - place_x[i], half_precision)
        density[i] += joint[i]


@jit
def add_gain(weight, bits, log_area, fraction, gain):
    """Add F log(P(p) area); the logarithm is taken from the density's bits."""
    mantissa = fraction.view(np.float32)
    for i in range(len(weight)):
        fraction[i] = (bits[i] & _FRACTION) | _UNIT
    for i in range(len(weight)):
        exponent = np.float32((bits[i] >> _EXPONENT) - _BIAS)
        gain[i] += weight[i] * (log_of(exponent, mantissa[i]) + log_area)


@jit
def add_explained(weight, density, uniform, scale, explained):
    """Fill F / P(p), and add the response that nodes explain at one peak of each photo."""
    for i in range(len(weight)):
        scale[i] = weight[i] / density[i]
        explained[i] += weight[i] - scale[i] * uniform


@jit
def add_moments(y, x, place_y, place_x, joint, scale, moments):
    """Add F r times 1, dy, dx and |d|^2 of a node at one peak of each photo."""
    mass, down, right, square = moments[0], moments[1], moments[2], moments[3]
    for i in range(len(y)):
        share = joint[i] * scale[i]
        dy, dx = y[i] - place_y[i], x[i] - place_x[i]
        mass[i] += share
        down[i] += share * dy
        right[i] += share * dx
        square[i] += share * (dy * dy + dx * dx)


@jit
def add_moments_of_four(k, first, last, y, x, place_y, place_x, joint, scale, moments):
    """Do as `add_moments` for the peaks k to k + 3 of each photo, one after the other.

    ``y, x (K, N)``, of whose photos ``first`` to ``last`` - 1 are looked at; ``joint, scale`` of
    these alone. To the last bit the same, in less than half of the time: sums stay in registers.
    Rows are taken here, where the compiler sees that they are those of few arrays.
    """
    mass, down, right, square = moments[0], moments[1], moments[2], moments[3]
    y0, y1 = y[k, first:last], y[k + 1, first:last]
    y2, y3 = y[k + 2, first:last], y[k + 3, first:last]
    x0, x1 = x[k, first:last], x[k + 1, first:last]
    x2, x3 = x[k + 2, first:last], x[k + 3, first:last]
    joint0, joint1, joint2, joint3 = joint[k], joint[k + 1], joint[k + 2], joint[k + 3]
    scale0, scale1, scale2, scale3 = scale[k], scale[k + 1], scale[k + 2], scale[k + 3]
    for i in range(len(y0)):
        a, b = joint0[i] * scale0[i], joint1[i] * scale1[i]
        c, d = joint2[i] * scale2[i], joint3[i] * scale3[i]
        ay, ax = y0[i] - place_y[i], x0[i] - place_x[i]
        by, bx = y1[i] - place_y[i], x1[i] - place_x[i]
        cy, cx = y2[i] - place_y[i], x2[i] - place_x[i]
        dy, dx = y3[i] - place_y[i], x3[i] - place_x[i]
        mass[i] = (((mass[i] + a) + b) + c) + d
        down[i] = (((down[i] + a * ay) + b * by) + c * cy) + d * dy
        right[i] = (((right[i] + a * ax) + b * bx) + c * cx) + d * dx
        near = (square[i] + a * (ay * ay + ax * ax)) + b * (by * by + bx * bx)
        square[i] = (near + c * (cy * cy + cx * cx)) + d * (dy * dy + dx * dx)


@jit
def total(values):
    """Add up in float64: eight sums side by side, then those."""
    a, b, c, d, e, f, g, h = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    whole = len(values) - len(values) % 8
    for i in range(0, whole, 8):
        a += values[i]
        b += values[i + 1]
        c += values[i + 2]
        d += values[i + 3]
        e += values[i + 4]
        f += values[i + 5]
        g += values[i + 6]
        h += values[i + 7]
    for i in range(whole, len(values)):
        a += values[i]
    return ((a + b) + (c + d)) + ((e + f) + (g + h))


@jit
def take_better(k, joint, scale, y, x, best):
    """Put score, number and place of peak k where it scores higher than the best so far."""
    score, peak, found_y, found_x = best[0], best[1], best[2], best[3]
    for i in range(len(y)):
        value = joint[i] * scale[i]
        better = value > score[i]
        score[i] = value if better else score[i]
        peak[i] = k if better else peak[i]
        found_y[i] = y[i] if better else found_y[i]
        found_x[i] = x[i] if better else found_x[i]
