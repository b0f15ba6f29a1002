"""Clicks as poses of a part: templates, those that agree made one, and what is kept of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from aog.candidates import candidates, weighted
from aog.click_views import ClickTerms
from aog.clicks import Clicks
from aog.templates import Template, disagreement, merged
from explgraph.base.arrays import F8

from .combining import Votes
from .photos import Photos
from .views import click_terms, view_shares

_SPARE = 4  # that are kept although nothing uses them: an answer may be taken back, and given again
_SAME = 0.02  # of a template's clicks: shares that differ by less give nearly the same template

Key = tuple[object, ...]

K = TypeVar("K")
T = TypeVar("T")


@dataclass(slots=True)
class Clicked:
    """One click: a template and what speaks for it, for each of its photo's W views."""

    key: Key
    views: list[Template]
    terms: ClickTerms


@dataclass(slots=True)
class Pose:
    """One template, and which views of which clicks it is made of, by their shares."""

    template: Template
    members: tuple[Key, ...]
    shares: F8
    votes: Votes | None = None


class Poses:
    """The poses of one part, from fit to fit; what has not changed is kept."""

    def __init__(self, photos: Photos) -> None:
        self._photos = photos
        self._clicked: dict[Key, Clicked] = {}
        self._poses: dict[tuple[Key, ...], Pose] = {}
        self._apart: dict[tuple[int, int], tuple[Template, Template, float]] = {}

    def of(self, clicks: Clicks) -> list[Pose]:
        """Return the poses of some clicks; those that are new have no votes yet."""
        photos, rows = self._photos, clicks.index
        clicked = [self._click(clicks, i) for i in range(len(clicks))]
        self._clicked = _recent(self._clicked, [one.key for one in clicked])
        count = np.array([[len(template.node) for template in one.views] for one in clicked])
        alone = np.where(count > 0, photos.odds[rows], -np.inf)
        taken = np.zeros(len(photos.seen), dtype=bool)
        taken[[*rows, *clicks.hidden]] = True
        sure = view_shares([one.terms for one in clicked], alone, photos, taken)
        templates: list[Template] = []
        keys: list[Key] = []
        for one, share in zip(clicked, sure, strict=True):
            own = weighted(one.views, share)
            number = {id(view.node): k for k, view in enumerate(one.views)}
            templates += own
            keys += [(*one.key, number[id(view.node)]) for view in own]
        found = self._merged(templates, keys)
        self._poses = _recent(self._poses, [pose.members for pose in found])
        return found

    def _merged(self, templates: Sequence[Template], keys: Sequence[Key]) -> list[Pose]:
        input_size = self._photos.seen.input_size
        limit = self._photos.config.merge * float(np.sqrt(input_size[0] * input_size[1]))
        result = []
        for template, numbers in merged(templates, limit, self._disagreement):
            members = tuple(keys[number] for number in numbers)
            share = np.array([templates[number].clicks for number in numbers])
            pose = Pose(template, members, share / share.sum())
            known = self._poses.get(members)
            if known is not None and np.abs(known.shares - pose.shares).max() <= _SAME:
                pose.votes, pose.shares = known.votes, known.shares
            self._poses[members] = pose
            result.append(pose)
        used = {id(template.node) for template in templates}
        self._apart = {pair: kept for pair, kept in self._apart.items() if used.issuperset(pair)}
        return result

    def _disagreement(self, a: Template, b: Template) -> float:
        """Remember what `disagreement` says: the arrays of templates do not change."""
        pair = id(a.node), id(b.node)
        kept = self._apart.get(pair)
        if kept is None or kept[0].node is not a.node or kept[1].node is not b.node:
            kept = self._apart[pair] = a, b, disagreement(a, b)
        return kept[2]

    def _click(self, clicks: Clicks, i: int) -> Clicked:
        row = int(clicks.index[i])
        key = (row, *clicks.yx[i].tolist(), *np.nan_to_num(clicks.size[i], nan=-1).tolist())
        if key not in self._clicked:
            photos = self._photos
            own = slice(i, i + 1)
            one = Clicks(clicks.part, clicks.index[own], clicks.yx[own], clicks.size[own])
            (views,) = candidates(
                photos.graph, photos.seen, photos.habits, photos.usual.mean, one, photos.config
            )
            self._clicked[key] = Clicked(key, views, click_terms(views, photos))
        return self._clicked[key]


def _recent(kept: dict[K, T], used: Sequence[K]) -> dict[K, T]:
    """Return what is used, and a few others, those that were used last."""
    spare = [key for key in kept if key not in set(used)][-_SPARE:]
    return {key: kept[key] for key in (*spare, *used)}
