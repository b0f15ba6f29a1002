"""CUDA kernels: twins of the loops in `_kernels.py` and `parents.py`, with the same formulas.

One block of threads works on one filter, all EM steps of it. A filter's photos are lanes: first
each thread goes through some photos and finds P(p) of their peaks; then a team of `LANES` threads
goes through all photos for one node. Densities of single nodes are computed twice rather than kept.
Sums over photos are in float64 and in a fixed order, so that equal input gives equal bytes on one
kind of GPU. Arrays are those of `_kernels.py`.

The sizes of a block are constants: the compiler needs them for memory that a block shares.
"""

# ruff: noqa: ANN001, ANN202, PLR0913
# mypy: ignore-errors

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numba import cuda, float32, float64

from ._kernels import filter_of, maximise
from ._math import agreement, bump, height, held_out, part_of
from .filters import absorb

LANES = 32
TEAMS = 4
THREADS = LANES * TEAMS

_AT_ONCE = 8  # peaks of a photo that a thread keeps in registers
_SUMS = 5
_PARTIAL = (_SUMS, TEAMS, LANES + 1)  # one entry more, so that teams lie in different banks
_ZERO = np.float32(0.0)


class Room(NamedTuple):
    """What is kept of every filter and photo between two passes over the nodes.

    ``scale (C, K, N)`` F / P(p); ``normaliser (C, N)`` Z; ``explained``, ``gain (C, N)`` the sums
    over a photo's peaks of F r of all nodes, and of F log(P(p) area).
    """

    scale: Any
    normaliser: Any
    explained: Any
    gain: Any


# What the threads of a block do together.


@cuda.jit(device=True)
def _sum_teams(partial, rows):
    """Add up each team's entries of some rows; the totals are in lane 0."""
    thread = cuda.threadIdx.x
    cuda.syncthreads()
    if thread < rows * TEAMS:
        row, team = thread // TEAMS, thread % TEAMS
        total = 0.0
        for lane in range(LANES):
            total += partial[row, team, lane]
        partial[row, team, 0] = total
    cuda.syncthreads()


@cuda.jit(device=True)
def _sum_block(partial, row):
    """Add up the teams' totals of a row."""
    total = 0.0
    for team in range(TEAMS):
        total += partial[row, team, 0]
    return total


@cuda.jit(device=True)
def _weigh(own, noise, area, room, c):
    """Fill a filter's room, each thread for some photos."""
    for image in range(cuda.threadIdx.x, own.peak_weight.shape[1], THREADS):
        normaliser = _ZERO
        for v in range(len(own.mu)):
            normaliser += own.kappa[v, image] * float32(own.weight[v])
        room.normaliser[c, image] = normaliser
        room.explained[c, image] = _ZERO
        room.gain[c, image] = _ZERO
        for first in range(0, own.peak_weight.shape[0], _AT_ONCE):
            _weigh_peaks(own, noise, area, room, c, image, first)
    cuda.syncthreads()


@cuda.jit(device=True)
def _weigh_peaks(own, noise, area, room, c, image, first):
    """Do so for a few peaks of one photo (Eq. 5)."""
    density = cuda.local.array(_AT_ONCE, float32)
    y = cuda.local.array(_AT_ONCE, float32)
    x = cuda.local.array(_AT_ONCE, float32)
    uniform, log_area = float32(noise / area), float32(math.log(area))
    n_peaks = own.peak_weight.shape[0]
    for j in range(_AT_ONCE):
        k = min(first + j, n_peaks - 1)  # those beyond the last are not used
        density[j], y[j], x[j] = uniform, own.yx[0, k, image], own.yx[1, k, image]
    for v in range(len(own.mu)):
        amplitude = _amplitude(own, v, image, noise, room.normaliser[c, image])
        place_y, place_x = _place(own, v, 0, image), _place(own, v, 1, image)
        for j in range(_AT_ONCE):
            bell = bump(y[j] - place_y, x[j] - place_x, own.half_precision[v])
            density[j] += amplitude * bell
    for j in range(_AT_ONCE):
        if first + j < n_peaks:
            weight = own.peak_weight[first + j, image]
            scale = weight / density[j]
            room.scale[c, first + j, image] = scale
            room.explained[c, image] += weight - scale * uniform
            room.gain[c, image] += weight * (float32(math.log(density[j])) + log_area)


@cuda.jit(device=True)
def _place(own, v, axis, image):
    """Return mu + nu of a node in a photo."""
    return float32(own.mu[v, axis]) + own.shift[v, axis, image]


@cuda.jit(device=True)
def _amplitude(own, v, image, noise, normaliser):
    """Return pi_V / (2 pi S^2) of a node in a photo (Eq. 4)."""
    top = float32(own.weight[v] * (1.0 - noise)) * height(own.half_precision[v])
    return part_of(top, own.kappa[v, image], normaliser)


@cuda.jit(device=True)
def _moments(own, v, image, amplitude, scale):
    """Return one node's sums over a photo's peaks of F r times 1, dy, dx and |d|^2."""
    mass, down, right, square = _ZERO, _ZERO, _ZERO, _ZERO
    place_y, place_x = _place(own, v, 0, image), _place(own, v, 1, image)
    for k in range(own.peak_weight.shape[0]):
        dy, dx = own.yx[0, k, image] - place_y, own.yx[1, k, image] - place_x
        share = amplitude * bump(dy, dx, own.half_precision[v]) * scale[k, image]
        mass += share
        down += share * dy
        right += share * dx
        square += share * (dy * dy + dx * dx)
    return mass, down, right, square


# EM.


@cuda.jit
def fit(peaks, nodes, prior, room, area, max_iter, tol, closing, found):
    """Run EM on every filter by itself, as `_kernels.fit`; one block for each filter.

    ``found`` are the three arrays that are filled: sums, response, trace.
    """
    partial = cuda.shared.array(_PARTIAL, float64)
    start, _, _, noise = nodes
    c = cuda.blockIdx.x
    own = filter_of(peaks, nodes, prior, c)
    sums, response, trace = found
    rows = sums[start[c] : start[c + 1]]
    _add_peaks(own, response, c, partial)
    for step in range(max_iter + 1):
        if step > 0 and cuda.threadIdx.x == 0:
            noise[c] = maximise(own, noise[c], rows, response[c])
        cuda.syncthreads()
        if step > 0 and step == max_iter and not closing:
            break
        _expect(own, noise, area, room, c, partial, rows, response, trace, step)
        added = trace[c, step] - trace[c, 0]
        if step > 0 and trace[c, step] - trace[c, step - 1] <= tol * added:
            break


@cuda.jit(device=True)
def _add_peaks(own, response, c, partial):
    """Fill all response of a filter."""
    whole = 0.0
    for image in range(cuda.threadIdx.x, own.peak_weight.shape[1], THREADS):
        for k in range(own.peak_weight.shape[0]):
            whole += own.peak_weight[k, image]
    partial[0, cuda.threadIdx.x // LANES, cuda.threadIdx.x % LANES] = whole
    _sum_teams(partial, 1)
    if cuda.threadIdx.x == 0:
        response[c, 1] = _sum_block(partial, 0)
    cuda.syncthreads()


@cuda.jit(device=True)
def _expect(own, noise, area, room, c, partial, sums, response, trace, step):
    """Fill a filter's ``sums (n, 5)``, what nodes explain, and its objective from this step on."""
    _weigh(own, noise[c], area, room, c)
    explained, gain = 0.0, 0.0
    for image in range(cuda.threadIdx.x, own.peak_weight.shape[1], THREADS):
        explained += room.explained[c, image]
        gain += room.gain[c, image]
    team, lane = cuda.threadIdx.x // LANES, cuda.threadIdx.x % LANES
    partial[0, team, lane] = explained
    partial[1, team, lane] = gain
    _sum_teams(partial, 2)
    if cuda.threadIdx.x == 0:
        response[c, 0] = _sum_block(partial, 0)
        trace[c, step:] = _sum_block(partial, 1)
    cuda.syncthreads()
    for first in range(0, len(own.mu), TEAMS):
        _add_moments(own, noise[c], room, c, first, partial, sums)


@cuda.jit(device=True)
def _add_moments(own, noise, room, c, first, partial, sums):
    """Fill the sums of nodes from ``first`` on, one for each team."""
    team, lane = cuda.threadIdx.x // LANES, cuda.threadIdx.x % LANES
    v = first + team
    mass, down, right, square, offer = 0.0, 0.0, 0.0, 0.0, 0.0
    if v < len(own.mu):
        for image in range(lane, own.peak_weight.shape[1], LANES):
            normaliser = room.normaliser[c, image]
            amplitude = _amplitude(own, v, image, noise, normaliser)
            photo = _moments(own, v, image, amplitude, room.scale[c])
            mass += photo[0]
            down += photo[1]
            right += photo[2]
            square += photo[3]
            offer += part_of(room.explained[c, image], own.kappa[v, image], normaliser)
    partial[0, team, lane] = mass
    partial[1, team, lane] = down
    partial[2, team, lane] = right
    partial[3, team, lane] = square
    partial[4, team, lane] = offer
    _sum_teams(partial, _SUMS)
    if v < len(own.mu) and lane == 0:
        for row in range(_SUMS):
            sums[v, row] = partial[row, team, 0]
    cuda.syncthreads()


@cuda.jit
def merge(nodes, square, found):
    """Merge each filter's nodes, as `filters.merge_nodes`: one thread for each filter.

    ``nodes`` are start, mu and rank; ``found``, which are filled, kept and total.
    """
    (start, mu, rank), (kept, total), c = nodes, found, cuda.blockIdx.x
    if cuda.threadIdx.x == 0:
        absorb(start[c], start[c + 1], mu, rank, square, kept, total)


# What EM has found.


@cuda.jit
def infer(peaks, nodes, prior, room, area, result):
    """Find each node in each photo, as `_kernels.infer`.

    ``result`` are the arrays that are filled: peak, score, predicted, found, and the room's gain.
    """
    peak, score, predicted, found, _ = result
    start, _, _, noise = nodes
    c = cuda.blockIdx.x
    own = filter_of(peaks, nodes, prior, c)
    _weigh(own, noise[c], area, room, c)
    team, lane = cuda.threadIdx.x // LANES, cuda.threadIdx.x % LANES
    for v in range(team, len(own.mu), TEAMS):
        row = start[c] + v
        for image in range(lane, own.peak_weight.shape[1], LANES):
            amplitude = _amplitude(own, v, image, noise[c], room.normaliser[c, image])
            k, value = _best_peak(own, v, image, amplitude, room.scale[c])
            peak[row, image] = k
            score[row, image] = value
            for axis in range(2):
                place = _place(own, v, axis, image)
                predicted[row, axis, image] = place
                found[row, axis, image] = own.yx[axis, k, image] if k >= 0 else place


@cuda.jit(device=True)
def _best_peak(own, v, image, amplitude, scale):
    """Return a node's peak in a photo, -1 for none, and its score."""
    best, value = -1, _ZERO
    place_y, place_x = _place(own, v, 0, image), _place(own, v, 1, image)
    for k in range(own.peak_weight.shape[0]):
        dy, dx = own.yx[0, k, image] - place_y, own.yx[1, k, image] - place_x
        share = amplitude * bump(dy, dx, own.half_precision[v]) * scale[k, image]
        if share > value:
            best, value = k, share
    return best, value


@cuda.jit
def held_out_gain(peaks, nodes, prior, room, area, totals):
    """Fill (P,) each node's gain over noise, as `_kernels.held_out_gain`.

    ``totals`` are the sums of `fit`, and the gain that is filled.
    """
    sums, gain = totals
    partial = cuda.shared.array(_PARTIAL, float64)
    start, _, _, noise = nodes
    c = cuda.blockIdx.x
    own = filter_of(peaks, nodes, prior, c)
    _weigh(own, noise[c], area, room, c)
    team, lane = cuda.threadIdx.x // LANES, cuda.threadIdx.x % LANES
    for first in range(0, len(own.mu), TEAMS):
        v, total = first + team, 0.0
        if v < len(own.mu):
            row = sums[start[c] + v]
            for image in range(lane, own.peak_weight.shape[1], LANES):
                amplitude = _amplitude(own, v, image, noise[c], room.normaliser[c, image])
                photo = _moments(own, v, image, amplitude, room.scale[c])
                odds = area / noise[c]
                total += held_out(photo, amplitude, odds, row, own.half_precision[v])
        partial[0, team, lane] = total
        _sum_teams(partial, 1)
        if v < len(own.mu) and lane == 0:
            gain[start[c] + v] = partial[0, team, 0]
        cuda.syncthreads()


@cuda.jit
def predict(start, parent, displacement, variance, shift, kappa):
    """Fill shift (P, 2, N) and kappa (P, N) where there are parents, as `parents.predict`.

    One block for each node.
    """
    v = cuda.blockIdx.x
    if start[v] == start[v + 1]:
        return
    share = float32(1.0 / (start[v + 1] - start[v]))
    for image in range(cuda.threadIdx.x, displacement.shape[2], THREADS):
        y, x, square = _ZERO, _ZERO, _ZERO
        for e in range(start[v], start[v + 1]):
            dy, dx = displacement[parent[e], 0, image], displacement[parent[e], 1, image]
            y += share * dy
            x += share * dx
            square += share * (dy * dy + dx * dx)
        shift[v, 0, image], shift[v, 1, image] = y, x
        kappa[v, image] = agreement(square, y, x, variance)
