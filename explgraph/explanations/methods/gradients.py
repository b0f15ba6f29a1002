"""How the target's number changes with the pixels: plain, smoothed, integrated gradients.

All by Captum. A gradient has three values at a pixel, one for each colour channel. Where they say
how strongly the answer hangs on the pixel, the largest magnitude counts, as in the first paper;
where they are contributions to the answer, they are added up.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import torch
from torch import Tensor

from explgraph.base.errors import import_extra, require
from explgraph.explanations.questions import Question

from .method import Method, Options


def captum() -> ModuleType:
    """Return Captum's ``attr``, or say which extra brings it."""
    return import_extra("captum.attr", "explain")


def ready(question: Question) -> Tensor:
    """Return a copy of the question's inputs that gradients are wanted for."""
    return question.inputs.clone().requires_grad_()


def magnitude(values: Tensor) -> Tensor:
    """Reduce (1, C_in, H_in, W_in) to (H_in, W_in): the largest magnitude of the channels."""
    return values[0].detach().abs().amax(dim=0).float().cpu()


def contribution(values: Tensor) -> Tensor:
    """Reduce (1, C_in, H_in, W_in) to (H_in, W_in): the sum over the channels."""
    return values[0].detach().sum(dim=0).float().cpu()


def no_way_back(question: Question, options: Options | None = None) -> str | None:
    """Tell why the target's value has no gradient at all, if it has none."""
    if _gradient(question) is None:
        return "the network does not let gradients pass back to the photo"
    return None


def no_gradient(question: Question, options: Options | None = None) -> str | None:
    """Tell why the gradient says nothing about this photo, if it does not."""
    gradient = _gradient(question)
    if gradient is None:
        return no_way_back(question)
    if not bool(torch.isfinite(gradient).all()):
        return "the gradient is not finite"
    if not bool(gradient.any()):
        return (
            "the target's gradient is 0 at every pixel: behind a rectifier that is off here, small "
            "changes do nothing"
        )
    return None


def _gradient(question: Question) -> Tensor | None:
    with torch.enable_grad():
        inputs = ready(question)
        value = question.objective(inputs).sum()
        if not value.requires_grad:
            return None
        (found,) = torch.autograd.grad(value, inputs, allow_unused=True)
    return found


def _saliency(question: Question, options: Options) -> Tensor:
    return magnitude(captum().Saliency(question.objective).attribute(ready(question), abs=False))


def _input_x_gradient(question: Question, options: Options) -> Tensor:
    return contribution(captum().InputXGradient(question.objective).attribute(ready(question)))


def _noisy(kind: str, reduce: Callable[[Tensor], Tensor]) -> Callable[[Question, Options], Tensor]:
    """Return a method that looks at the gradients of the photo under noise."""

    def run(question: Question, options: Options) -> Tensor:
        noise, samples = float(options["noise"]), int(options["samples"])
        require(noise > 0, f"noise must be above 0, got {noise}")
        require(samples >= 2, f"samples must be at least 2, got {samples}")
        attr = captum()
        extent = float(question.inputs.max() - question.inputs.min())
        found = attr.NoiseTunnel(attr.Saliency(question.objective)).attribute(
            question.inputs,
            nt_type=kind,
            nt_samples=samples,
            nt_samples_batch_size=question.batch_size,
            stdevs=noise * extent,
            abs=False,
        )
        return reduce(found)

    return run


def _integrated_gradients(question: Question, options: Options) -> Tensor:
    steps = int(options["steps"])
    require(steps >= 1, f"steps must be at least 1, got {steps}")
    found = (
        captum()
        .IntegratedGradients(question.objective)
        .attribute(
            question.inputs,
            baselines=question.baseline(options["baseline"]),
            n_steps=steps,
            internal_batch_size=question.batch_size,
        )
    )
    return contribution(found)


_NOISE = {"noise": 0.15, "samples": 32}

METHODS: tuple[Method, ...] = (
    Method(
        name="saliency",
        title="Gradient",
        run=_saliency,
        refuse=no_gradient,
        defaults={},
        signed=False,
        source="Simonyan, Vedaldi, Zisserman 2014: Deep inside convolutional networks",
    ),
    Method(
        name="input_x_gradient",
        title="Input x gradient",
        run=_input_x_gradient,
        refuse=no_gradient,
        defaults={},
        signed=True,
        source="Shrikumar, Greenside, Shcherbina, Kundaje 2016: Not just a black box",
    ),
    Method(
        name="smoothgrad",
        title="SmoothGrad",
        run=_noisy("smoothgrad", magnitude),
        refuse=no_way_back,
        defaults=_NOISE,
        signed=False,
        source="Smilkov, Thorat, Kim, Viégas, Wattenberg 2017: SmoothGrad",
    ),
    Method(
        name="vargrad",
        title="VarGrad",
        run=_noisy("vargrad", contribution),
        refuse=no_way_back,
        defaults=_NOISE,
        signed=False,
        source="Adebayo, Gilmer, Goodfellow, Kim 2018: Local explanation methods for deep neural "
        "networks lack sensitivity to parameter values",
    ),
    Method(
        name="integrated_gradients",
        title="Integrated gradients",
        run=_integrated_gradients,
        refuse=no_way_back,
        defaults={"steps": 64, "baseline": "black"},
        signed=True,
        source="Sundararajan, Taly, Yan 2017: Axiomatic attribution for deep networks",
    ),
)
"""Methods of this module.

saliency
    The gradient; the largest magnitude of the colour channels.
input_x_gradient
    The gradient times the preprocessed photo, added up over the colour channels. In a network that
    is piecewise linear and has no offsets the map adds up to the answer.
smoothgrad
    The mean gradient of ``samples`` noisy copies of the photo, whose noise has a standard deviation
    of ``noise`` times the photo's range of values; the largest magnitude of the colour channels.
vargrad
    The variance of these gradients, added up over the colour channels.
integrated_gradients
    The mean gradient at ``steps`` places between the ``baseline`` ("black", "grey", "white",
    "mean", "blur") and the photo, times their difference, added up over the colour channels. The
    map adds up to f(photo) - f(baseline), but for the error of the sum that stands for the
    integral.
"""
