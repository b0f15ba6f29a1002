"""Every formula of mining once more, slowly: plain loops that share no code with the library.

Names are the library's; equations those of docs/method.md. Peaks come as in `Peaks`: photos first,
``weight (N, C, K)`` and ``yx (N, C, K, 2)``. A mixture is anything with ``start``, ``mu``,
``weight``, ``noise``; a prior anything with ``shift (P, 2, N)``, ``half_precision (P,)``,
``kappa (P, N)``. What is found in photos has them last, too.
"""

import itertools
import math

import numpy as np

# -- peaks -----------------------------------------------------------------------------------------


def vertex(left, centre, right):
    """Where a parabola through (-1, left), (0, centre), (1, right) has its top."""
    a, b, _ = np.polyfit([-1, 0, 1], [left, centre, right], 2)
    return float(np.clip(-b / (2 * a), -0.5, 0.5)) if abs(a) > 1e-12 else 0.0


def find_peaks(maps, layer, mean, scale, n_peaks=8):
    """Yield for every photo and channel its peaks (y, x, weight), strongest first."""
    n, channels, height, width = maps.shape
    result = [[[] for _ in range(channels)] for _ in range(n)]
    for i, c in itertools.product(range(n), range(channels)):
        cells = maps[i, c].astype(float)
        for y, x in itertools.product(range(height), range(width)):
            around = [
                (cells[v, u], -(v * width + u))
                for v in range(max(y - 1, 0), min(y + 2, height))
                for u in range(max(x - 1, 0), min(x + 2, width))
            ]
            is_top = max(around) == (cells[y, x], -(y * width + x))
            response = max((cells[y, x] - mean[c]) / scale[c], 0)
            if not is_top or response == 0:
                continue
            dy = vertex(*cells[y - 1 : y + 2, x]) if 0 < y < height - 1 else 0
            dx = vertex(*cells[y, x - 1 : x + 2]) if 0 < x < width - 1 else 0
            place = [layer.offset[a] + layer.stride[a] * v for a, v in ((0, y + dy), (1, x + dx))]
            result[i][c].append((*place, response))
        result[i][c].sort(key=lambda peak: -peak[2])
        del result[i][c][n_peaks:]
    return result


# -- densities -------------------------------------------------------------------------------------


def normal_2d(dy, dx, var):
    return math.exp(-(dy**2) / (2 * var) - dx**2 / (2 * var)) / (2 * math.pi * var)


def predict(start, parent, displacement, variance):
    """Eq. 2 and 3 as they stand, each s_U^2 being the variance: ``shift``, ``half_precision (P,)``,
    ``kappa``.
    """
    n_nodes, n = len(start) - 1, displacement.shape[2]
    shift, kappa = np.zeros((n_nodes, 2, n)), np.zeros((n_nodes, n))
    half_precision = np.zeros(n_nodes)
    var = [float(variance)] * len(displacement)
    moved = displacement.astype(float)
    for v in range(n_nodes):
        ups = parent[start[v] : start[v + 1]]
        whole = 1 / np.mean([1 / var[u] for u in ups])
        geometric = math.prod(var[u] ** (1 / len(ups)) for u in ups)
        half_precision[v] = 1 / (2 * whole)
        for i in range(n):
            nu = whole * np.mean([moved[u, :, i] / var[u] for u in ups], axis=0)
            apart = np.mean([np.sum((nu - moved[u, :, i]) ** 2) / var[u] for u in ups])
            shift[v, :, i] = nu
            kappa[v, i] = whole / geometric * math.exp(-apart / 2)
    return shift, half_precision, kappa


def variance_of(prior, node):
    """S^2 of a node, square pixels."""
    return 1 / (2 * float(prior.half_precision[node]))


def shares(mixture, prior, channel, image):
    """Eq. 4: {node: pi_V} of a filter's nodes in one photo."""
    nodes = range(mixture.start[channel], mixture.start[channel + 1])
    each = {v: float(mixture.weight[v]) * float(prior.kappa[v, image]) for v in nodes}
    total = sum(each.values())
    left = 1 - mixture.noise[channel]
    return {v: left * value / total if total > 0 else 0.0 for v, value in each.items()}


def terms(mixture, prior, channel, image, place):
    """{node: pi_V N(p; mu_V + nu_V, S_V^2)} of Eq. 5."""
    result = {}
    for v, share in shares(mixture, prior, channel, image).items():
        dy, dx = place - (mixture.mu[v] + prior.shift[v, :, image])
        result[v] = share * normal_2d(dy, dx, variance_of(prior, v))
    return result


def every_peak(peaks):
    """Yield (filter, photo, peak, weight, place) of all peaks."""
    for i, c, k in np.ndindex(*peaks.weight.shape):
        if peaks.weight[i, c, k] > 0:
            yield c, i, k, float(peaks.weight[i, c, k]), peaks.yx[i, c, k].astype(float)


def responsibilities(peaks, mixture, prior, area):
    """(P, N, K) P(V | p) and (C, N, K) log P(p) A, both 0 where there is no peak."""
    n, channels, k = peaks.weight.shape
    resp, log = np.zeros((len(mixture.mu), n, k)), np.zeros((channels, n, k))
    for c, i, j, _, place in every_peak(peaks):
        parts = terms(mixture, prior, c, i, place)
        density = sum(parts.values()) + mixture.noise[c] / area
        log[c, i, j] = math.log(density * area)
        for v, value in parts.items():
            resp[v, i, j] = value / density
    return resp, log


# -- EM --------------------------------------------------------------------------------------------


def objective(peaks, mixture, prior, area):
    _, log = responsibilities(peaks, mixture, prior, area)
    return sum(f * log[c, i, k] for c, i, k, f, _ in every_peak(peaks))


def m_step(peaks, mixture, prior, area):
    """One step: {"mu", "weight", "noise"}. Weights maximise the minoriser of docs/method.md."""
    resp, _ = responsibilities(peaks, mixture, prior, area)
    n_nodes, (n, channels, _) = len(mixture.mu), peaks.weight.shape
    top, mass = np.zeros((n_nodes, 2)), np.zeros(n_nodes)
    signal, total = np.zeros((channels, n)), np.zeros(channels)
    for c, i, k, f, place in every_peak(peaks):
        total[c] += f
        for v in range(mixture.start[c], mixture.start[c + 1]):
            share = f * resp[v, i, k]
            top[v] += share * (place - prior.shift[v, :, i])
            mass[v] += share
            signal[c, i] += share
    weight, mu, noise = np.zeros(n_nodes), mixture.mu.copy(), mixture.noise.copy()
    for c in range(channels):
        nodes = range(mixture.start[c], mixture.start[c + 1])
        for v in nodes:
            offer = 0.0
            for i in range(n):
                z = sum(mixture.weight[u] * float(prior.kappa[u, i]) for u in nodes)
                offer += signal[c, i] * float(prior.kappa[v, i]) / z if z > 0 else 0.0
            weight[v] = mass[v] / offer if mass[v] > 0 else 0.0
            mu[v] = top[v] / mass[v] if mass[v] > 0 else mu[v]
        here = slice(mixture.start[c], mixture.start[c + 1])
        weight[here] = weight[here] / weight[here].sum() if weight[here].sum() > 0 else 0.0
        noise[c] = 1 - signal[c].sum() / total[c] if total[c] > 0 else noise[c]
    return {"mu": mu, "weight": weight, "noise": noise}


def held_out_gain(peaks, mixture, prior, area):
    """(P,) per photo: sum F r log(pi_V N(p; mu of the other photos + nu) A / pi_0)."""
    resp, _ = responsibilities(peaks, mixture, prior, area)
    n, channels, _ = peaks.weight.shape
    channel = np.repeat(np.arange(channels), np.diff(mixture.start))
    gain = np.zeros(len(mixture.mu))
    for v, c in enumerate(channel):
        own = peaks.weight[:, c].astype(float) * resp[v]  # (N, K)
        moved = peaks.yx[:, c].astype(float) - prior.shift[v].T[:, None]  # (N, K, 2) p - nu
        log_normal = math.log(1 / (2 * math.pi * variance_of(prior, v)))
        for i in range(n):
            others = np.arange(n) != i
            rest = own[others].sum()
            if rest == 0 or not own[i].any():
                continue
            mean = np.einsum("nk,nka->a", own[others], moved[others]) / rest
            odds = shares(mixture, prior, c, i)[v] * area / mixture.noise[c]
            for k in np.flatnonzero(own[i]):
                apart = np.sum((moved[i, k] - mean) ** 2) / (2 * variance_of(prior, v))
                gain[v] += own[i, k] * (math.log(odds) + log_normal - apart)
    return gain / n


# -- inference and matching ------------------------------------------------------------------------


def infer(peaks, mixture, prior, area):
    """Eq. 6: ``yx (P, 2, N), score (P, N), log_density (P, N), gain (C, N)``."""
    resp, log = responsibilities(peaks, mixture, prior, area)
    n, channels, n_peaks = peaks.weight.shape
    channel = np.repeat(np.arange(channels), np.diff(mixture.start))
    p = len(mixture.mu)
    yx, score, log_density = np.zeros((p, 2, n)), np.zeros((p, n)), np.zeros((p, n))
    for (v, c), i in itertools.product(enumerate(channel), range(n)):
        centre = mixture.mu[v] + prior.shift[v, :, i]
        value = [float(peaks.weight[i, c, k]) * resp[v, i, k] for k in range(n_peaks)]
        best = max(range(n_peaks), key=value.__getitem__)
        score[v, i] = value[best]
        yx[v, :, i] = peaks.yx[i, c, best] if score[v, i] > 0 else centre
        off, var = yx[v, :, i] - centre, variance_of(prior, v)
        log_density[v, i] = -math.log(2 * math.pi * var) - (off @ off) / (2 * var)
    gain = (peaks.weight.transpose(1, 0, 2) * log).sum(axis=2)
    return yx, score, log_density, gain


class Rows:
    """A bundle of arrays by name."""

    def __init__(self, **arrays):
        self.__dict__.update(arrays)


def find_nodes(graph, layers, alone, spread, pull):
    """All nodes of a graph in photos: ``yx (P, 2, N), score (P, N), gain (N,), peak (P, 2, N)``.

    ``alone`` and ``spread`` are the standard deviations, pixels, of nodes without and with parents;
    ``peak`` is the place of the peak, or where the node is predicted.
    """
    n, area = len(layers[0].weight), graph.input_size[0] * graph.input_size[1]
    yx, score = np.zeros((len(graph.mu), 2, n)), np.zeros((len(graph.mu), n))
    gain, response, peak = np.zeros(n), np.zeros(n), yx.copy()
    pose = poses(graph, layers[-1])
    for index in range(len(graph.layers) - 1, -1, -1):
        nodes = [v for v in range(len(graph.mu)) if graph.node_layer[v] == index]
        channels = layers[index].weight.shape[1]
        shift = np.zeros((len(nodes), 2, n))
        half_precision, kappa = np.full(len(nodes), 0.5 / alone**2), np.ones((len(nodes), n))
        for row, v in enumerate(nodes):
            ups = [
                int(u) for c, u in zip(graph.edge_child, graph.edge_parent, strict=True) if c == v
            ]
            for i, own in enumerate(pose):
                shift[row, :, i] = graph.node_pose[v] @ own
            if ups:
                moved = yx[ups] - graph.mu[ups][..., None]
                one = predict([0, len(ups)], range(len(ups)), moved, spread**2)
                shift[row], half_precision[row], kappa[row] = (part[0] for part in one)
        mixture = Rows(
            start=np.array(
                [sum(graph.node_channel[v] < c for v in nodes) for c in range(channels + 1)]
            ),
            mu=graph.mu[nodes].astype(float),
            weight=graph.weight[nodes].astype(float),
            noise=graph.noise[index].astype(float),
        )
        prior = Rows(shift=shift, half_precision=half_precision, kappa=kappa)
        peak[nodes], score[nodes], _, filters = infer(layers[index], mixture, prior, area)
        expected = mixture.mu[..., None] + shift
        yx[nodes] = (1 - pull) * expected + pull * peak[nodes]
        gain += filters.sum(axis=0)
        response += layers[index].weight.sum(axis=(1, 2))
    return yx, score, gain / np.maximum(response, 1e-300), peak


# -- poses -----------------------------------------------------------------------------------------


def pool_peaks(peaks, side, cells=4):
    """(N, C * 16): every peak's F^1.5, shared out among cells by how near it is to their centres.

    A cell has all of a peak on its centre and nothing of one a cell's width away, per axis; beyond
    the outermost centres the outermost cells have all.
    """
    n, channels, _ = peaks.weight.shape
    pooled = np.zeros((n, channels, cells, cells))
    for c, i, _, f, (y, x) in every_peak(peaks):
        for row, column in itertools.product(range(cells), repeat=2):
            share = 1.0
            for cell, at in ((row, y), (column, x)):
                at = min(max(at / side * cells, 0.5), cells - 0.5)
                share *= max(0.0, 1 - abs(at - (cell + 0.5)))
            pooled[i, c, row, column] += f**1.5 * share
    return pooled.reshape(n, -1)


def poses(graph, top):
    """(N, Q) the poses of photos; a photo without peaks has that of the mean photo."""
    result = np.zeros((len(top.weight), len(graph.pose_offset)))
    if result.size == 0:
        return result
    for i, row in enumerate(pool_peaks(top, graph.input_size[0])):
        if row.any():
            result[i] = row / np.sqrt(row @ row) @ graph.pose_weight - graph.pose_offset
    return result


def principal(pooled, terms):
    """``values (N, R)`` of variance 1, ``scale (R,)`` and ``weight (D, R)``, all up to signs.

    By singular values of the photos' rows, scaled to length 1 and centred.
    """
    rows = pooled / np.linalg.norm(pooled, axis=1, keepdims=True)
    left, singular, right = np.linalg.svd(rows - rows.mean(axis=0), full_matrices=False)
    kept, unit = singular[:terms], np.sqrt(len(rows))
    scale = kept / np.sqrt(np.sum(kept**2))
    return left[:, :terms] * unit, scale, right[:terms].T / kept * unit


def ridge(code, displacement, score, penalty):
    """(R + 1, 2) of one node: least squares on rows for photos and one more row for each penalty.

    ``displacement (2, N)``, ``score (N,)``.

    A photo weighs its score over the mean score, at most 3; the constant's penalty is .01.
    """
    design, targets = [], []
    for row, moved, own in zip(code, displacement.T, score, strict=True):
        root = math.sqrt(min(own / score.mean(), 3))
        design.append([root * v for v in (*row, 1)])
        targets.append(root * moved)
    for r, strength in enumerate([penalty] * code.shape[1] + [0.01]):
        design.append([math.sqrt(strength) * (r == j) for j in range(code.shape[1] + 1)])
        targets.append(np.zeros(2))
    return np.linalg.lstsq(np.array(design), np.array(targets), rcond=None)[0]


def merged(mu, weight, radius):
    """What is left of one filter's nodes, {index: weight}: the heaviest first, the near ones join.

    Written from the definition: a node joins the nearest of those that stay, if one is near.
    """
    left = {}
    for v in sorted(range(len(mu)), key=lambda v: -weight[v]):
        near = sorted((math.dist(mu[v], mu[u]), u) for u in left)
        if near and near[0][0] < radius:
            left[near[0][1]] += weight[v]
        else:
            left[v] = weight[v]
    return left


# -- parents, mirror images, edges -----------------------------------------------------------------


def disagreement(displacement, score, upper_displacement, upper_score):
    """(P, U) score-weighted mean over photos of |d_V - d_U|^2; inf where they never meet."""
    result = np.full((len(score), len(upper_score)), np.inf)
    for v, u in np.ndindex(*result.shape):
        weight = score[v].astype(float) * upper_score[u].astype(float)
        if weight.sum() > 0:
            apart = np.sum((displacement[v] - upper_displacement[u]).astype(float) ** 2, axis=0)
            result[v, u] = (weight * apart).sum() / weight.sum()
    return result


def relation(child_yx, parent_yx, child_score, parent_score):
    """Mean displacement and its deviation per axis over photos, weighted by both scores.

    Places are (2, N). If the two never meet, all photos count alike.
    """
    weight = child_score.astype(float) * parent_score.astype(float)
    offset = (child_yx.astype(float) - parent_yx.astype(float)).T
    weight = weight if weight.any() else np.ones(len(weight))
    mean = np.average(offset, axis=0, weights=weight)
    return mean, math.sqrt(np.average(np.sum((offset - mean) ** 2, axis=1), weights=weight) / 2)


def score_correlation(score, child, parent):
    """Pearson's of two nodes' log(1 + score) over the photos, less each photo's mean: (P, N)."""
    strength = np.log1p(score.astype(float))
    strength -= strength.mean(axis=0)
    ends = strength[child], strength[parent]
    return np.corrcoef(*ends)[0, 1] if min(end.std() for end in ends) > 1e-6 else 0.0
