"""The And-Or graph's own rows in the few-shot protocol."""

from __future__ import annotations

from dataclasses import replace

from aog import PartConfig, fit_clicks
from aog.answers import nearest_point, posterior, strongest_point
from aog.clicks import Clicks
from aog.evidence import terms, weigh
from aog.sight import sight
from explgraph.base.arrays import F8
from explgraph.base.frames import to_unit
from explgraph.graphs.graph import ExplanatoryGraph
from explgraph.graphs.matches import Matches
from explgraph.pipeline import extract
from mining import match_peaks, mine_peaks

from .study import FewShotCategory
from .tasks import Locator, Task

AND_OR = "And-Or graph"
PEAK, VOTES = f"{AND_OR}, peak", f"{AND_OR}, votes alone"


class PartGraph:
    """Fits an And-Or graph to a task's clicks and asks it for every photo.

    Parameters
    ----------
    graph
        Mined from the category's photos, without labels.
    found
        Its matches in them, with views.
    config
        Hyper-parameters; None takes the defaults.
    """

    name = AND_OR

    def __init__(
        self, graph: ExplanatoryGraph, found: Matches, config: PartConfig | None = None
    ) -> None:
        self.graph, self.found, self.config = graph, found, config or PartConfig()

    def __call__(self, task: Task) -> dict[str, F8]:
        """Return the answer, and what the peak or the votes alone would have answered."""
        clicks = Clicks(task.part, task.train, task.yx, task.size)
        parts = fit_clicks(self.graph, self.found, [clicks], config=self.config)
        tested = self.found.take(task.test)
        seen = sight(self.graph, tested)
        aog, mean = parts.aogs[0], parts.look_mean
        said = terms(aog, seen, mean, self.config)
        whole = weigh(aog, seen, said, self.config).place
        votes = weigh(aog, seen, said, replace(self.config, look=0.0, scene=0.0)).place
        frames = seen.unit_frames
        return {
            row: to_unit(frames, answer.yx)
            for row, answer in (
                (AND_OR, nearest_point(posterior(whole))),
                (PEAK, strongest_point(whole)),
                (VOTES, nearest_point(posterior(votes))),
            )
        }


def part_graph(category: FewShotCategory) -> Locator:
    """Mine the category's graph and match it in its photos."""
    return PartGraph(*mine_category(category))


def mine_category(category: FewShotCategory) -> tuple[ExplanatoryGraph, Matches]:
    """Return the graph of a category's photos, seed 0, and its matches in them, with views.

    Raises
    ------
    ExplGraphError
        If a photo cannot be read: tasks count photos.
    """
    peaks = extract(
        category.net,
        category.images,
        background=category.background,
        layers=category.layers,
        maps=True,
        batch_size=category.batch_size,
        strict=True,
    )
    graph = mine_peaks(peaks, seed=0)
    return graph, match_peaks(graph, peaks, views=True)
