"""Draw the page of explanations' pictures: python docs/make_explanation_images.py out/demo."""

from __future__ import annotations

import sys
from pathlib import Path

import explgraph as eg
from explgraph.demo.run import MODEL
from explgraph.explanations.answers import answer, reasons
from explgraph.explanations.questions import ask

IMAGES = Path(__file__).parent / "images" / "pages"
PHOTO = "003.png"


def main(demo: Path) -> None:
    """Ask every method about one drawing, and the graph as well."""
    photo = demo / "unseen" / PHOTO
    net = eg.load_backbone(MODEL)
    question = ask(net, photo)
    refused = {name: why for name, why in reasons(question).items() if why}
    names = [name for name in reasons(question) if name not in refused]
    answers = [answer(question, name) for name in names]
    eg.draw_explanations(answers, photo, IMAGES / "explanations.jpg", refused=refused)
    graph = eg.ExplanatoryGraph.load(demo / "graph.safetensors")
    decision = eg.explain_decision(graph, net, photo)
    eg.draw_decision(decision, photo, IMAGES / "decision.jpg")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
