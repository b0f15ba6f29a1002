"""Parts that are fitted again and again, while clicks come in."""

from __future__ import annotations

from aog.clicks import Clicks
from aog.config import PartConfig
from aog.fitting import check_learnable, fit_clicks
from aog.inference import locate
from aog.sight import sight
from aog.structures import Localizations, Parts
from explgraph.graphs.graph import ExplanatoryGraph
from explgraph.graphs.matches import Matches


class Refit:
    """Fits parts to clicks on the same photos, over and over; any thread may, one at a time.

    Parameters
    ----------
    graph
        P nodes.
    found
        Its matches in N photos, with views.
    config
        Hyper-parameters.
    """

    def __init__(self, graph: ExplanatoryGraph, found: Matches, config: PartConfig) -> None:
        self._graph, self._found, self._config = graph, found, config
        self._seen = sight(graph, found)

    def check(self, clicks: Clicks) -> None:
        """Raise `ExplGraphError` unless something can be learnt from each of some clicks."""
        check_learnable(self._seen, clicks)

    def fit(self, clicks: Clicks) -> Localizations:
        """Return where the part is in all photos, nearly as `settle` does."""
        return self.settle(clicks)[1]

    def settle(self, clicks: Clicks) -> tuple[Parts, Localizations]:
        """Return the part fitted from nothing, and where it is: as `fit_clicks` and `locate` do."""
        parts = fit_clicks(self._graph, self._found, [clicks], config=self._config)
        return parts, locate(parts, self._found)
