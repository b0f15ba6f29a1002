"""Graphs, matches and annotations from what a test is about; the rest says nothing."""

import numpy as np

from explgraph.graphs.graph import ExplanatoryGraph
from explgraph.graphs.groups import PartGroups
from explgraph.graphs.matches import Matches
from explgraph.photos.annotations import Annotations


def plain_graph(layers, input_size, nodes, statistics=None, **columns):
    """A graph without poses and edges; ``nodes`` are layer, filter and part, all of them alike."""
    ones = np.ones(len(nodes[0]))
    mean, scale = statistics or (tuple(np.full(s.channels, v) for s in layers) for v in (0.0, 1.0))
    none = np.zeros(0)
    edges = ("edge_child", "edge_parent", "edge_spread", "edge_correlation")
    plain = {
        "noise": tuple(np.full(layer.channels, 0.1) for layer in layers),
        **dict.fromkeys(("spread", "weight", "support", "score", "gain"), ones),
        **dict(zip(("node_layer", "node_channel", "node_part"), nodes, strict=True)),
    }
    return ExplanatoryGraph(
        layers=layers,
        input_size=input_size,
        channel_mean=mean,
        channel_scale=scale,
        pose_weight=np.zeros((0, 0)),
        pose_offset=none,
        node_pose=np.zeros((len(ones), 2, 0)),
        edge_displacement=np.zeros((0, 2)),
        **dict.fromkeys(edges, none),
        **plain | columns,
    )


def plain_matches(images, yx, score, node_layer=0, **others):
    """Matches of photos as given; ``yx`` and ``node_layer`` are spread over ``score (N, P)``."""
    shape = np.shape(score)
    rest = {"log_density": np.zeros(shape), "peak": np.zeros(shape), "mirrored": np.zeros(shape[0])}
    return Matches(
        images=tuple(images),
        yx=np.broadcast_to(yx, (*shape, 2)),
        score=np.asarray(score, dtype=float),
        node_layer=np.broadcast_to(node_layer, shape[1:]),
        **rest | others,
    )


def plain_marks(images, parts, yx, group=None):
    """Annotations in pixels, of unknown size; by default each photo is its own group."""
    yx = np.asarray(yx, dtype=float).reshape(-1, 2)
    return Annotations(
        image=tuple(images),
        part=(parts,) * len(yx) if isinstance(parts, str) else tuple(parts),
        yx=yx,
        size=np.full(yx.shape, np.nan),
        group=tuple(images if group is None else group),
    )


def plain_groups(graph, node_group, **columns):
    """Part groups of a graph's nodes by number, -1 for none; the rest is from the nodes' places."""
    node_group = np.asarray(node_group)
    members = [np.flatnonzero(node_group == g) for g in range(node_group.max(initial=-1) + 1)]
    yx = np.array([graph.mu[nodes].mean(axis=0) for nodes in members]).reshape(-1, 2)
    plain = {
        "node_offset": np.zeros((len(graph), 2)),
        "node_gain": np.linspace(1, 0, len(graph)),
        "yx": yx,
        "spread": np.full(len(yx), 20.0),
        "sureness": np.full(len(yx), 0.5),
        "gain": np.arange(len(yx))[::-1] + 1.0,
    }
    return PartGroups(input_size=graph.input_size, node_group=node_group, **plain | columns)
