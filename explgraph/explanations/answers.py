"""The field's visual explanations by name: which pixels speak for a class, a filter or a node."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any

from explgraph.base.errors import ExplGraphError, require, unknown_name
from explgraph.base.frames import mirrored_frame
from explgraph.explanations.methods.method import Method, Options
from explgraph.graphs.graph import ExplanatoryGraph
from explgraph.graphs.matches import Matches
from explgraph.networks.backbone import Backbone
from explgraph.networks.shared import own_random_numbers, usual_modes

from .attribution import Attribution
from .questions import Asked, Question, ask


def explain(
    net: Backbone,
    image: object,
    target: Asked = None,
    method: str = "grad_cam",
    *,
    graph: ExplanatoryGraph | None = None,
    found: Matches | None = None,
    seed: int = 0,
    batch_size: int | None = None,
    **options: Any,  # noqa: ANN401 - each method has its own
) -> Attribution:
    """Ask one method which pixels of a photo make a network's number large.

    Parameters
    ----------
    net
        The network. It is the same afterwards: weights, modes, hooks and gradients.
    image
        One photo: a PIL image, an array (H, W, 3), or anything that `explgraph.open_images` takes.
    target
        A class by index or name (None: the one with the largest logit), ``(layer, filter)``, or a
        `Node`, or with ``graph`` a node's id or name; see `explgraph.explanations.questions.ask`.
    method
        A name of `methods`.
    graph, found
        For nodes: the graph, and its matches if they are known.
    seed
        Of whatever is random. PyTorch's own generators are as before afterwards.
    batch_size
        Most inputs that are run at once: what bounds the memory.
    **options
        The method's own; `methods` has their names and defaults.

    Returns
    -------
    The map on the photo as given, also where a node is seen in the mirrored photo. Equal arguments
    give equal values.

    Raises
    ------
    ExplGraphError
        If the method or an option does not exist, the method is not possible for this network and
        target (saying why), or as `explgraph.explanations.questions.ask` does.

    Examples
    --------
    >>> import numpy as np
    >>> from explgraph.networks.backbone import load_backbone
    >>> photo = np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    >>> explain(load_backbone("explgraph.demo:network"), photo, 2, "saliency")
    <Attribution saliency of elephant (2) in '000000', 128x128>
    """
    check_options(method, options)  # before the network runs
    question = ask(net, image, target, graph=graph, found=found, seed=seed, batch_size=batch_size)
    return answer(question, method, **options)


def answer(question: Question, method: str, **options: Any) -> Attribution:  # noqa: ANN401
    """Answer a question by one method, as `explain` does for several of them on one photo."""
    entry = methods()[check_options(method, options)]
    with _undisturbed(question):
        chosen = {**entry.defaults, **options}
        reason = _reason(entry, question, chosen)
        if reason is not None:
            raise ExplGraphError(
                f"{method} is not possible for {question.target.label} of this network: {reason}"
            )
        settings = dict(entry.settle(question, chosen))
        values = entry.run(question, settings).numpy()
    size, frame = question.image.size, question.frame
    if question.mirrored:
        values, frame = values[:, ::-1], mirrored_frame(frame, values.shape[1])
    return Attribution(
        values=values,
        method=method,
        target=question.target.label,
        signed=entry.signed,
        settings={**settings, "seed": question.seed, "batch_size": question.batch_size},
        image=question.name,
        frame=frame,
        photo_size=(size[1], size[0]),
    )


def available_methods(
    net: Backbone,
    image: object,
    target: Asked = None,
    *,
    graph: ExplanatoryGraph | None = None,
    found: Matches | None = None,
) -> dict[str, str | None]:
    """Tell which methods can answer a question.

    Parameters
    ----------
    net, image, target, graph, found
        As in `explain`.

    Returns
    -------
    By name, in the order of `methods`: why it is not possible, or None where it is.
    """
    return reasons(ask(net, image, target, graph=graph, found=found))


def reasons(question: Question, names: Container[str] | None = None) -> dict[str, str | None]:
    """Return why methods, all or some, cannot answer a question by their defaults, or None."""
    with _undisturbed(question):
        return {
            name: _reason(entry, question, entry.defaults)
            for name, entry in methods().items()
            if names is None or name in names
        }


def _reason(entry: Method, question: Question, options: Options) -> str | None:
    try:
        return entry.refuse(question, options)
    except RuntimeError as error:  # PyTorch's, from within a network that nobody foresaw
        return f"the network fails in it ({str(error).splitlines()[0]})"


@cache
def methods() -> Mapping[str, Method]:
    """Return every method by name: what it is, its paper, and its options with their defaults."""
    from explgraph.explanations.methods import blur as explain_blur
    from explgraph.explanations.methods import cam as explain_cam
    from explgraph.explanations.methods import gradients as explain_gradients
    from explgraph.explanations.methods import guided as explain_guided
    from explgraph.explanations.methods import lrp as explain_lrp
    from explgraph.explanations.methods import occlusion as explain_occlusion

    modules = (
        explain_gradients, explain_blur, explain_guided, explain_cam, explain_lrp,
        explain_occlusion,
    )  # fmt: skip
    return {entry.name: entry for module in modules for entry in module.METHODS}


def check_options(method: str, options: Mapping[str, object]) -> str:
    """Return a method's name if it and its options exist.

    Raises
    ------
    ExplGraphError
        Naming the nearest methods, or the method's options.
    """
    if method not in methods():
        raise unknown_name("method", method, methods(), f"All: {', '.join(methods())}")
    valid = methods()[method].defaults
    for name in options:
        require(
            name in valid,
            f"{method} has no option {name!r}; it has "
            f"{', '.join(f'{key}={value!r}' for key, value in valid.items()) or 'none'}",
        )
    return method


@contextmanager
def _undisturbed(question: Question) -> Iterator[None]:
    """Give a method gradients and its own random numbers, whatever the caller's modes are."""
    with (
        usual_modes(question.net.device, gradients=True),
        own_random_numbers(question.net.device, question.seed),
    ):
        yield
