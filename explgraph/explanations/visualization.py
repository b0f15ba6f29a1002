"""Activation maximisation: a picture made so that a class, a filter or a node answers strongly."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as nnf
from torch.overrides import TorchFunctionMode

from explgraph.base.arrays import F8, U1
from explgraph.base.errors import ExplGraphError, require
from explgraph.graphs.graph import ExplanatoryGraph
from explgraph.networks.backbone import Backbone
from explgraph.networks.hooks import hooked
from explgraph.networks.shared import usual_modes

from .questions import Objective
from .targets import Asked, ClassTarget, FilterTarget, Target, find_target, node_of

# How much photos vary in lightness, from red to blue, and from green to magenta: standard
# deviations within 100 public photos of anything were 0.37, 0.11 and 0.06.
_OPPONENT = ((1 / 3**0.5,) * 3, (1 / 2**0.5, 0, -1 / 2**0.5), (1 / 6**0.5, -2 / 6**0.5, 1 / 6**0.5))
_KIND: Any = {"device": "cpu", "dtype": torch.float32}  # whatever PyTorch's defaults are
_VARIATION = (1.0, 0.30, 0.16)
_CONTRAST = 1.0  # most standard deviation before the sigmoid: about 0.2 of a picture's 0..1
_START = 0.005  # of the random picture's numbers
_RATE = 0.05  # of Adam
_COARSE = 0.5  # of the steps, in which detail comes in bit by bit
_LEAK = 0.1  # slope of rectifiers below 0 while the target does not answer at all


class Shaking(NamedTuple):
    """By how much each step moves the picture before it is shown, so that no step suits one grid.

    Attributes
    ----------
    shift
        Most, of the picture's sides.
    degrees
        Most that it is turned by.
    zoom
        Most change of size, as a natural logarithm.
    """

    shift: float = 1 / 14
    degrees: float = 8.0
    zoom: float = 0.15


def visualize(
    net: Backbone,
    target: Asked,
    *,
    graph: ExplanatoryGraph | None = None,
    size: tuple[int, int] | None = None,
    steps: int = 160,
    seed: int = 0,
    shaking: Shaking | None = None,
) -> U1:
    """Make a picture that a class, a filter or a node answers strongly to.

    From faint random colours on, the picture follows the gradient of the target's answer (Erhan et
    al. 2009). It is optimised as a spectrum in which fine detail counts less, as in photos, in
    opponent colours as correlated as in photos (Olah, Mordvintsev and Schubert 2017), coarse
    structures first; each step shows it shifted, turned and scaled at random. Its contrast is held
    at that of photos. While a rectifier lets no gradient pass, all of them leak.

    Parameters
    ----------
    net
        The network; it is the same afterwards.
    target
        A class by index or name: its logit; ``(layer, filter)``: the mean of the filter's map; a
        `Node`, or its id or name with ``graph``: its filter's output at the node's mean place in
        the input, in the graph's own orientation. See
        `explgraph.explanations.questions.find_target`.
    graph
        Where nodes are given by id or name: their graph.
    size
        (H, W) of the picture; None: the network's input size.
    steps
        Of the optimiser: forward and backward passes of one picture.
    seed
        Of the picture to begin with, and of the shaking.
    shaking
        See `Shaking`.

    Returns
    -------
    (H, W, 3) RGB. Equal arguments give equal pictures.

    Raises
    ------
    ExplGraphError
        If the target does not exist, a number is out of range, the network does not run on that
        size, or no gradient reaches the picture.

    Examples
    --------
    >>> from explgraph.networks.backbone import load_backbone
    >>> visualize(load_backbone("explgraph.demo:network"), 0, steps=1).shape
    (128, 128, 3)
    """
    require(steps >= 1, f"visualize: steps must be at least 1, got {steps}")
    height, width = net.input_size if size is None else size
    require(min(height, width) >= 8, f"visualize: size must be at least 8 x 8, got {size}")
    random = torch.Generator().manual_seed(seed)
    node = node_of(target, graph)
    with usual_modes(net.device, gradients=True):
        wanted = find_target(net, target, graph)
        response = _Response(net, wanted, None if node is None else node.yx)
        palette = _Palette(net)
        picture = _Picture((height, width), random, net.device)
        optimiser = torch.optim.Adam([picture.spectrum], lr=_RATE)
        for step in range(steps):
            detail = min((step + 1) / (_COARSE * steps), 1.0)
            view = _view(shaking or Shaking(), random)

            def answer(detail: float = detail, view: Tensor = view) -> Tensor:
                return response(palette(_moved(picture.render(detail), view)))

            picture.spectrum.grad = -_gradient(answer, picture.spectrum)
            optimiser.step()
        with torch.no_grad():
            pixels = picture.render(1.0).permute(1, 2, 0).cpu().numpy()
    drawn = np.round(pixels * 255).astype(np.uint8)
    if net.channels == 1:  # colours that the network does not see are left to chance
        return np.asarray(Image.fromarray(drawn).convert("L").convert("RGB"))
    return drawn


def _gradient(answer: Callable[[], Tensor], spectrum: Tensor) -> Tensor:
    try:
        (gradient,) = torch.autograd.grad(answer(), spectrum)
        if not gradient.any():
            with _Leaking():
                (gradient,) = torch.autograd.grad(answer(), spectrum)
    except RuntimeError as error:
        raise ExplGraphError(
            f"the picture cannot be improved: the network does not run on it, or lets no gradient "
            f"pass ({error}). Leave `size` out for the size that it was made for"
        ) from error
    return gradient


class _Leaking(TorchFunctionMode):
    """Rectifiers, modules and functions, that let something pass below 0, and all above 0."""

    _RECTIFIERS = frozenset(
        (nnf.relu, torch.relu, torch.relu_, Tensor.relu, Tensor.relu_, nnf.relu6)
    )

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> object:
        if func in self._RECTIFIERS:
            return nnf.leaky_relu(args[0], _LEAK)
        return func(*args, **(kwargs or {}))


class _Response:
    """What is made large: (1, 3, H, W) to a number.

    Parameters
    ----------
    net
        The network.
    target
        The class or filter.
    place
        (2,) where in the input the filter is to answer, unit square; None: everywhere, unless the
        target names a cell.
    """

    def __init__(self, net: Backbone, target: Target, place: F8 | None) -> None:
        self._net, self._target, self._place = net, target, place

    def __call__(self, batch: Tensor) -> Tensor:
        if isinstance(self._target, ClassTarget):
            logit: Tensor = Objective(self._net.module, self._target)(batch)
            return logit.sum()
        response = self._map(batch, self._target)
        cell = self._cell(self._target, batch.shape[2:], response.shape)
        answer: Tensor = response.mean() if cell is None else response[cell]
        return answer

    def _map(self, batch: Tensor, target: FilterTarget) -> Tensor:
        kept: list[Tensor] = []

        def keep(output: Tensor) -> None:
            # A copy: an in-place operation may follow.
            kept.append(output[0, target.channel].float().clone())

        with hooked(self._net.module, {target.layer.name: keep}):
            self._net.run(batch)
        return kept[0]

    def _cell(
        self, target: FilterTarget, size: Sequence[int], grid: Sequence[int]
    ) -> tuple[int, int] | None:
        if self._place is None:
            return target.cell
        layer, px = replace(target.layer, grid=(grid[0], grid[1])), self._place * np.array(size)
        return int(layer.nearest(0, px[0])), int(layer.nearest(1, px[1]))


class _Palette:
    """From colours (3, H, W) in 0..1 to the network's input, as the preprocessing would make it.

    Parameters
    ----------
    net
        Its preprocessing changes each pixel's colour by an affine map, the same everywhere.
    """

    def __init__(self, net: Backbone) -> None:
        height, width = net.input_size

        def shown(colour: str) -> Tensor:
            inputs, _ = net.preprocess(Image.new("RGB", (width, height), colour))
            return inputs[:, height // 2, width // 2].float().to(net.device)

        self._black = shown("#000000")
        colours = [shown(colour) - self._black for colour in ("#FF0000", "#00FF00", "#0000FF")]
        self._mix = torch.stack(colours, dim=1)

    def __call__(self, picture: Tensor) -> Tensor:
        mixed = torch.einsum("ic,chw->ihw", self._mix, picture)
        return (mixed + self._black[:, None, None])[None]


class _Picture:
    """A picture as a spectrum, with the detail and the colours of photos.

    Parameters
    ----------
    size
        (H, W).
    random
        Makes the start.
    device
        Where it lies.
    """

    def __init__(
        self, size: tuple[int, int], random: torch.Generator, device: torch.device
    ) -> None:
        height, width = self._size = size
        rows = torch.fft.fftfreq(height, **_KIND)[:, None]
        columns = torch.fft.rfftfreq(width, **_KIND)
        frequency = torch.sqrt(rows**2 + columns**2)
        falling = math.sqrt(height * width) / frequency.clamp(min=1 / max(size))
        self._falling, self._frequency = falling.to(device), frequency.to(device)
        start = torch.randn((3, *frequency.shape, 2), generator=random, **_KIND) * _START
        self.spectrum = start.to(device).requires_grad_()
        basis = torch.tensor(_OPPONENT, **_KIND) * torch.tensor(_VARIATION, **_KIND)[:, None]
        self._colours = basis.to(device)

    def render(self, detail: float) -> Tensor:
        """Return the picture, (3, H, W) in 0..1, with a share of its frequencies."""
        kept = self._falling * (self._frequency <= detail * math.sqrt(0.5))
        waves = torch.fft.irfft2(torch.view_as_complex(self.spectrum) * kept, s=self._size)
        plane = torch.einsum("oc,ohw->chw", self._colours, waves)
        return torch.sigmoid(plane * (_CONTRAST / plane.std()).clamp(max=1))


def _view(shaking: Shaking, random: torch.Generator) -> Tensor:
    """Draw how the picture is moved: (1, 2, 3) as `torch.nn.functional.affine_grid` takes it."""
    turn, zoom, y, x = (torch.rand(4, generator=random, **_KIND) * 2 - 1).tolist()
    angle, scale = math.radians(turn * shaking.degrees), math.exp(zoom * shaking.zoom)
    cos, sin = scale * math.cos(angle), scale * math.sin(angle)
    # Sides are 2 long in these units.
    rows = [[cos, -sin, 2 * x * shaking.shift], [sin, cos, 2 * y * shaking.shift]]
    return torch.tensor([rows], **_KIND)


def _moved(picture: Tensor, view: Tensor) -> Tensor:
    grid = nnf.affine_grid(view.to(picture.device), [1, *picture.shape], align_corners=False)
    return nnf.grid_sample(picture[None], grid, padding_mode="reflection", align_corners=False)[0]
