"""Gradients that rectifiers let through in another way: guided backpropagation, deconvolution.

By Captum, which replaces what modules of type ``nn.ReLU`` pass back, and says nothing where a
network rectifies by other means: its map is then the plain gradient. Here the network is copied,
every rectification of the copy is given a module of its own, and the answer is refused unless all
of them were reached.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.autograd.graph import Node as Step
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from explgraph.base.errors import ExplGraphError, require
from explgraph.base.unwarned import unwarned
from explgraph.explanations.questions import Question
from explgraph.networks.shared import copied_network, values_of

from .cam import grad_cam, no_cells, settle_layer
from .gradients import captum, magnitude, no_gradient, ready
from .method import Method, Options

Rule = Literal["GuidedBackprop", "Deconvolution"]
"""What Captum calls the rule."""

# Steps back of autograd through functions that bend, other than max(x, 0) and the maximum of a
# pool: neither rule says what passes through them.
_BENT = (
    *("Celu", "Clamp", "Elu", "Erf", "Gelu", "Glu", "Hardshrink", "Hardsigmoid"),
    *("Hardswish", "Hardtanh", "LeakyRelu", "LogSigmoid", "MaskedFill", "Maximum", "Minimum"),
    *("Mish", "PreluKernel", "Rrelu", "Sigmoid", "Silu", "Softmax", "Softplus", "Softshrink"),
    *("Tanh", "Threshold", "Where"),
)
_RECTIFIED = "ReluBackward0"
_RELUS = frozenset(
    (functional.relu, functional.relu_, torch.relu, torch.relu_, Tensor.relu, Tensor.relu_)
)


def guided_gradient(question: Question, rule: Rule) -> Tensor:
    """Return what comes back to the photo (1, C_in, H_in, W_in) if rectifiers follow a rule.

    Parameters
    ----------
    question
        The question.
    rule
        "GuidedBackprop": a rectifier passes back what is positive, where it was on.
        "Deconvolution": it passes back what is positive, whether or not it was on.

    Raises
    ------
    ExplGraphError
        If some rectifier on the way does not follow the rule; or nothing comes back, or the plain
        gradient.
    """
    check_path(question)
    converted = with_own_rectifiers(question)
    with unwarned("Setting backward hooks on ReLU", UserWarning):
        found: Tensor = getattr(captum(), rule)(converted).attribute(ready(question))
    plain = captum().Saliency(question.objective).attribute(ready(question), abs=False)
    require(bool(found.any()), "rectifiers hold everything back: its map would be 0 everywhere")
    require(
        not torch.allclose(found, plain, rtol=1e-4, atol=1e-6 * float(plain.abs().max())),
        "its map would be the plain gradient, since no rectifier has anything to hold back: ask "
        "for saliency",
    )
    return found


def check_path(question: Question) -> None:
    """Check that all which bends between the photo and the target are ReLUs, and there are some.

    Raises
    ------
    ExplGraphError
        If not.
    """
    steps = _steps_back(question.objective(ready(question)))
    bent = sorted({_plain_name(step) for step in steps if _is_bent(step)})
    require(
        not bent,
        f"its rule is for ReLU alone, and on the way from the photo to the target is "
        f"{', '.join(bent)}",
    )
    require(
        any(step.name() == _RECTIFIED for step in steps),
        "there is no ReLU on the way from the photo to the target, so its map would be the plain "
        "gradient: ask for saliency",
    )


def _steps_back(value: Tensor) -> list[Step]:
    """Return all steps of autograd from a value to whatever it was computed from."""
    found: dict[Step, None] = {}
    waiting = [value.grad_fn]
    while waiting:
        step = waiting.pop()
        if step is not None and step not in found:
            found[step] = None
            waiting.extend(before for before, _ in step.next_functions)
    return list(found)


def _is_bent(step: Step) -> bool:
    own = isinstance(step, torch.autograd.function.BackwardCFunction)  # somebody's own function
    return own or step.name().startswith(_BENT)


def _plain_name(step: Step) -> str:
    name = step.name().split("Backward")[0]
    return f"{name} (as in ReLU6)" if name == "Hardtanh" else name


def with_own_rectifiers(question: Question) -> OwnRectifiers:
    """Return a copy of the question's objective that Captum's rules reach all of.

    Weights are not copied, and nothing of the user's network is changed.

    Raises
    ------
    ExplGraphError
        If the network cannot be copied, or its copy computes something else.
    """
    network = question.objective.network
    try:
        copied = copied_network(network, values_of(network))
    except Exception as error:  # whatever a network's own parts raise
        raise ExplGraphError(f"the network cannot be copied ({error})") from error
    converted = OwnRectifiers(question.on(copied))
    inputs = ready(question)
    value, wanted = converted(inputs), question.objective(inputs)
    require(
        bool((value - wanted).abs() <= 1e-4 * wanted.abs().clamp(min=1e-6)),
        "a copy of the network that does not rectify in place computes something else",
    )
    own = converted.steps()
    require(
        all(step in own for step in _steps_back(value) if step.name() == _RECTIFIED),
        "the network rectifies in compiled code, which rules do not reach",
    )
    return converted


class OwnRectifiers(nn.Module):
    """A module in which each rectification is the call of an ``nn.ReLU`` that nothing else calls.

    None of them works in place, and each takes a copy: what comes back to the copy is the gradient
    of this way alone, also where the tensor is used elsewhere too. They are made in the first pass.

    Parameters
    ----------
    module
        Computes the same as before. ``nn.ReLU`` modules inside it are replaced.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        for parent in list(module.modules()):
            for name, child in list(parent.named_children()):
                if isinstance(child, nn.ReLU):
                    setattr(parent, name, _Functional())
        self.module = module
        self.rectifiers = nn.ModuleList()
        self._steps: list[Step | None] = []

    def forward(self, batch: Tensor) -> Tensor:
        """Return what the module returns."""
        self._steps = []
        with _Diverted(self._rectified):
            result: Tensor = self.module(batch)
        return result

    def steps(self) -> set[Step]:
        """Return the steps of autograd that its rectifiers were in the last pass."""
        return {step for step in self._steps if step is not None}

    def _rectified(self, values: Tensor) -> Tensor:
        """Rectify by the next rectifier."""
        call = len(self._steps)
        if call == len(self.rectifiers):
            self.rectifiers.append(nn.ReLU())
        result: Tensor = self.rectifiers[call](values.clone())
        self._steps.append(result.grad_fn)
        return result


class _Functional(nn.Module):
    """Stands in for ``nn.ReLU``, which Captum would find."""

    def forward(self, values: Tensor) -> Tensor:
        return functional.relu(values)


class _Diverted(TorchFunctionMode):
    """Sends every rectification, however it is written, through a function."""

    def __init__(self, rectify: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self._rectify = rectify

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: object,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> object:
        kwargs = kwargs or {}
        if func not in _RELUS:
            return func(*args, **kwargs)
        return self._rectify(args[0] if args else kwargs["input"])


def _refusal(rule: Rule) -> Callable[[Question, Options], str | None]:
    def refuse(question: Question, options: Options) -> str | None:
        reason = no_gradient(question)
        if reason is None:
            try:
                guided_gradient(question, rule)
            except ExplGraphError as error:
                reason = str(error)
        return reason

    return refuse


def _ruled(rule: Rule) -> Callable[[Question, Options], Tensor]:
    def run(question: Question, options: Options) -> Tensor:
        return magnitude(guided_gradient(question, rule))

    return run


def _guided_grad_cam(question: Question, options: Options) -> Tensor:
    return magnitude(guided_gradient(question, "GuidedBackprop")) * grad_cam(question, options)


def _no_guided_grad_cam(question: Question, options: Options) -> str | None:
    return no_cells(question, options) or _refusal("GuidedBackprop")(question, options)


METHODS: tuple[Method, ...] = (
    Method(
        name="guided_backprop",
        title="Guided backpropagation",
        run=_ruled("GuidedBackprop"),
        refuse=_refusal("GuidedBackprop"),
        defaults={},
        signed=False,
        source="Springenberg, Dosovitskiy, Brox, Riedmiller 2015: Striving for simplicity",
    ),
    Method(
        name="deconvolution",
        title="Deconvolution",
        run=_ruled("Deconvolution"),
        refuse=_refusal("Deconvolution"),
        defaults={},
        signed=False,
        source="Zeiler, Fergus 2014: Visualizing and understanding convolutional networks",
    ),
    Method(
        name="guided_grad_cam",
        title="Guided Grad-CAM",
        run=_guided_grad_cam,
        refuse=_no_guided_grad_cam,
        defaults={"layer": None},
        signed=False,
        source="Selvaraju, Cogswell, Das, Vedantam, Parikh, Batra 2017: Grad-CAM",
        settle=settle_layer,
    ),
)
"""Methods of this module; of the three colour channels the largest magnitude counts.

guided_backprop
    The gradient, of which every ReLU passes back what is positive, where it was on.
deconvolution
    The same, whether or not it was on.
guided_grad_cam
    guided_backprop times the Grad-CAM of ``layer``, see `explgraph.explanations.methods.cam`.
"""
