"""A valid random graph for tests: what mining would give, without mining."""

import numpy as np

from explgraph.base.layer import LayerSpec
from explgraph.graphs.graph import ExplanatoryGraph

SIDE = 224


def planted_graph(
    n_layers: int = 3, channels: int = 8, parts: int = 3, seed: int = 0, parents: int = 5
) -> ExplanatoryGraph:
    """Build a graph of ``n_layers * channels * parts`` nodes, ``channels * parts`` in each layer.

    Every node below the top layer has ``parents`` parents in the layer above (all of them where
    there are fewer), most of them near it. Displacements are the differences of the means. Poses
    have two numbers.
    """
    rng, pose_rng = np.random.default_rng(seed), np.random.default_rng([seed, 1])
    layers = tuple(_layer(i, n_layers, channels) for i in range(n_layers))
    per_layer = channels * parts
    n_nodes = n_layers * per_layer
    mu = rng.uniform(0.05, 0.95, (n_nodes, 2)) * SIDE
    child, parent = _edges(rng, mu.reshape(n_layers, per_layer, 2), min(parents, per_layer))
    return ExplanatoryGraph(
        layers=layers,
        input_size=(SIDE, SIDE),
        channel_mean=tuple(np.zeros(channels) for _ in layers),
        channel_scale=tuple(rng.uniform(0.5, 2, channels) for _ in layers),
        noise=tuple(rng.uniform(0.1, 0.4, channels) for _ in layers),
        node_layer=np.repeat(np.arange(n_layers), per_layer),
        node_channel=np.tile(np.repeat(np.arange(channels), parts), n_layers),
        node_part=np.tile(np.arange(parts), n_layers * channels),
        mu=mu,
        spread=rng.uniform(4, 30, n_nodes),
        weight=rng.uniform(0.1, 1, n_nodes) / parts,
        score=rng.gamma(2.0, 0.5, n_nodes),
        support=rng.uniform(0.1, 1, n_nodes),
        gain=rng.gamma(2.0, 1.0, n_nodes),
        pose_weight=pose_rng.normal(0, 1, (channels * 16, 2)),
        pose_offset=pose_rng.normal(0, 1, 2),
        node_pose=pose_rng.normal(0, 8, (n_nodes, 2, 2)),
        edge_child=child,
        edge_parent=parent,
        edge_displacement=mu[child] - mu[parent],
        edge_spread=rng.uniform(3, 20, len(child)),
        edge_correlation=rng.uniform(-0.2, 0.6, len(child)),
        header={"model": "planted", "weight_hash": "0" * 64, "seed": seed},
    )


def _layer(index: int, n_layers: int, channels: int) -> LayerSpec:
    """Layers get coarser upwards: the top one has a stride of 16 pixels."""
    stride = 16 >> min(n_layers - 1 - index, 3)
    side = SIDE // stride
    return LayerSpec(
        name=f"features.{3 * index + 3}",
        channels=channels,
        grid=(side, side),
        stride=(stride, stride),
        offset=(stride / 2, stride / 2),
        field=(6 * stride + 3, 6 * stride + 3),
    )


def _edges(
    rng: np.random.Generator, mu: np.ndarray, n_parents: int
) -> tuple[np.ndarray, np.ndarray]:
    """(E,), (E,) children and parents from positions (L, P / L, 2): the nearest after a jitter."""
    n_layers, per_layer, _ = mu.shape
    child, parent = [np.zeros(0, dtype=int)], [np.zeros(0, dtype=int)]
    for layer in range(n_layers - 1):
        places = mu[layer] + rng.normal(0, SIDE / 16, (per_layer, 2))
        distance = np.linalg.norm(places[:, None] - mu[layer + 1][None], axis=-1)
        nearest = np.sort(np.argsort(distance, axis=1)[:, :n_parents], axis=1)
        child.append(np.repeat(layer * per_layer + np.arange(per_layer), n_parents))
        parent.append((layer + 1) * per_layer + nearest.ravel())
    return np.concatenate(child), np.concatenate(parent)


def near_border(graph: ExplanatoryGraph, node: int) -> bool:
    """Tell whether a node's mean lies within a tenth of the side of the input's border."""
    (height, width), (y, x) = graph.input_size, graph.mu[node].tolist()
    return not (0.1 * height <= y <= 0.9 * height and 0.1 * width <= x <= 0.9 * width)
