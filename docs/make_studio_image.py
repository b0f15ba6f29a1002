"""Photograph the studio on the demo's drawings, after a few answers for their heads and tails.

    python docs/make_studio_image.py out/demo

Needs Playwright, a Chromium (or EXPLGRAPH_CHROMIUM, the path of one), Starlette and uvicorn.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread

from playwright.sync_api import expect, sync_playwright

import explgraph as eg
from explgraph.demo.run import MODEL
from explgraph.labelling.prepare import prepare
from explgraph.labelling.session import LabelSession
from explgraph.studio.app import Studio
from explgraph.studio.desk import Desk
from explgraph.studio.looking import Looks
from explgraph.studio.pictures import Pictures
from explgraph.studio.serving import Place, serve

PICTURE = Path(__file__).parent / "images" / "studio.jpg"
SIZE = (1400, 900)
ANSWERS = {"head": 4, "tail": 2}


def main(demo: Path) -> None:
    """Label a few drawings as their truth says, and write what is on the screen then."""
    graph = eg.ExplanatoryGraph.load(demo / "graph.safetensors")
    with TemporaryDirectory() as folder:
        net = eg.load_backbone(MODEL)
        out = Path(folder) / "labels"
        with prepare(str(demo / "unseen"), net, out, graph, list(ANSWERS)) as session:
            for part, count in ANSWERS.items():
                _answer(session, eg.read_annotations(demo / "parts.csv"), part, count)
            source = eg.open_images(demo / "unseen").named(session.images, "session")
            pictures = Pictures(source, out / "thumbnails")
            studio = Studio(Desk(session, source), pictures, Looks(session, source, None))
            serve(studio, opened=lambda place: Thread(target=_photograph, args=(place,)).start())


def _answer(session: LabelSession, truth: eg.Annotations, part: str, count: int) -> None:
    """Click the part in the drawings that are asked about."""
    known = {
        image: yx for image, name, yx in zip(truth.image, truth.part, truth.yx, strict=True)
        if name == part
    }  # fmt: skip
    for _ in range(count):
        (question,) = session.next(part)
        if question.image in known:
            session.click(part, question.image, known[question.image].tolist())
        else:
            session.hide(part, question.image)


def _photograph(place: Place) -> None:
    browser = os.environ.get("EXPLGRAPH_CHROMIUM") or shutil.which("chromium")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        page = chromium.new_page(viewport={"width": SIZE[0], "height": SIZE[1]})
        page.goto(place.address)
        expect(page.locator("body")).to_have_class("ready")
        page.wait_for_timeout(1500)  # pictures are decoded in their own time
        page.screenshot(path=PICTURE, type="jpeg", quality=85)
        chromium.close()
    place.stop()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
