"""What a classifier says of one photo when cells that a graph's nodes claim are taken away."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from explgraph.base.arrays import F8, I8, NONE
from explgraph.base.errors import ExplGraphError
from explgraph.base.frames import to_pixels, to_unit
from explgraph.base.layer import LayerSpec
from explgraph.explanations.claims import check_same_network, claimed_maxima, layer_cells
from explgraph.explanations.questions import Question
from explgraph.explanations.targets import ClassTarget
from explgraph.graphs.graph import ExplanatoryGraph
from explgraph.graphs.matches import Matches
from explgraph.networks.hooks import hooked
from explgraph.networks.intervention import VARIANTS, Gradients, Rest, logit_gradients
from explgraph.photos.images import open_images

Mask = NDArray[np.bool_]
"""(C * H * W,) some cells of a layer, filter by filter and row by row."""


class SeenLayer(NamedTuple):
    """A layer of a graph in one photo.

    Attributes
    ----------
    number, spec
        Which layer of the graph it is.
    maps
        (C, H, W) the layer's output, float32 on the CPU.
    mean
        (C, 1, 1) m_c: where a filter's output is this, its response is 0.
    first_order
        (C * H * W,) gradient of the class's logit times the output above m_c.
    peak
        (C * H * W,) place of the maximum that each active cell belongs to; `NONE` for the others.
    nodes
        (p,) the layer's nodes that were found in the photo.
    tops
        (p,) the places of the maxima on which they were found; several may share one.
    """

    number: int
    spec: LayerSpec
    maps: Tensor
    mean: Tensor
    first_order: F8
    peak: I8
    nodes: I8
    tops: I8

    @property
    def peaks(self) -> I8:
        """(k,) the places of the maxima that nodes claim, each once."""
        return np.unique(self.tops)

    def cells(self, peaks: I8) -> Mask:
        """Return the cells that belong to any of some maxima."""
        chosen = np.zeros(len(self.peak) + 1, dtype=bool)  # the last: NONE
        chosen[peaks] = True
        return chosen[self.peak]

    def estimates(self, peaks: I8) -> F8:
        """Return (k,) the drop of the logit to first order if a maximum's cells were removed."""
        active = self.peak != NONE
        sums = np.bincount(self.peak[active], self.first_order[active], len(self.peak))
        return np.asarray(sums[peaks], dtype=np.float64)


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
        (1, 3, H_in, W_in) in the graph's orientation.
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
        self.layers = [self._layer(graph, index, seen) for index in range(len(names))]
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
            gone = torch.from_numpy(np.stack(batch)).reshape(-1, *layer.maps.shape)
            variants = torch.where(gone, layer.mean, layer.maps)
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

    def _layer(self, graph: ExplanatoryGraph, index: int, seen: Gradients) -> SeenLayer:
        spec, mean = graph.layers[index], graph.channel_mean[index]
        maps = seen.maps[spec.name].cpu()
        cells = layer_cells(maps.numpy(), mean, graph.channel_scale[index])
        nodes = np.flatnonzero(graph.node_layer == index)
        nodes = nodes[self.found.peak[0, nodes] != NONE]
        area = int(np.prod(spec.grid))
        first = area * np.arange(len(mean))  # cell of each filter's map
        tops = np.empty(0, dtype=np.int32)
        if len(nodes):
            tops = claimed_maxima(graph, self.found, np.array([0]), cells, nodes)[0]
        exists = tops != NONE
        basin = cells.basin[0]
        above = maps[0].double() - torch.tensor(mean, dtype=torch.float64)[:, None, None]
        return SeenLayer(
            number=index,
            spec=spec,
            maps=maps[0],
            mean=torch.tensor(mean)[:, None, None],
            first_order=(seen.gradients[spec.name][0].cpu().double() * above).flatten().numpy(),
            peak=np.where(basin == NONE, NONE, basin + first[:, None, None]).ravel(),
            nodes=nodes[exists],
            tops=(tops + first[graph.node_channel[nodes]])[exists],
        )


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
