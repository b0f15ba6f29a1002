"""The And-Or graph on raw units: what few clicks gave before there were explanatory graphs.

The baseline of "Growing Interpretable Part Graphs on ConvNets via Multi-Shot Learning" (AAAI 2017),
with the constants of the released code. A template is mined from one or several clicks: units, each
a cell of one channel with its displacement to the part. In a new photo each unit may move within a
window; the part is where the moved units point to.

All positions are counted on a network input of 224 x 224 pixels, whatever its real size. Layers are
taken as they are mined, behind their ReLU where they have one; the authors took them before it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from explgraph.base.arrays import F4, F8, I4, NONE
from explgraph.base.frames import mirrored_yx, to_pixels, to_unit

from .maps import VIEWS, DenseLayer, DenseMaps
from .raw_kernels import FALL, SIDE, most_voted, place_units, strongest_near
from .tasks import Task

RESPONSE, SHIFT, SUPPORT, PARENT = 1.5, 0.35, 5.0, 10.0
"""Weights of a unit's response, of how far it moves, of what all photos say of its place, and of
how far its parents would have it elsewhere."""
LABEL, NEARNESS = 5.0, 2.0
"""Weights of how well a unit points to the click, and of how near to the click it lies."""
SILENT = -3.0
"""The response of a cell that does not fire."""
WINDOW = 33.6
"""Half of the window in which a unit may move, pixels."""
SUPPORT_RESPONSE = 0.1
"""Weight of the response in the support."""
NEAR_2, FAR_2 = 4900.0, 19600.0
"""Units of squared distances, pixels^2: from the click to where a unit points to; and of how far a
unit moves or is away from the click."""
PARENTS = 15
"""So many units of the next layer up say where a unit should be."""
ONE_TEMPLATE, K_TEMPLATES = (
    "raw-unit And-Or graph, one template",
    "raw-unit And-Or graph, k templates",
)

_RANKED, _HEAD, _KEPT = 0.1, 0.1, 0.4  # which units of a layer are kept, see `_best_units`


class Units(NamedTuple):
    """P units of one layer's template, or of all its candidates.

    Attributes
    ----------
    channel
        (P,) index.
    cell
        (P, 2) where the unit is expected, cells.
    displacement
        (P, 2) from the unit to the part, pixels.
    support
        (P,) what all photos say of its place.
    nearness
        (P,) minus its squared distance from the part.
    value
        (P,) how good it is for the part.
    """

    channel: NDArray[np.intp]
    cell: I4
    displacement: F8
    support: F8
    nearness: F8
    value: F4

    def take(self, rows: NDArray[np.generic]) -> Units:
        """Select units by index or by boolean mask."""
        return Units(*(column[rows] for column in self))


@dataclass(frozen=True, eq=False, slots=True)
class RawTemplate:
    """What a part looks like in one or several clicked photos that agree.

    Attributes
    ----------
    layers
        Units by layer, lowest first.
    parents
        By layer, (P, 15) indices of units of the next layer up; -1 = none.
    size
        (2,) height and width of the part, pixels; NaN where unknown.
    """

    layers: tuple[Units, ...]
    parents: tuple[NDArray[np.intp], ...]
    size: F8


class RawLayer:
    """One layer's responses in N photos, and the support of its units.

    Parameters
    ----------
    maps
        The layer's output, for both views.
    input_size
        (H_in, W_in) of the network's input, pixels.

    Attributes
    ----------
    response
        (2, N, C, H, W) float16: deviation from the background's mean in units of its standard
        deviation where a cell fires, -3 elsewhere.
    reach
        (y, x) how many cells a unit may move.
    support
        (C, H, W) mean over all photos as given of the best ``0.1 response - |d|^2 / (2 field^2)``
        in a unit's window.
    """

    def __init__(self, maps: DenseLayer, input_size: tuple[int, int]) -> None:
        scale = SIDE / np.array(input_size)
        self.grid = np.stack([maps.layer.offset, maps.layer.stride]) * scale
        self.reach = np.rint(WINDOW / self.grid[1]).astype(np.int32)
        self.response = torch.empty_like(maps.values)
        for photo, values in enumerate(maps.values.unbind(1)):
            deviation = values.float() - maps.mean[:, None, None]
            self.response[:, photo] = torch.where(values > 0, deviation, SILENT).half()
        self.support = self._support(np.array(maps.layer.field) * scale)

    def _support(self, field: F8) -> F4:
        total = np.zeros(self.response.shape[2:], dtype=np.float32)
        bend = self.grid[1] ** 2 / (2 * field**2)
        for photo in self.response[0]:
            total += self._near(SUPPORT_RESPONSE * photo.float(), bend)[0]
        return np.asarray(total / self.response.shape[1])

    def _near(self, values: Tensor, bend: F8) -> tuple[F4, I4]:
        """Return the best value around each cell (C, H, W), and the cell (C, H, W, 2) of it."""
        best = np.empty(values.shape, dtype=np.float32)
        cell = np.empty((*values.shape, 2), dtype=np.int32)
        strongest_near(values.numpy(), self.reach, bend, best, cell)
        return best, cell

    def pixels(self, cell: NDArray[np.generic]) -> F8:
        """Return the positions (..., 2) of cells, pixels."""
        return np.asarray(self.grid[0] + cell * self.grid[1])

    def window(self, cell: I4) -> I4:
        """Return the cells (P, n, 2) to which units at (P, 2) may move.

        Those beyond the map's border come as cells at the border, which are there twice.
        """
        steps = [np.arange(-reach, reach + 1) for reach in self.reach]
        way = np.stack(np.meshgrid(*steps, indexing="ij"), axis=-1).reshape(-1, 2)
        last = np.array(self.response.shape[3:]) - 1
        return np.asarray(np.clip(cell[:, None] + way, 0, last), dtype=np.int32)

    def read(self, view: int, photos: NDArray[np.intp], channel: NDArray[np.intp], cells: I4) -> F4:
        """Return the responses (B, P, n) of channels (P,) at cells (P, n, 2)."""
        y, x = torch.from_numpy(np.moveaxis(cells, -1, 0).astype(np.int64))
        at = (torch.from_numpy(photos)[:, None, None], torch.from_numpy(channel)[:, None], y, x)
        return np.asarray(self.response[view][at].float().numpy())

    def candidates(self, photo: int) -> tuple[F4, I4]:
        """Let every unit of the layer move to its best cell in a photo as given, without parents.

        Returns
        -------
        (C, H, W) the unit's score, and (C, H, W, 2) the cell.
        """
        bend = SHIFT * self.grid[1] ** 2 / FAR_2
        best, cell = self._near(RESPONSE * self.response[0, photo].float(), bend)
        return best + SUPPORT * self.support, cell


def learn_template(
    layers: Sequence[RawLayer], clicks: Sequence[tuple[int, F8]], size: F8
) -> RawTemplate:
    """Mine a template from clicks.

    Parameters
    ----------
    layers
        Lowest first.
    clicks
        Photos' indices, and the clicked points (y, x) in the photos as given, pixels.
    size
        (2,) height and width of the part, pixels; NaN where unknown.
    """
    units = tuple(_best_units(_candidates(layer, clicks)) for layer in layers)
    parents = [
        _parents(layer.pixels(own.cell), above.pixels(others.cell))
        for layer, own, above, others in zip(layers, units, layers[1:], units[1:], strict=False)
    ]
    parents.append(np.full((len(units[-1].channel), PARENTS), NONE))
    return RawTemplate(units, tuple(parents), size)


def _candidates(layer: RawLayer, clicks: Sequence[tuple[int, F8]]) -> Units:
    """Return every unit of a layer, where it is in the clicked photos on average.

    Of several units of a channel that come to the same cell, the best one.
    """
    anchor = layer.pixels(np.moveaxis(np.indices(layer.support.shape[1:]), 0, -1))
    # Until it is known, a unit's displacement is taken for that from its first place to the last
    # click: with a single click, what is called a miss is how far the unit has moved.
    guess = clicks[-1][1] - anchor
    found = [layer.candidates(photo) for photo, _ in clicks]
    points = [
        click - layer.pixels(cell) for (_, click), (_, cell) in zip(clicks, found, strict=True)
    ]
    missed = [np.sum((point - guess) ** 2, axis=-1) for point in points]
    middle = np.mean([click for _, click in clicks], axis=0)
    nearness = -np.sum((anchor - middle) ** 2, axis=-1) / FAR_2
    scores = [one - LABEL * far / NEAR_2 for (one, _), far in zip(found, missed, strict=True)]
    value: F4 = (np.mean(scores, axis=0) + NEARNESS * nearness).astype(np.float32)
    cell = np.rint(np.mean([moved for _, moved in found], axis=0)).astype(np.int32)
    best = _best_at_each_cell(value.ravel(), cell.reshape(len(value), -1, 2), value.shape[1:])
    channel = best // value[0].size
    kept = cell.reshape(-1, 2)[best]
    return Units(
        channel=channel,
        cell=kept,
        displacement=np.mean(points, axis=0).reshape(-1, 2)[best],
        support=layer.support[channel, kept[:, 0], kept[:, 1]].astype(np.float64),
        nearness=-np.sum((layer.pixels(kept) - middle) ** 2, axis=-1) / FAR_2,
        value=value.ravel()[best],
    )


def _best_at_each_cell(value: F4, cell: I4, grid: tuple[int, ...]) -> NDArray[np.intp]:
    """Return the indices of the best of the units at each cell of each channel, best first.

    Parameters
    ----------
    value
        (C * n,) of the units, channel by channel.
    cell
        (C, n, 2) where they are.
    grid
        (H, W).
    """
    place = np.ravel_multi_index((cell[..., 0], cell[..., 1]), grid)
    place += np.arange(len(cell))[:, None] * math.prod(grid)
    rising = np.argsort(value)
    last = np.full(len(cell) * math.prod(grid), NONE)
    last[place.ravel()[rising]] = rising  # of several with one place, the last stays: the best
    best = last[last != NONE]
    return np.asarray(best[np.argsort(-value[best])])


def _best_units(units: Units) -> Units:
    """Keep the head of a layer's ranking, as long as it is sharp.

    To the best tenth of the values, ``floor + a exp(-k sqrt(rank))`` is fitted, where floor is the
    worst of them and those within a tenth of the range above it are left out. ``.4 / k^2`` units
    are kept, rounded up.

    Parameters
    ----------
    units
        In the order of falling value.
    """
    ranked = units.value[: max(1, round(_RANKED * len(units.value)))]
    above = ranked - ranked[-1]
    above = above[above > _HEAD * above[0]]
    if len(above) < 2:
        return units.take(np.arange(1))
    slope = np.polyfit(np.sqrt(np.arange(len(above))), np.log(above), 1)[0]
    return units.take(np.arange(min(len(above), math.ceil(_KEPT / slope**2))))


def _parents(at: F8, above: F8) -> NDArray[np.intp]:
    """Return (P, 15) which units of the next layer up are nearest to each unit; -1 = no more."""
    distance = np.linalg.norm(at[:, None] - above, axis=-1)
    nearest = np.argsort(distance, axis=1, kind="stable")[:, :PARENTS]
    missing = ((0, 0), (0, PARENTS - nearest.shape[1]))
    return np.pad(nearest, missing, constant_values=NONE)


class RawParse(NamedTuple):
    """Where a template is in one view of B photos.

    Attributes
    ----------
    yx
        (B, 2) middle of the part, pixels of the view.
    score
        (B,) how well the template fits; comparable between views and templates.
    """

    yx: F8
    score: F8


def parse(
    layers: Sequence[RawLayer], template: RawTemplate, view: int, photos: NDArray[np.intp]
) -> RawParse:
    """Find a template in one view of some photos.

    From the top layer down, every unit moves to the best cell of its window, also by how far from
    it its parents would have it. Those that fire vote for where the part is. The part's box around
    the pixel with most votes is clipped to the view, and its middle is the answer.
    """
    points, fires, values = [], [], []
    moved = np.empty((len(photos), 0, 2))
    for level in reversed(range(len(layers))):
        layer, units, parents = layers[level], template.layers[level], template.parents[level]
        at, firing, value = _placed(layer, units, parents, moved, view, photos)
        points.append(at + units.displacement)
        fires.append(firing)
        values.append(value + SUPPORT * units.support + NEARNESS * units.nearness)
        moved = np.where(firing[..., None], at - layer.pixels(units.cell), np.nan)
    pointed, voting = np.concatenate(points, axis=1), np.concatenate(fires, axis=1)
    best = np.empty((len(photos), 2))
    most_voted(pointed, voting, best)
    best[np.isnan(best)] = SIDE / 2  # not a single unit fires
    yx = _middle_of_clipped_box(best, template.size)
    missed = np.sum((yx[:, None] - pointed) ** 2, axis=-1) / NEAR_2
    return RawParse(yx, np.mean(np.concatenate(values, axis=1) - LABEL * missed, axis=1))


def _placed(
    layer: RawLayer,
    units: Units,
    parents: NDArray[np.intp],
    moved: F8,
    view: int,
    photos: NDArray[np.intp],
) -> tuple[F8, NDArray[np.bool_], F8]:
    """Return where units are (B, P, 2), pixels, whether they fire, and what that is worth."""
    window = layer.window(units.cell)
    response = layer.read(view, photos, units.channel, window)
    at = layer.pixels(np.concatenate([units.cell[:, None], window], axis=1))
    best = np.empty(response.shape[:2], dtype=np.int32)
    value = np.empty(response.shape[:2])
    price = np.array([SHIFT / FAR_2, PARENT / (PARENTS * FALL)])
    place_units(np.float32(RESPONSE) * response, at, price, moved, parents, best, value)
    fires = np.take_along_axis(response, best[..., None], axis=2)[..., 0] > 0
    return at[np.arange(len(at)), 1 + best], fires, value


def _middle_of_clipped_box(yx: F8, size: F8) -> F8:
    """Return the middle of boxes around points (B, 2) as far as they lie within the view."""
    half = np.nan_to_num(size) / 2
    return np.asarray((np.maximum(yx - half, 0) + np.minimum(yx + half, SIDE)) / 2)


class RawUnitGraph:
    """Finds parts by the And-Or graph on raw units: an OR over templates and over the two views.

    Rows: one template of all clicks, and one template of each click. Both take the template and the
    view with the best score.

    Parameters
    ----------
    maps
        The category's photos. The support of every unit is taken over all of them.
    """

    name = "raw-unit And-Or graph"

    def __init__(self, maps: DenseMaps) -> None:
        self._frames, self._input = maps.frames, np.array(maps.input_size)
        self._layers = [RawLayer(layer, maps.input_size) for layer in maps.layers]

    def __call__(self, task: Task) -> dict[str, F8]:
        """Return both rows for one task."""
        clicks = [
            (int(photo), self._to_pixels(int(photo), yx))
            for photo, yx in zip(task.train, task.yx, strict=True)
        ]
        size = [
            self._pixel_size(photo, one) for (photo, _), one in zip(clicks, task.size, strict=True)
        ]
        each = [
            learn_template(self._layers, [click], one)
            for click, one in zip(clicks, size, strict=True)
        ]
        if len(clicks) == 1:
            answer = self._best(each, task.test)
            return {ONE_TEMPLATE: answer, K_TEMPLATES: answer}
        merged = learn_template(self._layers, clicks, np.mean(size, axis=0))
        return {
            ONE_TEMPLATE: self._best([merged], task.test),
            K_TEMPLATES: self._best(each, task.test),
        }

    def _best(self, templates: Sequence[RawTemplate], photos: NDArray[np.intp]) -> F8:
        """Return (M, 2) where the best template and view have the part, unit square."""
        found: list[RawParse] = []
        for template in templates:
            given, turned = (parse(self._layers, template, v, photos) for v in range(VIEWS))
            found += [given, RawParse(mirrored_yx(turned.yx, True, SIDE), turned.score)]
        best = np.argmax([one.score for one in found], axis=0)
        pixels = np.stack([one.yx for one in found])[best, np.arange(len(photos))]
        return to_unit(self._frames[photos], pixels * self._scale)

    @property
    def _scale(self) -> F8:
        """(2,) the network's pixels for one of ours."""
        return self._input / SIDE

    def _to_pixels(self, photo: int, yx: F8) -> F8:
        return np.asarray(to_pixels(self._frames[photo], yx) / self._scale)

    def _pixel_size(self, photo: int, size: F8) -> F8:
        return np.asarray(size / self._frames[photo][:, 1] / self._scale)
