"""The picture of one photo's part groups: one labelled place for each, and what lies there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from explgraph.base.arrays import F8
from explgraph.base.text import counted, one_line
from explgraph.drawing.canvas import LINE, Canvas, fitted, font_for, paragraph_lines
from explgraph.drawing.look import FAINT, INK, many_color
from explgraph.drawing.overlay import Overlay, hidden_area
from explgraph.drawing.patches import GLANCE_SHARE, cut_patch
from explgraph.graphs.choice import groups_of
from explgraph.graphs.graph import ExplanatoryGraph
from explgraph.graphs.groups import Group, GroupPlaces, PartGroups, region
from explgraph.graphs.matches import Matches, fires
from explgraph.groups.grouping import group_places
from explgraph.photos.images import LoadedImage

_MARGIN, _GAP, _PANEL, _ROOM = 28, 20, 340, 720  # pixels
_TILE, _TILE_GAP, _CAPTION = 100, 8, 36
_ENTRY = 40  # height of a group in the list
_BADGE, _RADIUS, _TEXT = 11, 0.045, 15  # of a badge; of a circle, share of the side; of a name
_FAINTEST = 0.25  # opacity of a group that is not sure at all
_STEPS = np.linspace(0, 2 * np.pi, 16, endpoint=False)
_NOTE = (
    "The circle is where a group's nodes agree that it is; the paler, the less sure they are here "
    "than they usually are. Below, what lies there: {share:.0%} of the photo. What has no name yet "
    "says where it usually lies, seen as the graph sees photos."
)
_MIRRORED = " The graph sees this photo mirrored: what is left for the graph is right here."


@dataclass(frozen=True, slots=True)
class Shown:
    """A part group in one photo.

    Attributes
    ----------
    number, name
        Which group, and the user's name for it, or "".
    region
        Where it usually lies, in words, seen as the graph sees photos.
    yx
        (2,) where it is, unit square of the photo.
    sureness, usual
        How sure that is, and the mean over the photos that the group was made from; 0 to 1.
    firing, count
        How many of its nodes fire here, and how many it has.
    """

    number: int
    name: str
    region: str
    yx: F8
    sureness: float
    usual: float
    firing: int
    count: int

    @property
    def opacity(self) -> float:
        """1 where it is as sure as it usually is."""
        share = self.sureness / self.usual if self.usual > 0 else 0.0
        return min(max(share, _FAINTEST), 1.0)

    @property
    def title(self) -> str:
        """Its name, or which group it is."""
        return self.name or f"group {self.number}"

    @property
    def color(self) -> str:
        """Its colour."""
        return many_color(self.number)


def moving_groups(groups: PartGroups) -> list[Group]:
    """Return the groups that have nodes and do not always lie at the same place."""
    return [group for group in groups if len(group.nodes) and not groups.is_still(group.number)]


def shown_groups(graph: ExplanatoryGraph, found: Matches, photo: int) -> list[Shown]:
    """Return the part groups of a graph in one of the matched photos, but those that never move."""
    groups, own = groups_of(graph), found.take(np.array([photo]))
    places: GroupPlaces = group_places(graph, own)
    firing = fires(own.score.T, graph.score)[:, 0]
    return [
        Shown(
            number=group.number,
            name=one_line(groups.names[group.number]),
            region=region(*group.yx),
            yx=places.yx[0, group.number].astype(np.float64),
            sureness=float(places.sureness[0, group.number]),
            usual=group.sureness,
            firing=int(firing[group.nodes].sum()),
            count=len(group.nodes),
        )
        for group in moving_groups(groups)
    ]


class GroupsPage:
    """The whole picture.

    Parameters
    ----------
    found, photo
        The matches, and which of their photos.
    groups
        What is shown.
    loaded
        The photo, or an object's box in it.
    """

    def __init__(
        self, found: Matches, photo: int, groups: Sequence[Shown], loaded: LoadedImage
    ) -> None:
        self._name, self._groups, self._loaded = found.images[photo], list(groups), loaded
        note = _NOTE.format(share=GLANCE_SHARE) + (_MIRRORED if found.mirrored[photo] else "")
        self._note = paragraph_lines(note, _PANEL)

    def draw(self) -> Image.Image:
        """Draw it."""
        photo = self._photo()
        width = 2 * _MARGIN + max(photo.width, _ROOM // 2) + _GAP + _PANEL
        panel = 60 + len(self._groups) * _ENTRY + 12 + len(self._note) * LINE
        top = 2 * _MARGIN + max(photo.height, panel)
        columns = (width - 2 * _MARGIN + _TILE_GAP) // (_TILE + _TILE_GAP)
        rows = -(-len(self._groups) // columns)
        height = top + rows * (_TILE + _CAPTION + _TILE_GAP)
        canvas = Canvas((width, height + _MARGIN - _TILE_GAP))
        canvas.image.paste(photo, (_MARGIN, _MARGIN))
        self._add_list(canvas, width - _MARGIN - _PANEL)
        for i, group in enumerate(self._groups):
            row, column = divmod(i, columns)
            left = _MARGIN + column * (_TILE + _TILE_GAP)
            self._add_tile(canvas, group, (left, top + row * (_TILE + _CAPTION + _TILE_GAP)))
        return canvas.image

    def _photo(self) -> Image.Image:
        """Draw all groups on the photo, the surest on top."""
        overlay = Overlay(self._loaded, _ROOM)
        radius = _RADIUS * min(overlay.size)
        labels = dict(zip(map(id, self._groups), self._offsets(overlay, radius), strict=True))
        for group in sorted(self._groups, key=lambda group: group.opacity):
            name = group.name or str(group.number)
            with overlay.faded(group.opacity):
                overlay.ring(group.yx, radius, group.color, 3)
                overlay.dot(group.yx, 3, group.color)
                overlay.label(group.yx, name, _TEXT, labels[id(group)])
        return overlay.finish()

    def _offsets(self, overlay: Overlay, radius: float) -> list[tuple[float, float]]:
        """Return for each group where its name goes: beside its circle, off others' and names."""
        places = [overlay.pixel(group.yx) for group in self._groups]
        taken = [(*place, radius / 2, radius / 2) for place in places]
        offsets = []
        for group, place in zip(self._groups, places, strict=True):
            name = group.name or str(group.number)
            length = font_for(name, _TEXT).getlength(name)
            half = np.array([0.6 * _TEXT, 0.5 * length + 2])
            options = np.stack([-np.cos(_STEPS), np.sin(_STEPS)], axis=1) * (radius + 1 + half)
            hidden = [hidden_area(place + option, half, taken, overlay.size) for option in options]
            y, x = options[int(np.argmin(hidden))].tolist()
            taken.append((*(place + np.array([y, x])), *half))
            offsets.append((y, x))
        return offsets

    def _add_list(self, canvas: Canvas, left: int) -> None:
        canvas.text("Where its parts are", 22, (left, _MARGIN - 4), INK)
        canvas.text(fitted(self._name, 13, _PANEL), 13, (left, _MARGIN + 28), FAINT)
        y = _MARGIN + 60
        for group in self._groups:
            canvas.badge((left + _BADGE, y + 15), str(group.number), group.color, _BADGE)
            text = left + 2 * _BADGE + 12
            room = _PANEL - 2 * _BADGE - 12
            title = group.name or f"{group.title}: {group.region}"
            canvas.text(fitted(title, 14, room), 14, (text, y), INK)
            said = (
                f"sure {group.sureness:.0%}, usually {group.usual:.0%}; {group.firing} of "
                f"{counted(group.count, 'node')} fire"
            )
            canvas.text(said, 12, (text, y + 18), FAINT)
            y += _ENTRY
        canvas.paragraph(self._note, (left, y + 12))

    def _add_tile(self, canvas: Canvas, group: Shown, corner: tuple[int, int]) -> None:
        patch = cut_patch(self._loaded, group.yx, GLANCE_SHARE)
        canvas.image.paste(patch.resize((_TILE, _TILE), Image.Resampling.LANCZOS), corner)
        left, top = corner
        canvas.badge((left + _BADGE + 2, top + _BADGE + 2), str(group.number), group.color, _BADGE)
        name = fitted(group.title, 12, _TILE)
        canvas.text(name, 12, (left, top + _TILE + 3), INK)
        canvas.text(f"sure {group.sureness:.0%}", 11, (left, top + _TILE + 18), FAINT)
