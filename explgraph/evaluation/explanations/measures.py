"""How good is an explanation: what it leaves of a decision, and whether it points at the part."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from explgraph.base.arrays import F8, I8, frozen
from explgraph.base.errors import check_finite, check_shape, require
from explgraph.base.layer import LayerSpec
from explgraph.explanations.attribution import on_pixels, resampled
from explgraph.explanations.questions import Question, ask
from explgraph.explanations.targets import Asked, ClassTarget
from explgraph.networks.backbone import Backbone
from explgraph.photos.boxes import Box

Grid = LayerSpec | tuple[int, int]
"""Cells that maps are compared on: those of a layer, or (rows, columns) of equal size."""
Baseline = str | Tensor
"""What is shown for hidden pixels: a kind of `Question.baseline`, or inputs (3, H_in, W_in)."""

STEPS = 100

_SAME = 1e-5  # of the largest value: what float32 leaves of equal maps


@dataclass(frozen=True, eq=False, slots=True)
class InsertionDeletion:
    """A network's response while pixels are shown, or hidden, in the order of an explanation.

    Attributes
    ----------
    curves
        (2, S + 1) the insertion and the deletion curve, at the shares 0, 1 / S, ..., 1 of pixels.
    """

    curves: F8

    def __post_init__(self) -> None:
        check_shape("InsertionDeletion.curves", self.curves, (2, None))
        object.__setattr__(self, "curves", frozen(self.curves, np.float64))

    @property
    def areas(self) -> F8:
        """(2,) areas under the curves, by trapezia: means over the share of pixels."""
        middle: F8 = (self.curves[:, 1:] + self.curves[:, :-1]) / 2
        return np.asarray(middle.mean(axis=1))

    @property
    def insertion(self) -> float:
        """Area under the insertion curve; the larger, the better."""
        return float(self.areas[0])

    @property
    def deletion(self) -> float:
        """Area under the deletion curve; the smaller, the better."""
        return float(self.areas[1])

    @property
    def difference(self) -> float:
        """Insertion minus deletion; 0 is what a random order gives on average."""
        return self.insertion - self.deletion

    def to_json(self) -> dict[str, Any]:
        """Return the areas and curves as JSON values."""
        return {
            "insertion": self.insertion,
            "deletion": self.deletion,
            "difference": self.difference,
            "curves": self.curves.tolist(),
        }


def insertion_deletion(
    net: Backbone,
    image: object,
    values: NDArray[Any],
    target: Asked = None,
    *,
    baseline: Baseline = "blur",
    steps: int = STEPS,
    grid: Grid | None = None,
    batch_size: int | None = None,
) -> InsertionDeletion:
    """Show a photo's pixels in the order of an explanation, and hide them in it.

    Insertion starts from the baseline and puts the photo's pixels into it, the largest value first;
    deletion starts from the photo and puts the baseline's in. Of equal values the first in reading
    order goes first. Both curves share their ends, so that a photo costs 2 S passes.

    Petsiuk, Das and Saenko, "RISE", 2018. There deletion paints pixels grey; here both directions
    use one baseline, so that a random order has a difference of 0 on average.

    Parameters
    ----------
    net
        The network; the same afterwards.
    image, target
        As in `explgraph.explanations.questions.ask`; None: the class that the network gives the
        photo. Of a class its probability is measured, the softmax of the logits; of a filter or
        node, the output at the cell.
    values
        (H_in, W_in) the explanation at network pixels of the photo as given, or (h, w) at the cells
        of ``grid``. The larger, the more in favour of the target.
    baseline
        What is shown for hidden pixels: "blur" (sigma: a tenth of the input's shorter side),
        "mean", "black", "grey", "white" (see `Question.baseline`), or inputs (3, H_in, W_in).
    steps
        S. After k steps the first k / S of the pixels are shown: 100 are steps of 1 %.
    grid
        Cells whose pixels go together, once half of them are due: so explanations of different
        fineness are compared on one grid. Values at pixels are averaged over each cell.
    batch_size
        Pictures per run of the network.

    Returns
    -------
    Both curves, and the areas beneath them.

    Raises
    ------
    ExplGraphError
        As `ask`, and if the values or the baseline have another shape or are not finite.
    """
    question = ask(net, image, target, batch_size=batch_size)
    return question_curves(question, values, baseline=baseline, steps=steps, grid=grid)


def question_curves(
    question: Question,
    values: NDArray[Any],
    *,
    baseline: Baseline = "blur",
    steps: int = STEPS,
    grid: Grid | None = None,
) -> InsertionDeletion:
    """Measure an answer to a question as `insertion_deletion` does."""
    require(steps >= 1, f"steps must be at least 1, got {steps}")
    photo, hidden = question.inputs[0], _hidden(question, baseline)
    given = _turns(values, grid, _size(question), steps)  # in the photo as given
    turns = np.flip(given, axis=1) if question.mirrored else given
    turn = torch.from_numpy(turns.copy()).to(photo.device)
    rising = _responses(question, _pictures(question, hidden, photo, turn, steps))
    falling = _responses(question, _pictures(question, photo, hidden, turn, steps))
    # Every picture once: the whole photo ends insertion and starts deletion.
    insertion, deletion = [falling[-1], *rising], [rising[-1], *falling]
    return InsertionDeletion(np.array([insertion, deletion]))


def _size(question: Question) -> tuple[int, int]:
    height, width = question.inputs.shape[2:]
    return height, width


def _hidden(question: Question, baseline: Baseline) -> Tensor:
    """Return (3, H_in, W_in) what is shown in place of the photo."""
    if isinstance(baseline, str):
        return question.baseline(baseline)[0]
    wanted = tuple(question.inputs.shape[1:])
    require(
        tuple(baseline.shape) == wanted,
        f"a baseline must have the shape {wanted} of the input, got {tuple(baseline.shape)}",
    )
    return baseline.to(question.inputs)


def _turns(values: NDArray[Any], grid: Grid | None, size: tuple[int, int], steps: int) -> I8:
    """Return (H_in, W_in) the step, 1..S, in which the turn of each pixel comes."""
    cells = grid_cells(size if grid is None else grid, size)
    pixels = np.bincount(cells.ravel())
    order = np.argsort(-on_grid(values, grid, size).ravel(), kind="stable")
    # In half pixels, so that nothing is rounded: the middle of each cell in the order.
    middle = 2 * np.cumsum(pixels[order]) - pixels[order]
    turn = np.empty(len(order), dtype=np.int64)
    turn[order] = -(-middle * steps // (2 * cells.size))
    return np.asarray(turn[cells])


def grid_cells(grid: Grid, size: tuple[int, int]) -> I8:
    """Return (H_in, W_in) the cell of each network pixel, counted in reading order.

    Parameters
    ----------
    grid
        Of a layer, a pixel belongs to the cell whose receptive field's centre is nearest,
        the later one of two.
    size
        (H_in, W_in).

    Raises
    ------
    ExplGraphError
        If a cell has no pixel.
    """
    shape = grid.grid if isinstance(grid, LayerSpec) else grid
    axes = []
    for axis, (count, length) in enumerate(zip(shape, size, strict=True)):
        px = np.arange(length) + 0.5
        if isinstance(grid, LayerSpec):
            axes.append(grid.nearest(axis, px))
        else:
            axes.append(np.floor(px * count / length).astype(np.int64))
        require(
            len(np.unique(axes[-1])) == count,
            f"a grid of {shape[0]} x {shape[1]} cells is too fine, or lies outside of an input of "
            f"{size[0]} x {size[1]} pixels: some cells have no pixel",
        )
    return np.asarray(axes[0][:, None] * shape[1] + axes[1])


def on_grid(values: NDArray[Any], grid: Grid | None, size: tuple[int, int]) -> F8:
    """Bring a map to a grid's cells.

    Parameters
    ----------
    values
        (H_in, W_in) at network pixels, which are averaged over each cell; or (h, w), at cells. A
        map that was made of the values of the layer's cells, by
        `explgraph.explanations.attribution.on_pixels`, gives these values back.
    grid
        None: the pixels themselves.
    size
        (H_in, W_in).

    Returns
    -------
    (h, w).

    Raises
    ------
    ExplGraphError
        If the values fit neither, or are not finite.
    """
    values = np.asarray(values, dtype=np.float64)
    check_finite("an explanation's values", values)
    shape = grid.grid if isinstance(grid, LayerSpec) else grid or size
    if values.shape == shape:
        return values
    require(
        values.shape == size,
        f"an explanation's values must have the shape {size} of the network's input or {shape} of "
        f"the grid, got {values.shape}",
    )
    if isinstance(grid, LayerSpec):
        at_centres = _at_centres(values, grid)
        slack = _SAME * float(np.abs(values).max())
        if np.allclose(on_pixels(at_centres, grid, size), values, rtol=0, atol=slack):
            return at_centres
    cells = grid_cells(shape if grid is None else grid, size).ravel()
    sums = np.bincount(cells, weights=values.ravel())
    return np.asarray((sums / np.bincount(cells)).reshape(shape))


def _at_centres(values: F8, layer: LayerSpec) -> F8:
    """Read a map (H_in, W_in) where the centres of the cells' receptive fields are."""
    rows, columns = (layer.centres(axis) - 0.5 for axis in (0, 1))
    return resampled(values, rows, columns).astype(np.float64)


def _pictures(
    question: Question, before: Tensor, after: Tensor, turn: Tensor, steps: int
) -> Iterator[Tensor]:
    """Yield (b, 3, H_in, W_in) all steps: ``before``, with ``after`` where its turn has come."""
    for start in range(1, steps + 1, question.batch_size):
        stop = min(start + question.batch_size, steps + 1)
        now = torch.arange(start, stop, device=turn.device)[:, None, None, None]
        yield torch.where(turn <= now, after, before)


def _responses(question: Question, pictures: Iterator[Tensor]) -> list[float]:
    """Return the probability of the question's class, or the output of its filter, by picture."""
    target = question.target
    found: list[float] = []
    with torch.inference_mode():
        for batch in pictures:
            if isinstance(target, ClassTarget):
                logits = question.net.logits(batch)
                found.extend(logits.softmax(dim=1)[:, target.index].tolist())
            else:
                found.extend(question.objective(batch).tolist())
    return found


def box_mask(boxes: Box | Sequence[Box], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Return (H, W) which pixels have their centre in one of the boxes."""
    mask = np.zeros(shape, dtype=bool)
    y, x = (np.arange(length) + 0.5 for length in shape)
    for box in [boxes] if isinstance(boxes, Box) else boxes:
        rows, columns = (box.y0 <= y) & (y < box.y1), (box.x0 <= x) & (x < box.x1)
        mask |= rows[:, None] & columns
    return mask


def pointing_game(values: NDArray[Any], box: Box | Sequence[Box]) -> float:
    """Say whether an explanation is largest inside the true box.

    Zhang et al., "Top-down Neural Attention by Excitation Backprop", 2016, without their tolerance
    of 15 pixels.

    Parameters
    ----------
    values
        (H, W).
    box
        One box or several, of which any will do, in pixels of ``values``: (0, 0) is the outer
        corner.

    Returns
    -------
    1 or 0. Where several pixels have the largest value, the share of them that lies inside: what
    choosing one at random would give on average. So a map without any structure scores the box's
    share of the area.

    Raises
    ------
    ExplGraphError
        If the values are not finite or the box lies outside of the map.
    """
    inside = _checked(values, box)
    return float(inside[values == values.max()].mean())


def energy_in_box(values: NDArray[Any], box: Box | Sequence[Box]) -> float:
    """Return the share of an explanation that lies inside the true box.

    Values below 0 count as 0. Wang et al., "Score-CAM", 2020: "energy-based pointing game".

    Parameters
    ----------
    values, box
        As in `pointing_game`.

    Returns
    -------
    In 0..1. A map without a value above 0 says nothing of places: it scores the box's share of the
    area, as an even map does.

    Raises
    ------
    ExplGraphError
        As `pointing_game`.
    """
    inside = _checked(values, box)
    energy = np.maximum(np.asarray(values, dtype=np.float64), 0)
    total = float(energy.sum())
    return float(energy[inside].sum() / total) if total > 0 else float(inside.mean())


def _checked(values: NDArray[Any], box: Box | Sequence[Box]) -> NDArray[np.bool_]:
    check_shape("an explanation's values", values, (None, None))
    check_finite("an explanation's values", values)
    height, width = values.shape
    inside = box_mask(box, (height, width))
    require(
        bool(inside.any()),
        f"the centre of no pixel of a map of {height} x {width} lies in {box}: boxes are given in "
        "the map's own pixels",
    )
    return inside
