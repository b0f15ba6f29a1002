"""A small graph in plain photos, to be reported: every place and every score is known."""

import base64
import io
from dataclasses import replace

import numpy as np
from PIL import Image

from explgraph.graphs.effects import EdgeEffects
from explgraph.photos.boxes import Box
from explgraph.photos.images import ImageItem, ImageSource
from tests.support.plain import plain_groups, plain_matches
from tests.support.planted import planted_graph

MAGENTA = (255, 0, 255)
SCRIPT = "<script>alert(1)</script>"
HANDLER = "<img src=x onerror=alert(2)>"
FORMULA, FOREIGN = "$$x^2$$", "尾 ذيل хвост"
BOX = Box(20, 60, 120, 160)
NAMES = ("wide.jpg", f"{SCRIPT}.jpg", "boxed.jpg#0", "small.jpg")
SILENT, NAMED = 5, {0: SCRIPT, 30: HANDLER, 50: FORMULA, 71: FOREIGN}
"""A node that is found in no photo; nodes with names of the user's."""


BORDER_GROUP, NAMED_GROUP, WING = 3, 1, "wing"
"""Of the groups one lies at the border, and one has a name."""


def reported_graph(n_layers=3, channels=8, parts=3):
    """72 nodes by default, 24 in each of three layers; some have names that could do harm.

    Four groups take turns with no group; every node of the top layer is made of four below.
    """
    graph = planted_graph(n_layers, channels, parts)
    nodes = np.arange(len(graph))
    member = np.where(nodes % 5 < 4, nodes % 5, -1)
    yx = np.array([[60.0, 60], [60, 160], [160, 160], [6, 110]])[: member.max() + 1]
    spread = np.array([20.0, 20, 20, 6])[: len(yx)]
    groups = plain_groups(graph, member, yx=yx, spread=spread, node_gain=nodes * 7 % 24 / 24)
    named = ["", WING, "", ""][: len(yx)]
    per_layer = channels * parts
    parents = np.repeat(nodes[-per_layer:], min(4, per_layer)) if n_layers > 1 else nodes[:0]
    turn = np.arange(len(parents)) % 4
    effects = EdgeEffects(
        child=len(graph) - 2 * per_layer + (parents + turn) % per_layer,
        parent=parents,
        effect=np.array([0.3, -0.2, 0.1, 0.05])[turn],
        photos=np.full(len(parents), 3),
    )
    return replace(
        graph,
        names={k: v for k, v in NAMED.items() if k < len(graph)},
        contrast=nodes % 7 / 3 - 0.2,
        groups=replace(groups, names=tuple(named)),
        effects=effects,
    )


def reported_matches(graph, names=NAMES):
    """Every node scores in every photo, the later ones less, but for one that is silent."""
    rng = np.random.default_rng(3)
    shape = (len(names), len(graph))
    fall = np.linspace(1.0, 0.8, len(names))[:, None]
    score = graph.score[None] * fall * rng.uniform(0.8, 1.2, shape)
    score[:, SILENT % len(graph)] = 0
    return plain_matches(
        names,
        rng.uniform(0.2, 0.6, (*shape, 2)),
        score,
        graph.node_layer,
        peak=np.where(score > 0, 0, -1),
        mirrored=np.arange(len(names)) % 2,
        header={"model": "planted"},
    )


def magenta_source(names=NAMES):
    """Plain photos, 200 by 120 pixels; the third is a box of 100 by 100 pixels in one."""
    photo = Image.new("RGB", (200, 120), MAGENTA)
    items = [
        ImageItem(name, i, BOX if name.endswith("#0") else None) for i, name in enumerate(names)
    ]
    return ImageSource(items, lambda _: photo)


def picture_of(uri):
    """Return the pixels of a picture that a page holds in itself."""
    head, _, body = uri.partition(",")
    assert head == "data:image/jpeg;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(body)))).astype(int)
