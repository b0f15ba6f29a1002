"""Blur integrated gradients: what a network gains while a photo comes into focus."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from explgraph.base.arrays import F4, F8
from explgraph.base.errors import require
from explgraph.explanations.questions import Question

from .method import Method

_WIDEST = 1 / 6  # blur at the start of the path, of the input's longer side
_SPACING = 3  # power: the network's answer changes fastest where the photo is almost sharp


class BlurPath(NamedTuple):
    """What was found between a blurred photo and the photo.

    Attributes
    ----------
    values
        (C_in, H_in, W_in) the share of each number of the input in the change of the answer.
    start, end
        The network's answer for the most blurred photo and for the photo: ``values`` add up to
        ``end - start``, up to the error of the sum that stands for the integral.
    """

    values: F4
    start: float
    end: float


def integrate_blur(
    objective: Callable[[Tensor], Tensor],
    inputs: Tensor,
    *,
    steps: int,
    max_sigma: float,
    batch_size: int,
) -> BlurPath:
    """Integrate a network's gradient along the photo's scale space, from blurred to sharp.

    The attribution of number i of the input x is the integral of dF/dL_i dL_i along the path of
    L(sigma), which is x blurred by a Gaussian of standard deviation sigma (Xu, Venugopalan and
    Sundararajan 2020, eq. 5). It is taken by the trapezoidal rule; the steps are the finer the
    sharper the photo. The blur is the solution of the heat equation on a grid whose border lets no
    heat through, so that the mean colour stays and nothing comes in from outside.

    Parameters
    ----------
    objective
        From (B, C_in, H_in, W_in) to (B,).
    inputs
        (1, C_in, H_in, W_in).
    steps
        Of the path, at least 1; the network is run ``steps`` + 1 times.
    max_sigma
        Standard deviation of the blur at the start, network pixels, above 0.
    batch_size
        Photos in one pass.
    """
    blurred = blurrer(inputs[0].cpu().numpy().astype(np.float64))
    sigmas = max_sigma * np.linspace(1, 0, steps + 1) ** _SPACING
    total = np.zeros(inputs.shape[1:])
    answers: list[float] = []
    before: tuple[F8, F8] | None = None
    for first in range(0, steps + 1, batch_size):
        scales = np.stack([blurred(sigma) for sigma in sigmas[first : first + batch_size]])
        answer, gradient = _differentiate(objective, torch.from_numpy(scales).to(inputs))
        answers += answer
        for one in zip(scales, gradient, strict=True):
            if before is not None:
                total += (before[1] + one[1]) / 2 * (one[0] - before[0])
            before = one
    return BlurPath(total.astype(np.float32), answers[0], answers[-1])


def blurrer(photo: F8) -> Callable[[float], F8]:
    """Return what blurs a photo (..., H, W) by any standard deviation, pixels.

    A wave of the cosine transform of frequency w falls by exp(-(sigma w)^2 / 2).
    """
    from scipy.fft import dctn, idctn

    waves = dctn(photo, type=2, norm="ortho", axes=(-2, -1))
    y, x = (np.pi * np.arange(n) / n for n in photo.shape[-2:])
    square = y[:, None] ** 2 + x**2

    def blurred(sigma: float) -> F8:
        falling = np.exp(-(sigma**2) * square / 2)
        result: F8 = idctn(waves * falling, type=2, norm="ortho", axes=(-2, -1))
        return result

    return blurred


def _differentiate(objective: Callable[[Tensor], Tensor], batch: Tensor) -> tuple[list[float], F8]:
    """Return the answers to a batch and their gradients (B, C_in, H_in, W_in)."""
    with torch.inference_mode(False), torch.enable_grad():
        batch = batch.clone().requires_grad_()
        answer = objective(batch)
        (gradient,) = torch.autograd.grad(answer.sum(), batch)
    return answer.tolist(), gradient.cpu().numpy().astype(np.float64)


def _settle(question: Question, options: Mapping[str, Any]) -> dict[str, Any]:
    sigma = options["max_sigma"]
    widest = _WIDEST * max(question.inputs.shape[2:])
    return {**options, "max_sigma": widest if sigma is None else sigma}


def _run(question: Question, options: Mapping[str, Any]) -> Tensor:
    steps, sigma = options["steps"], options["max_sigma"]
    require(steps >= 1, f"blur_integrated_gradients: steps must be at least 1, got {steps}")
    require(sigma > 0, f"blur_integrated_gradients: max_sigma must be above 0, got {sigma}")
    path = integrate_blur(
        question.objective,
        question.inputs,
        steps=steps,
        max_sigma=sigma,
        batch_size=question.batch_size,
    )
    return torch.from_numpy(path.values.sum(axis=0))


METHODS = (
    Method(
        name="blur_integrated_gradients",
        title="Blur integrated gradients",
        run=_run,
        refuse=lambda question, options: None,
        defaults={"steps": 64, "max_sigma": None},
        signed=True,
        source="Xu, Venugopalan, Sundararajan 2020: Attribution in scale and space",
        settle=_settle,
    ),
)
"""The method of this module. Options: ``steps`` of the path, and ``max_sigma``, the blur at its
start, network pixels (by default a sixth of the input's longer side). The three colour channels
are added up, and the map adds up to f(photo) - f(blurred photo), up to the error of the sum that
stands for the integral: on 24 photos with SqueezeNet 1.1, 64 steps are off by 1.6 % in the median
and by 7.1 % at most, 128 steps by 0.5 % and 2.9 %."""
