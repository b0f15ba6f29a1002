"""What a classifier says of one photo when cells that a graph's nodes claim are taken away."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from explgraph.base.arrays import F8, I8
from explgraph.base.errors import ExplGraphError
from explgraph.base.frames import to_pixels, to_unit
from explgraph.base.layer import LayerSpec
from explgraph.explanations.claims import (
    Mask,
    SeenLayer,
    check_same_network,
    seen_layers,
    without_cells,
)
from explgraph.explanations.questions import Question
from explgraph.explanations.targets import ClassTarget
from explgraph.graphs.graph import ExplanatoryGraph
from explgraph.graphs.matches import Matches
from explgraph.networks.hooks import hooked
from explgraph.networks.intervention import VARIANTS, Rest, logit_gradients
from explgraph.photos.images import open_images


class SeenPhoto:
    """A photo as a graph sees it: mirrored where that fits the graph better.

    Parameters
    ----------
    question
        The photo and the class.
    graph
        P nodes, mined from the question's network.
    found
        Where its nodes are in this photo, and in no other: see `matches_of`.
    every_cell
        As a control, let `emptied` change every cell of a place, whether nodes claim it or not.

    Attributes
    ----------
    net, batch_size, target, frame
        The question's.
    inputs
        (1, C_in, H_in, W_in) in the graph's orientation.
    mirrored
        Whether they are mirrored.
    found
        The matches of this photo alone.
    logits
        (n_classes,) float64 of these inputs.
    layers
        The graph's layers, lowest first.

    Raises
    ------
    ExplGraphError
        If the target is no class, or graph, matches and network do not belong together.
    """

    def __init__(
        self,
        question: Question,
        graph: ExplanatoryGraph,
        found: Matches,
        *,
        every_cell: bool = False,
    ) -> None:
        if not isinstance(question.target, ClassTarget):
            raise ExplGraphError(
                f"a decision is for a class, but {question.target.label} is asked about: give a "
                "class by index or name. explgraph.explain explains filters and nodes"
            )
        self.net, self.batch_size, self.target = question.net, question.batch_size, question.target
        self.frame = question.frame
        self.found = found
        check_same_network(graph, found, self.net)
        self.mirrored = bool(found.mirrored[0])
        self.inputs = question.inputs.flip(3) if self.mirrored else question.inputs
        names = [layer.name for layer in graph.layers]
        seen = logit_gradients(self.net, self.inputs, names, self.target.index)
        self.logits: F8 = seen.logits[0].double().cpu().numpy()
        photo = np.array([0])
        self.layers = [
            next(seen_layers(graph, found, photo, seen, index)) for index in range(len(names))
        ]
        self._rests = [Rest(self.net, name) for name in names]
        self._claimed = [layer.cells(layer.peaks) | every_cell for layer in self.layers]

    @property
    def logit(self) -> float:
        """The class's logit."""
        return float(self.logits[self.target.index])

    def places(self, nodes: I8) -> F8:
        """Return (n, 2) where nodes are: unit square of the photo as given, see `Question.frame`.

        The matches tell it in the whole photo, also where a box was cut out of that.
        """
        yx = self.found.yx[0, nodes].astype(np.float64)
        if self.found.frames is None:
            return np.asarray(yx)
        return to_unit(self.frame, to_pixels(self.found.frames[0], yx))

    def without(self, layer: SeenLayer, masks: Iterable[Mask]) -> F8:
        """Run the network with a layer's cells of each of V masks set to their filter's m_c.

        Returns
        -------
        (V, n_classes) logits.
        """
        rest, found = self._rests[layer.number], [np.empty((0, len(self.logits)))]
        for batch in _batches(masks, self.batch_size):
            variants = without_cells(layer.maps, layer.mean, np.stack(batch))
            found.append(rest.logits(self.inputs, variants).double().cpu().numpy())
        return np.concatenate(found)

    def emptied(
        self, places: Iterable[NDArray[np.bool_]], layers: Sequence[SeenLayer] | None = None
    ) -> F8:
        """Run the network with all that nodes claim at some places set to the filters' m_c.

        Parameters
        ----------
        places
            V times (H, W): cells of the top layer. A cell of a layer below belongs to the place
            whose receptive field has the nearest centre.
        layers
            Which are changed, all in one pass, lowest first; None: all of them.

        Returns
        -------
        (V, n_classes) logits.
        """
        first, *above = self.layers if layers is None else layers
        rest = self._rests[first.number]
        rest.settle()
        found = [np.empty((0, len(self.logits)))]
        for batch in _batches(places, min(self.batch_size, VARIANTS)):
            gone = torch.from_numpy(np.stack(batch))
            edits = {layer.spec.name: self._emptying(layer, gone) for layer in above}
            with hooked(self.net.module, edits):
                logits = rest.logits(self.inputs, self._emptying(first, gone)(first.maps))
            found.append(logits.double().cpu().numpy())
        return np.concatenate(found)

    def _emptying(self, layer: SeenLayer, gone: Tensor) -> Callable[[Tensor], Tensor]:
        """Return what empties places (V, H, W) in a layer's output (V, C, h, w) or (C, h, w)."""
        rows, columns = nearest_cells(layer.spec, self.layers[-1].spec)
        claimed = torch.from_numpy(self._claimed[layer.number]).reshape(layer.maps.shape)
        masks = gone[:, rows][:, :, columns][:, None] & claimed

        def edit(output: Tensor) -> Tensor:
            mean = layer.mean.to(output.device, output.dtype)
            return torch.where(masks.to(output.device), mean, output)

        return edit

    def drops(self, layer: SeenLayer, masks: Iterable[Mask]) -> F8:
        """Return (V,) by how much the class's logit falls, as `without`."""
        return np.asarray(self.logit - self.without(layer, masks)[:, self.target.index])


def nearest_cells(layer: LayerSpec, top: LayerSpec) -> tuple[I8, I8]:
    """Return for a layer's rows and columns the nearest ones of the top layer."""
    return top.nearest(0, layer.centres(0)), top.nearest(1, layer.centres(1))


def matches_of(
    question: Question,
    graph: ExplanatoryGraph,
    found: Matches | None = None,
    *,
    mirror: bool = True,
) -> Matches:
    """Return where a graph's nodes are in the photo that is asked about.

    Parameters
    ----------
    question, graph
        The photo and the graph.
    found
        Taken from these matches if the photo is among them by name; without, it is matched.
    mirror
        Whether the photo may be seen mirrored when it is matched.
    """
    if found is not None and question.name in found.images:
        return found.take(images=np.array([found.images.index(question.name)]))
    from explgraph.pipeline import match

    photo = open_images([question.image])
    return match(graph, question.net, photo, mirror=mirror, progress=False)


def class_probability(logits: F8, index: int) -> float:
    """Return the probability of a class from (n_classes,) logits."""
    from scipy.special import softmax

    return float(softmax(logits)[index])


_Item = TypeVar("_Item")


def _batches(items: Iterable[_Item], size: int) -> Iterator[list[_Item]]:
    waiting = iter(items)
    while batch := list(islice(waiting, size)):
        yield batch
