"""Two checks that an explanation must pass: it hangs on the weights, and hardly on small noise."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from explgraph.base.arrays import F8, frozen
from explgraph.base.errors import ExplGraphError, require
from explgraph.base.text import plain
from explgraph.explanations.answers import answer
from explgraph.explanations.attribution import Attribution
from explgraph.explanations.questions import Objective, Question, ask
from explgraph.explanations.targets import Asked
from explgraph.networks.backbone import Backbone
from explgraph.networks.shared import copied_network, own_hooks, own_random_numbers

if TYPE_CHECKING:
    import pandas as pd


Explanation = Callable[[Question], Attribution | NDArray[Any]]
"""From a question to its answer: an `Attribution` or (h, w) values of the photo as given."""
Explained = str | Explanation
"""The name of a method of `explgraph.explanations.answers`, with its defaults; or any function."""

LEVELS = 4
DRAWS = 8


def explanation(method: Explained) -> Explanation:
    """Return the function behind a method's name; other functions as they are."""
    if callable(method):
        return method
    name = method
    return lambda question: answer(question, name)


def values_of(found: Attribution | NDArray[Any]) -> F8:
    """Return the (h, w) values of an explanation."""
    values = found.values if isinstance(found, Attribution) else found
    return np.asarray(values, dtype=np.float64)


# Randomised weights


@dataclass(frozen=True, eq=False, slots=True)
class RandomisationCheck:
    """What becomes of an explanation as a network loses its weights, from the top down.

    Attributes
    ----------
    target
        What was asked about.
    layers
        S names: the lowest layer that is random in each stage; all above it are, too.
    correlation
        (S,) rank correlation of the explanation with that of the trained network. Near 1: the
        explanation does not hang on what was learned. NaN where the explanation is the same
        everywhere or not possible any more.
    """

    target: str
    layers: tuple[str, ...]
    correlation: F8

    def __post_init__(self) -> None:
        object.__setattr__(self, "correlation", frozen(self.correlation, np.float64))

    @property
    def table(self) -> pd.DataFrame:
        """One row per stage: ``layer``, ``correlation``."""
        import pandas as pd

        return pd.DataFrame({"layer": self.layers, "correlation": self.correlation})

    def to_json(self) -> dict[str, Any]:
        """Return every figure as JSON values; NaN is null."""
        return {
            "target": self.target,
            "layers": list(self.layers),
            "correlation": plain(self.correlation),
        }


def randomisation_check(
    net: Backbone,
    image: object,
    target: Asked,
    method: Explained,
    *,
    stages: int | None = None,
    seed: int = 0,
    batch_size: int | None = None,
) -> RandomisationCheck:
    """Explain a photo again while the network loses its weights, layer by layer from the top.

    Adebayo et al., "Sanity Checks for Saliency Maps", 2018: the cascading randomisation, with
    Spearman's rank correlation of the values as they are.

    Parameters
    ----------
    net
        The network. A copy loses its weights, see `randomised_networks`.
    image, target
        As in `explgraph.explanations.questions.ask`. The target stays the same: what the trained
        network is asked about.
    method
        A method of `explgraph.explanations.answers` by name, with its defaults; or a function from
        a `Question` to an `Attribution` or to values (h, w).
    stages
        S, into which the layers are divided evenly; None: every layer is a stage.
    seed
        Of the weights, and of the method.
    batch_size
        Most inputs that are run at once.

    Returns
    -------
    How alike explanations stay while the network's weights are lost.

    Raises
    ------
    ExplGraphError
        As `ask`, or if the explanation is not possible for the network as it is.
    """
    question = ask(net, image, target, seed=seed, batch_size=batch_size)
    explain = explanation(method)
    original = values_of(explain(question))
    names, correlations = [], []
    for stage in randomised_networks(net, question, stages=stages, seed=seed):
        names.append(stage.layer)
        correlations.append(correlation_on(stage.net, question, explain, original))
    return RandomisationCheck(question.target.label, tuple(names), np.array(correlations))


def correlation_on(
    other: Backbone, question: Question, explain: Explanation, original: F8
) -> float:
    """Ask another network the same, and return the rank correlation of the explanations.

    NaN where the other network cannot be explained so, or one of them is the same everywhere.
    """
    asked = replace(question, net=other, objective=Objective(other.module, question.target))
    try:
        return rank_correlation(original, values_of(explain(asked)))
    except ExplGraphError:  # such as a gradient that is 0 everywhere
        return math.nan


def rank_correlation(one: NDArray[Any], other: NDArray[Any]) -> float:
    """Return Spearman's rank correlation of two arrays; NaN if one is the same everywhere."""
    from scipy.stats import spearmanr

    if np.ptp(one) == 0 or np.ptp(other) == 0:  # of which SciPy warns
        return math.nan
    return float(spearmanr(one.ravel(), other.ravel()).statistic)


class Randomised(NamedTuple):
    """A network without its weights down to ``layer``."""

    layer: str
    net: Backbone


def randomised_networks(
    net: Backbone, question: Question, *, stages: int | None = None, seed: int = 0
) -> Iterator[Randomised]:
    """Yield a network whose weights are random from the top down to ever lower layers.

    A layer is a module with parameters of its own that is called for the photo; the order is that
    of the calls. It gets the weights that it would have before any training
    (``reset_parameters``); where it does not know how, its values are shuffled.

    Parameters
    ----------
    net
        The network, which stays as it is: one copy is changed from stage to stage, so that what is
        yielded is good until the next stage.
    question
        About the photo.
    stages
        Into which the layers are divided evenly; None: every layer is a stage.
    seed
        Of the weights. PyTorch's own generators are as before afterwards.

    Raises
    ------
    ExplGraphError
        If there are fewer layers than stages, or none.
    """
    names = _weighted_layers(question)[::-1]
    count = len(names) if stages is None else stages
    require(
        1 <= count <= len(names),
        f"stages must be within 1..{len(names)}, the network's layers with weights, got {count}",
    )
    module = copied_network(net.module)
    for stage, part in enumerate(np.array_split(names, count)):
        with own_random_numbers(net.device, seed + stage):
            for name in part.tolist():
                _randomise(module.get_submodule(name))
        other = Backbone(module, net.preprocess, name=net.name, device=str(net.device))
        yield Randomised(str(part[-1]), other)


def _weighted_layers(question: Question) -> list[str]:
    """Return the names of the modules with own parameters, in the order of their first call."""
    called: dict[str, None] = {}

    def noting(name: str) -> Callable[[nn.Module, object], None]:
        return lambda _module, _inputs: called.setdefault(name)

    own = {
        name: module
        for name, module in question.net.module.named_modules()
        if any(True for _ in module.parameters(recurse=False))
    }
    noted = ((module.register_forward_pre_hook, noting(name)) for name, module in own.items())
    with torch.inference_mode(), own_hooks(noted):
        question.net.run(question.inputs)
    return list(called)


def _randomise(module: nn.Module) -> None:
    reset = getattr(module, "reset_parameters", None)
    if reset is not None:
        reset()
        return
    with torch.no_grad():
        for values in module.parameters(recurse=False):
            order = torch.randperm(values.numel(), device="cpu").to(values.device)
            values.copy_(values.flatten()[order].view_as(values))


# Noise


@dataclass(frozen=True, eq=False, slots=True)
class NoiseSensitivity:
    """How far an explanation moves when the photo hardly does.

    Attributes
    ----------
    target
        What was asked about.
    changes
        (D,) by draw of the noise, the Euclidean distance of the explanation of the noisy photo to
        that of the photo, over the length of the latter: 0 is no change, 1 is as much change as
        there was explanation.
    """

    target: str
    changes: F8

    def __post_init__(self) -> None:
        object.__setattr__(self, "changes", frozen(self.changes, np.float64))

    @property
    def largest(self) -> float:
        """The largest change: the max-sensitivity of Yeh et al."""
        return float(self.changes.max())

    @property
    def mean(self) -> float:
        """The mean change."""
        return float(self.changes.mean())

    def to_json(self) -> dict[str, Any]:
        """Return every figure as JSON values."""
        return {
            "target": self.target,
            "largest": self.largest,
            "mean": self.mean,
            "changes": self.changes.tolist(),
        }


def noise_sensitivity(
    net: Backbone,
    image: object,
    target: Asked,
    method: Explained,
    *,
    levels: int = LEVELS,
    draws: int = DRAWS,
    seed: int = 0,
    batch_size: int | None = None,
) -> NoiseSensitivity:
    """Explain a photo again with a little noise in it, which people hardly see.

    Yeh et al., "On the (In)fidelity and Sensitivity of Explanations", 2019, relative to the
    explanation's own length as in Captum's ``sensitivity_max``.

    Parameters
    ----------
    net, image, target, method, batch_size
        As in `randomisation_check`.
    levels
        Each colour value moves by up to so many of 255, all steps equally often. The noise is as
        coarse as the network's pixels, so that larger photos keep most of it when they are resized.
    draws
        D.
    seed
        Of the noise, and of the method.

    Returns
    -------
    How much the explanation changes with the noise, level by level.

    Raises
    ------
    ExplGraphError
        As `ask`, or if the explanation is not possible for the photo with or without noise.
    """
    require(draws >= 1, f"draws must be at least 1, got {draws}")
    question = ask(net, image, target, seed=seed, batch_size=batch_size)
    explain = explanation(method)
    original = values_of(explain(question))
    return NoiseSensitivity(
        question.target.label, noise_changes(question, explain, original, levels, draws)
    )


def noise_changes(
    question: Question, explain: Explanation, original: F8, levels: int, draws: int
) -> F8:
    """Return (D,) the relative changes of an explanation, as in `NoiseSensitivity`.

    Relative to 1 where the explanation is 0 everywhere.
    """
    length = float(np.linalg.norm(original)) or 1.0
    return np.array(
        [
            np.linalg.norm(values_of(explain(noisy(question, levels, draw))) - original) / length
            for draw in range(draws)
        ]
    )


def noisy(question: Question, levels: int, draw: int = 0) -> Question:
    """Ask the same of the photo with noise, see `noise_sensitivity`.

    Raises
    ------
    ExplGraphError
        If ``levels`` is not within 1..255.
    """
    require(1 <= levels <= 255, f"levels must be within 1..255, got {levels}")
    height, width = question.net.input_size
    rng = np.random.default_rng([question.seed, draw])
    noise = rng.integers(-levels, levels + 1, (height, width, 3))
    photo = np.asarray(question.image, dtype=np.int64)
    rows, columns = (
        np.arange(count) * coarse // count
        for count, coarse in zip(photo.shape[:2], (height, width), strict=True)
    )
    changed = np.clip(photo + noise[rows[:, None], columns], 0, 255).astype(np.uint8)
    image = Image.fromarray(changed)
    pixels, _ = question.net.preprocess(image)
    inputs = pixels.detach().float()[None].to(question.inputs.device)
    return replace(question, image=image, inputs=inputs)
