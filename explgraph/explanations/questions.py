"""Questions to a network about one photo: which pixels make the target's number large."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor, nn

from explgraph.base.arrays import F8, NONE
from explgraph.base.errors import ExplGraphError, require, unknown_name
from explgraph.base.frames import mirrored_frame, mirrored_yx, to_pixels
from explgraph.graphs.graph import ExplanatoryGraph
from explgraph.graphs.matches import Matches
from explgraph.graphs.node import Node
from explgraph.networks.backbone import Backbone
from explgraph.networks.hooks import class_logits, hooked, run
from explgraph.networks.shared import usual_modes
from explgraph.photos.images import ImageSource, open_images

from .claims import check_same_network, claimed_maxima, layer_cells
from .targets import Asked as Asked
from .targets import ClassTarget as ClassTarget
from .targets import FilterTarget as FilterTarget
from .targets import Target as Target
from .targets import class_names as class_names
from .targets import find_target as find_target
from .targets import node_of


class Objective(nn.Module):
    """The number in question, as a module: (B, C_in, H_in, W_in) -> (B,) float32.

    The network is run in evaluation mode and has its own modes again afterwards.

    Parameters
    ----------
    network
        The user's module, or a converted copy in which the target's layer has the same name.
    target
        The class or filter.
    """

    def __init__(self, network: nn.Module, target: Target) -> None:
        super().__init__()
        self.network = network
        self.target = target

    def forward(self, batch: Tensor) -> Tensor:
        """Return the target's value for each of the B inputs, preprocessed, of any float type."""
        if isinstance(self.target, ClassTarget):
            return class_logits(self.network, batch)[:, self.target.index]
        return self._response(batch, self.target)

    def _response(self, batch: Tensor, target: FilterTarget) -> Tensor:
        kept: list[Tensor] = []

        def keep(output: Tensor) -> None:
            # A copy: an in-place operation may follow.
            kept.append(output[:, target.channel].float().clone())

        with hooked(self.network, {target.layer.name: keep}):
            run(self.network, batch)
        require(bool(kept), f"the network did not call {target.layer.name} for this batch")
        if target.cell is None:
            return kept[0].amax(dim=(1, 2))
        return kept[0][:, target.cell[0], target.cell[1]]


@dataclass(frozen=True, eq=False, slots=True)
class Question:
    """One photo and one target, ready for any method.

    Everything is in the orientation in which the network is asked. That is the photo's own, unless
    the target is a node of a graph that sees the photo mirrored: then ``image`` and ``inputs`` are
    mirrored, and `explgraph.explanations.answers` turns the answer back.

    Attributes
    ----------
    net
        The network.
    inputs
        (1, C_in, H_in, W_in) float32, preprocessed, on the network's device; no gradient is
        required.
    target
        The class; or the filter at a definite cell.
    objective
        The target's value as a function of inputs like these.
    seed
        Of whatever is random.
    batch_size
        Most inputs that are run at once.
    image
        The photo, or what a box cuts out of it: upright RGB.
    frame
        (2, 2) from network pixels to the unit square of ``image``, per axis (y, x):
        ``unit = frame[:, 0] + frame[:, 1] * px``.
    name
        The photo's name.
    mirrored
        Whether ``image`` and ``inputs`` are the photo's mirror image.
    """

    net: Backbone
    inputs: Tensor
    target: Target
    objective: Objective
    seed: int
    batch_size: int
    image: Image.Image
    frame: F8
    name: str = ""
    mirrored: bool = False

    def scores(self, batch: Tensor) -> Tensor:
        """Return the target's value (B,) for (B, C_in, H_in, W_in), `batch_size` at a time."""
        with torch.no_grad():
            return torch.cat([self.objective(part) for part in torch.split(batch, self.batch_size)])

    def baseline(self, kind: str) -> Tensor:
        """Return the input (1, C_in, H_in, W_in) that shows nothing.

        Parameters
        ----------
        kind
            "black", "grey" or "white": such a photo; "mean": the photo's own mean colour; "blur":
            the photo blurred by a Gaussian of a tenth of the input's shorter side.

        Raises
        ------
        ExplGraphError
            If there is no such kind.
        """
        if kind not in _BASELINES:
            raise unknown_name("baseline", kind, _BASELINES)
        return _BASELINES[kind](self)

    def on(self, network: nn.Module) -> Objective:
        """Return the same objective of another network, such as a converted copy."""
        return Objective(network, self.target)


def ask(
    net: Backbone,
    image: object,
    target: Asked = None,
    *,
    graph: ExplanatoryGraph | None = None,
    found: Matches | None = None,
    seed: int = 0,
    batch_size: int | None = None,
) -> Question:
    """Prepare a question about one photo.

    Parameters
    ----------
    net
        The network.
    image
        A PIL image, an array (H, W, 3), or anything with one image that `open_images` takes.
    target
        See `find_target`; None: the class with the largest logit. A filter is asked about at the
        cell of its map where it is strongest in this photo. A node is its filter, at the peak on
        which the node was found in this photo; where it was found on none, at the cell nearest to
        where it is predicted.
    graph
        Where nodes are given by id or name: their graph.
    found
        Its matches, if this photo is among them by name; without, the photo is matched.
    seed, batch_size
        See `Question`.

    Raises
    ------
    ExplGraphError
        If there is not exactly one image, it cannot be read, the target does not exist, or the
        graph was mined from another network.
    """
    source = _one_image(image)
    loaded = source.load(0)
    name = source.names[0]
    # Inference tensors have no gradients, and convolutions hide from the tracing in that mode.
    with usual_modes(net.device, gradients=False):
        pixels, frame = net.preprocess(loaded.image)
        inputs = pixels.detach().float().clone()[None].to(net.device)
        require(
            bool(torch.isfinite(inputs).all()), f"preprocessing gives NaN or infinity for {name!r}"
        )
        wanted = find_target(net, target, graph, inputs=inputs)
        question = Question(
            net, inputs, wanted, Objective(net.module, wanted), seed,
            net.batch_size(batch_size),
            loaded.image, frame, name,
        )  # fmt: skip
        if not isinstance(wanted, FilterTarget):
            return question
        node = node_of(target, graph)
        if node is not None:
            return _at_node(question, wanted, node, source, found)
        cell = wanted.cell or _strongest_cell(question, wanted)
        return _aimed(question, replace(wanted, cell=cell))


# Places


def _aimed(question: Question, target: FilterTarget) -> Question:
    return replace(question, target=target, objective=Objective(question.net.module, target))


def _strongest_cell(question: Question, target: FilterTarget) -> tuple[int, int]:
    maps = question.net.capture(question.inputs, [target.layer.name])[target.layer.name]
    return divmod(int(maps[0, target.channel].argmax()), target.layer.grid[1])


def _at_node(
    question: Question,
    target: FilterTarget,
    node: Node,
    source: ImageSource,
    found: Matches | None,
) -> Question:
    """Aim a question at the place where a node is inferred, as the graph sees the photo."""
    from explgraph.pipeline import match

    graph, net = node.graph, question.net
    if found is None or question.name not in found.images:
        found = match(graph, net, source)
    else:
        found = found.take(images=np.array([found.images.index(question.name)]))
    check_same_network(graph, found, net)
    if found.mirrored[0]:
        question = _mirrored(question)
    return _aimed(question, replace(target, cell=_node_cell(question, node, found, target)))


def _mirrored(question: Question) -> Question:
    """Ask about the mirrored photo."""
    return replace(
        question,
        inputs=question.inputs.flip(3),
        image=ImageOps.mirror(question.image),
        frame=mirrored_frame(question.frame, question.inputs.shape[3]),
        mirrored=True,
    )


def _node_cell(
    question: Question, node: Node, found: Matches, target: FilterTarget
) -> tuple[int, int]:
    """Return the cell of the peak on which a node was found; without one, the cell predicted."""
    layer, graph = target.layer, node.graph
    of_layer = int(graph.node_layer[node.index])
    maps = question.net.capture(question.inputs, [layer.name])[layer.name].cpu().numpy()
    cells = layer_cells(maps, graph.channel_mean[of_layer], graph.channel_scale[of_layer])
    top = int(claimed_maxima(graph, found, np.array([0]), cells, np.array([node.index]))[0, 0])
    if top != NONE:
        return divmod(top, layer.grid[1])
    if found.frames is None:
        raise ExplGraphError("the matches do not tell how photos were fitted in: match them again")
    px = to_pixels(found.frames[0], found.yx[0, node.index])
    px = mirrored_yx(px, question.mirrored, question.inputs.shape[3])
    return int(layer.nearest(0, px[0])), int(layer.nearest(1, px[1]))


# Photos


def _one_image(image: object) -> ImageSource:
    if isinstance(image, Image.Image):
        file = getattr(image, "filename", "")
        source = open_images([image])
        return source if not file else source.renamed([Path(file).name])
    if isinstance(image, np.ndarray) and image.ndim == 3 and image.shape[-1] in (1, 3, 4):
        image = image[None]
    source = open_images(image)
    require(
        len(source) == 1,
        f"one photo is explained at a time, but {len(source)} images were given: choose one",
    )
    return source


# Baselines


def _flat(colour: str) -> Callable[[Question], Tensor]:
    def make(question: Question) -> Tensor:
        photo = Image.new("RGB", question.image.size, colour)
        inputs, _ = question.net.preprocess(photo)
        return inputs.detach().float()[None].to(question.inputs.device)

    return make


def _mean_colour(question: Question) -> Tensor:
    return question.inputs.mean(dim=(2, 3), keepdim=True).expand_as(question.inputs).clone()


def _blurred(question: Question) -> Tensor:
    from torchvision.transforms.functional import gaussian_blur

    sigma = min(question.inputs.shape[2:]) / 10
    reach = min(int(3 * sigma), min(question.inputs.shape[2:]) - 1)
    return torch.as_tensor(gaussian_blur(question.inputs, [2 * reach + 1] * 2, [sigma] * 2))


_BASELINES: dict[str, Callable[[Question], Tensor]] = {
    "black": _flat("#000000"),
    "grey": _flat("#808080"),
    "white": _flat("#FFFFFF"),
    "mean": _mean_colour,
    "blur": _blurred,
}
