"""Parts that are fitted again and again, while clicks come in.

Evidence is a sum over templates (Eq. 10): a new click costs its own templates in all photos, and
one look over all maps for what the part looks like. It is what `fit_clicks` and `locate` compute,
but for this: votes are kept as levels of their logarithm (`ballots`), a trait is learnt from some
hundred photos at most, and which photos tell how clicked ones are seen does not hang on the clicks.
"""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock
from typing import NamedTuple

import numpy as np

from aog.answers import GRID
from aog.candidates import NOTHING_FIRES, check_learnable
from aog.clicks import Clicks
from aog.config import PartConfig
from aog.evidence import likeness_elsewhere, threshold, threshold_beside
from aog.fitting import fit_clicks
from aog.inference import known_sizes, locate
from aog.learnt import trait_of
from aog.looks import from_grid, on_grid, over_window
from aog.sight import sight
from aog.structures import Localizations, Parts
from explgraph.base.arrays import F4
from explgraph.base.errors import require
from explgraph.base.frames import to_unit
from explgraph.base.threads import one_blas_thread
from explgraph.graphs.graph import ExplanatoryGraph
from explgraph.graphs.matches import Matches

from .ballots import cast
from .combining import Balance, Findings, Votes, Weights
from .photos import Photos, Rows
from .poses import Pose, Poses


class Refit:
    """Fits parts to clicks on the same photos, over and over; any thread may, each another part.

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
        self._photos = Photos(graph, sight(graph, found), config)
        require(self._photos.seen.maps is not None, "refits need matches with views")
        self._poses: dict[str, Poses] = {}
        self._lock = Lock()

    def prepare(self) -> None:
        """Compute what does not hang on clicks, which else the first fit does."""
        with self._lock, one_blas_thread():
            self._photos.prepare()

    def check(self, clicks: Clicks) -> None:
        """Raise `ExplGraphError` unless something can be learnt from each of some clicks."""
        check_learnable(self._photos.seen, clicks)

    def fit(self, clicks: Clicks) -> Localizations:
        """Return where the part is in all photos, nearly as `settle` does."""
        require(len(clicks) > 0, f"there is no click for the part {clicks.part!r}")
        self.prepare()
        poses = self._poses.setdefault(clicks.part, Poses(self._photos))
        with one_blas_thread():
            return _Fit(self._photos, poses.of(clicks), clicks).located(self._found.images)

    def settle(self, clicks: Clicks) -> tuple[Parts, Localizations]:
        """Return the part fitted from nothing, and where it is: as `fit_clicks` and `locate` do."""
        parts = fit_clicks(self._graph, self._found, [clicks], config=self._config)
        return parts, locate(parts, self._found)


class _Looks(NamedTuple):
    """(n, V, H, W) how much cells look like the clicked places, and like the trait, if any."""

    clicked: F4
    trait: F4 | None = None


class _Fit:
    """One fit of a part: what poses are new is computed, and kept in them."""

    def __init__(self, photos: Photos, poses: Sequence[Pose], clicks: Clicks) -> None:
        require(len(poses) > 0, NOTHING_FIRES)
        self._photos, self._poses, self._clicks = photos, poses, clicks
        count = np.array([pose.template.clicks for pose in poses])
        total = float(count.sum())
        self._share, self._sure = count / total, total / (total + photos.config.doubt)
        looks = np.stack([pose.template.look for pose in poses])
        self._look = np.einsum("twc,t->wc", looks, self._share.astype(np.float32))
        self._new = [pose for pose in poses if pose.votes is None]
        scenes = [pose.template.scene.astype(np.float32) for pose in self._new]
        self._scenes = np.array(scenes).reshape(len(scenes), poses[0].template.scene.size)
        taken = np.zeros(len(photos.seen), dtype=bool)
        taken[[*clicks.index, *clicks.hidden]] = True
        self._others = np.flatnonzero(~taken[photos.teachers])

    def located(self, images: tuple[str, ...]) -> Localizations:
        """Return the answers."""
        try:
            return self._located(images)
        except BaseException:
            for pose in self._new:  # what is kept of it may be half done
                pose.votes = None
            raise

    def _located(self, images: tuple[str, ...]) -> Localizations:
        photos = self._photos
        for pose in self._new:
            levels = cast(pose.template, photos.seen, photos.habits.scale, photos.config)
            pose.votes = Votes(levels, np.empty(photos.odds.shape, dtype=np.float32))
        everything = np.arange(len(photos.seen))
        few = len(photos.teachers) < len(everything)
        looks = self._look_over(photos.teachers, None)
        trait, trait_share = self._learnt(looks.clicked)
        if few:
            looks = self._look_over(everything, trait)
        elif trait is not None:
            cosine = photos.glance(everything, trait[None], self._scenes[:0]).cosine
            looks = looks._replace(trait=cosine[..., 0])
        found = self._balance(everything).find(self._weights(trait_share), *looks)
        least = self._visible_from(found, looks)
        return self._answers(found, least, images)

    def _look_over(self, rows: Rows, trait: F4 | None) -> _Looks:
        """Look at some photos' maps; what new poses' scenes are like is kept."""
        vectors = self._look if trait is None else np.concatenate([self._look, trait[None]])
        seen = self._photos.glance(rows, vectors, self._scenes)
        for k, pose in enumerate(self._new):
            assert pose.votes is not None
            pose.votes.scene[rows] = seen.scene[..., k]
        nine = seen.cosine[..., : len(self._look)]
        clicked = over_window(nine, self._photos.seen.layer)[:, :, 0]
        return _Looks(clicked, None if trait is None else seen.cosine[..., -1])

    def _balance(self, rows: Rows) -> Balance:
        votes = [pose.votes for pose in self._poses if pose.votes is not None]
        photos = self._photos
        return Balance(votes, rows, photos.seen, photos.odds, photos.config)

    def _weights(self, trait: float) -> Weights:
        return Weights(self._share, self._sure, trait)

    def _learnt(self, clicked: F4) -> tuple[F4 | None, float]:
        """Return the trait and its share, as `learn` does, from what photos without a click show.

        Parameters
        ----------
        clicked
            What the teachers' cells look like.
        """
        photos, seen = self._photos, self._photos.seen
        if len(self._others) == 0 or photos.config.learnt == 0:
            return None, 0.0
        rows = photos.teachers[self._others]
        found = self._balance(rows).find(self._weights(0.0), clicked[self._others], None)
        share = from_grid(found.view_place, seen.layer, seen.input_size)
        here = photos.direction(rows, share.reshape(len(rows), -1)) / len(rows)
        confidence = float(found.confidence.mean(dtype=np.float64))
        return trait_of(here, photos.usual), photos.config.learnt * confidence**2

    def _visible_from(self, found: Findings, looks: _Looks) -> float:
        """Return the likeness from which on the part counts as visible, as `learn` does."""
        rows, seen = self._photos.teachers[self._others], self._photos.seen
        if len(rows) == 0:
            return float("-inf")
        cells = looks.clicked if looks.trait is None else looks.trait
        each = on_grid(cells[rows], seen.layer, seen.input_size, GRID)
        here = found.alike[rows]
        usual = threshold(here, likeness_elsewhere(each))
        hidden = self._clicks.hidden
        return threshold_beside(usual, here, found.alike[hidden]) if len(hidden) else usual

    def _answers(self, found: Findings, least: float, images: tuple[str, ...]) -> Localizations:
        seen = self._photos.seen
        frames = seen.unit_frames
        size = np.array([pose.template.size for pose in self._poses], dtype=np.float32)
        sizes = known_sizes(size) / np.array(seen.input_size)
        return Localizations(
            images=images,
            parts=(self._clicks.part,) * len(images),
            yx=to_unit(frames, found.answer).astype(np.float32),
            size=sizes[found.template] * np.abs(frames[..., 1]),
            confidence=found.confidence,
            evidence=found.alike,
            visible=(found.alike >= np.float32(least)).astype(np.uint8),
            template=found.template,
            mirrored=seen.turned[np.arange(len(seen)), found.view].astype(np.uint8),
            probability=found.probability,
            frames=frames.astype(np.float32),
        )
