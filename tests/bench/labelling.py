"""From one more click to the part in all photos: `python -m tests.bench.labelling --help`.

Seconds of the wall clock and of the processor (all threads together: what the wall clock would show
on one free core), beside fitting and locating from nothing in the same run. More photos than there
are come of the same ones: rows of matches once more, with a little noise.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import explgraph as eg
from aog import PartConfig
from aog.clicks import Clicks, check_clicks
from aog.refitting import Refit
from explgraph.graphs.matches import Matches
from explgraph.labelling.folder import holds_session
from explgraph.labelling.prepare import prepare
from explgraph.photos.annotations import Annotations
from tests.bench.workload import shared_folder

_MOVED = 0.01


class Timed(NamedTuple):
    """A result, and the seconds that it took: of the clock, and of the processor."""

    result: Any
    wall: float
    cpu: float


def timed(function: Callable[..., Any], *given: object) -> Timed:
    """Call a function."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = function(*given)
    return Timed(result, time.perf_counter() - wall, time.process_time() - cpu)


def repeated(found: Matches, count: int, seed: int = 0) -> Matches:
    """Return matches of so many photos: those that there are, then them again with noise."""
    rng = np.random.default_rng(seed)
    some = found.take(np.arange(count) % len(found))
    views = some.views
    assert views is not None
    new = np.arange(count) >= len(found)
    yx, score, maps = views.yx.copy(), views.score.copy(), views.maps.copy()
    for row in np.flatnonzero(new):
        yx[row] += rng.normal(0, 1, yx[row].shape)
        score[row] *= rng.uniform(0.95, 1.05, score[row].shape)
        maps[row] *= rng.uniform(0.98, 1.02, maps[row].shape).astype(np.float16)
    names = tuple(f"{row:05d}" if new[row] else name for row, name in enumerate(some.images))
    return replace(some, images=names, views=replace(views, yx=yx, score=score, maps=maps))


def clicks_of(found: Matches, marks: Annotations, part: str, count: int, seed: int = 0) -> Clicks:
    """Return some marks of a part, one for a photo, as clicks."""
    own = marks.of(part)
    own = own.take(np.isin(own.image, found.images))
    _, first = np.unique(own.image, return_index=True)
    chosen = np.random.default_rng(seed).permutation(first)[:count]
    return check_clicks(own.take(chosen), part, found.images, found.photo_sizes)


def measure(
    graph: eg.ExplanatoryGraph,
    found: Matches,
    clicks: Clicks,
    counts: list[int],
    *,
    exact: bool,
) -> list[str]:
    """Return a line of a table for each count of clicks, all earlier ones given before."""
    refit, lines = Refit(graph, found, PartConfig()), []
    ready = timed(refit.prepare)
    lines.append(f"| {len(found)} | before the first | {ready.wall:.2f} | {ready.cpu:.2f} | | | |")
    for count in range(1, max(counts) + 1):
        some = Clicks(clicks.part, clicks.index[:count], clicks.yx[:count], clicks.size[:count])
        now = timed(refit.fit, some)
        if count not in counts:
            continue
        line = f"| {len(found)} | {count} | {now.wall:.2f} | {now.cpu:.2f} |"
        if exact:
            whole = timed(refit.settle, some)
            where = whole.result[1]
            off = np.linalg.norm(now.result.yx - where.yx, axis=1) / np.sqrt(2)
            sure = np.abs(now.result.confidence - where.confidence).mean()
            line += f" {whole.cpu:.1f} | {whole.cpu / now.cpu:.0f} |"
            line += f" {(off > _MOVED).mean():.1%}, {sure:.4f} |"
        else:
            line += " | | |"
        lines.append(line)
        say(line)
    return lines


def say(text: str) -> None:
    """Print at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--labels", default="out/labels", help="a folder of labels, or a new one")
    parser.add_argument("--category", default="zebra", help="of the shared photos, for a new one")
    parser.add_argument("--part", default="head")
    parser.add_argument("--photos", default="200,2000")
    parser.add_argument("--clicks", default="1,5,20")
    parser.add_argument("--exact-to", type=int, default=500, help="photos fitted from nothing")
    given = parser.parse_args()
    shared = shared_folder()
    photos = Path(shared) / "animalpart" / given.category
    if not holds_session(given.labels):
        net = eg.load_backbone("squeezenet1_0", str(shared / "models/squeezenet1_0.safetensors"))
        prepare(photos, net, given.labels, background=photos.parent / "background").close()
    marks = eg.read_annotations(photos / "annotations.csv")
    with eg.LabelSession.open(given.labels, writable=False) as session:
        counts = [int(text) for text in given.clicks.split(",")]
        clicks = clicks_of(session.found, marks, given.part, max(counts))
        say("| photos | click | s | CPU s | from nothing, CPU s | times | moved, confidence |")
        say("|---|---|---|---|---|---|---|")
        first = repeated(session.found, 16)
        Refit(session.graph, first, PartConfig()).fit(
            clicks_of(first, marks, given.part, 2)
        )  # compiles
        for text in given.photos.split(","):
            found = repeated(session.found, int(text))
            lines = measure(
                session.graph, found, clicks, counts, exact=len(found) <= given.exact_to
            )
            say(lines[0])


if __name__ == "__main__":
    main()
