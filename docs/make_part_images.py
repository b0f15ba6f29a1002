"""Draw the README's pictures of parts: python docs/make_part_images.py FOLDER_OF_THE_DEMO."""

import sys
from pathlib import Path

import numpy as np

import explgraph as eg
from explgraph.demo.run import MODEL

IMAGES = Path(__file__).parent / "images"


def main(demo: Path) -> None:
    """Fit head and tail to the demo's clicks, and draw them."""
    net = eg.load_backbone(MODEL)
    graph = eg.ExplanatoryGraph.load(demo / "graph.safetensors")
    clicks = eg.read_annotations(demo / "clicks.csv")
    found = eg.match(graph, net, demo / "unseen", views=True)
    parts = eg.fit_parts(graph, found, clicks, part=["head", "tail"])
    where = eg.locate(parts, found)
    clicked = set(clicks.image)
    rows = np.flatnonzero([name not in clicked for name in where.images])[:24]
    eg.draw_answers(where.take(rows), demo / "unseen", IMAGES / "parts.jpg")
    eg.draw_parts(parts, IMAGES / "and_or.png", part="head")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
