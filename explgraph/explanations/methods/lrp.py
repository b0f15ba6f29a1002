"""Layer-wise relevance propagation: the answer is shared out backwards, layer by layer."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import torch
from torch import Tensor, fx, nn

from explgraph.base.errors import ExplGraphError, import_extra, require, unknown_name
from explgraph.explanations.questions import Question
from explgraph.explanations.segments import EXTRA
from explgraph.explanations.targets import ClassTarget

from .method import Method
from .relevance_network import NoRuleError, first_layers, relevance_network

TOLERANCE = 0.05
"""How much relevance may be lost or made on the way, as a share of the answer."""

RULES = ("epsilon_plus_flat", "epsilon")
"""Rules for the layers, see `METHODS`."""


class Relevance(NamedTuple):
    """What arrived at the input.

    Attributes
    ----------
    values
        (C_in, H_in, W_in) float32, on the CPU.
    answer
        The target's value: what was shared out.
    absorbed
        What the rule leaves with biases and with its epsilon, by its definition.
    """

    values: Tensor
    answer: float
    absorbed: float

    @property
    def error(self) -> float:
        """What was lost or made without the rule's intent, as a share of the answer."""
        return abs(float(self.values.sum()) + self.absorbed - self.answer) / abs(self.answer)


def propagate_relevance(question: Question, rule: str, epsilon: float) -> Relevance:
    """Send the target's value back through a copy of the network.

    Parameters
    ----------
    question
        The photo and the target.
    rule
        One of `RULES`.
    epsilon
        Added to the denominators of the epsilon rule, with their sign.

    Raises
    ------
    NoRuleError
        If the network does something that there is no rule for, or the answer is 0.
    ExplGraphError
        If the rule is unknown, or zennit is not installed.
    """
    _check(rule, epsilon)
    layer = import_extra("zennit.layer", EXTRA)
    with torch.inference_mode(False), torch.enable_grad():
        inputs = question.inputs.clone()
        network = relevance_network(question.net.module, question.target, inputs, layer.Sum)
        absorbed: list[float] = []
        with _ruled(network, rule, epsilon, absorbed):
            output = network(inputs.requires_grad_())
            answer = output[_place(question)]
            if float(answer.detach()) == 0:
                raise NoRuleError("the answer is 0, so that there is nothing to share out")
            start = torch.zeros_like(output)
            start[_place(question)] = answer.detach()
            (values,) = torch.autograd.grad(output, inputs, start)
    return Relevance(values[0].float().cpu(), float(answer.detach()), sum(absorbed))


def _check(rule: str, epsilon: float) -> None:
    if rule not in RULES:
        raise unknown_name("rule", rule, RULES)
    require(epsilon > 0, f"lrp: epsilon must be above 0, got {epsilon}")


def _place(question: Question) -> tuple[int, ...]:
    """Return where the target's value stands in what its network or layer returns."""
    target = question.target
    if isinstance(target, ClassTarget):
        return 0, target.index
    if target.cell is None:
        raise TypeError("a question about a filter names the cell")
    return 0, target.channel, *target.cell


def _ruled(
    network: fx.GraphModule, rule: str, epsilon: float, absorbed: list[float]
) -> AbstractContextManager[object]:
    """Return a context in which each module of a network has its rule."""
    rules, kinds = import_extra("zennit.rules", EXTRA), import_extra("zennit.types", EXTRA)
    composites = import_extra("zennit.composites", EXTRA)
    common = composites.layer_map_base()
    if rule == "epsilon":
        layers = [*common, (kinds.Linear, _counting_epsilon(epsilon, absorbed))]
        composite = composites.LayerMapComposite(layers)
    else:
        unbiased = {"zero_params": ["bias"]}
        layers = [
            *common,
            (kinds.Convolution, rules.ZPlus(**unbiased)),
            (nn.Linear, rules.Epsilon(epsilon=epsilon, **unbiased)),
        ]
        flat = [(first_layers(network), rules.Flat())]
        composite = composites.NameLayerMapComposite(flat, layers)
    context: AbstractContextManager[object] = composite.context(network)
    return context


def _counting_epsilon(epsilon: float, absorbed: list[float]) -> object:
    """Return the epsilon rule, which notes what it leaves with biases and epsilon."""
    core = import_extra("zennit.core", EXTRA)
    stabilised = core.Stabilizer.ensure(epsilon)

    def share(relevance: Tensor, outputs: list[Tensor]) -> Tensor:
        absorbed.append(float(relevance.sum(dtype=torch.float64)))
        shares: Tensor = relevance / stabilised(outputs[0])
        return shares

    def weigh(inputs: list[Tensor], gradients: list[Tensor]) -> Tensor:
        relevance = inputs[0] * gradients[0]
        absorbed.append(-float(relevance.detach().sum(dtype=torch.float64)))
        return relevance

    hook: object = core.BasicHook(
        input_modifiers=[lambda given: given],
        param_modifiers=[lambda parameter, name: parameter],
        output_modifiers=[lambda output: output],
        gradient_mapper=share,
        reducer=weigh,
    )
    return hook


def _run(question: Question, options: Mapping[str, Any]) -> Tensor:
    try:
        relevance = propagate_relevance(question, options["rule"], options["epsilon"])
    except NoRuleError as error:
        raise ExplGraphError(f"lrp is not possible for this network: {error}") from error
    require(
        relevance.error <= TOLERANCE,
        f"lrp is not possible for this network: {_lost(relevance, options['rule'])}",
    )
    return relevance.values.sum(dim=0)


def _refuse(question: Question, options: Mapping[str, Any]) -> str | None:
    _check(options["rule"], options["epsilon"])
    try:
        relevance = propagate_relevance(question, options["rule"], options["epsilon"])
    except (NoRuleError, ExplGraphError) as error:
        return str(error)
    return None if relevance.error <= TOLERANCE else _lost(relevance, options["rule"])


def _lost(relevance: Relevance, rule: str) -> str:
    return (
        f"relevance is not conserved on this photo by the rule {rule}: of {relevance.answer:.3g}, "
        f"{float(relevance.values.sum()) + relevance.absorbed:.3g} arrives (up to {TOLERANCE:.0%} "
        "may be lost or made)"
    )


_DEFAULTS: dict[str, Any] = {"rule": "epsilon_plus_flat", "epsilon": 1e-6}

METHODS = (
    Method(
        name="lrp",
        title="Layer-wise relevance propagation",
        run=_run,
        refuse=_refuse,
        defaults=_DEFAULTS,
        signed=True,
        source="Bach et al. 2015: On pixel-wise explanations by layer-wise relevance propagation",
    ),
)
"""The method of this module, by zennit.

rule
    "epsilon_plus_flat": in the first layer relevance is spread evenly over what a cell sees (flat),
    in further convolutions it goes to what raised the output (z+), in linear layers to each input's
    share of the output (epsilon). Biases get none. "epsilon": shares of the output everywhere, and
    the biases take theirs; with a small ``epsilon`` this is input x gradient in networks of ReLUs.
epsilon
    Added to the denominators of shares, with their sign.

The three colour channels are added up. By "epsilon_plus_flat" the map adds up to the answer within
5 %: where more is lost or made on this very photo, or where the network does something that there
is no rule for, the method refuses.
"""
