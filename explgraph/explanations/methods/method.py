"""What a method of attribution is: a title, a function, its options, and when it is refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor

    from explgraph.explanations.questions import Question


Options = Mapping[str, Any]


def _as_given(question: Question, options: Options) -> Options:
    return options


class Method(NamedTuple):
    """One way to answer a `Question`: an entry of the registry of `explgraph.explanations.answers`.

    Attributes
    ----------
    name
        As users write it.
    title
        As people read it.
    run
        From a question and all options to a map (H_in, W_in), float32 on the CPU, in the pixels of
        the question's inputs.
    refuse
        Why the method cannot answer this question with these options; None if it can.
    defaults
        Every option with its value when nobody gives one.
    signed
        Whether values below 0 speak against the target; otherwise they are magnitudes.
    source
        The paper.
    settle
        Replaces options that depend on the network, as a layer of None, by what is meant.
    """

    name: str
    title: str
    run: Callable[[Question, Options], Tensor]
    refuse: Callable[[Question, Options], str | None]
    defaults: Options
    signed: bool
    source: str
    settle: Callable[[Question, Options], Options] = _as_given
