"""Class activation maps: how much each cell of a layer speaks for the target.

Maps of cells are laid over the photo by the centres of the cells' receptive fields, see
`explgraph.explanations.attribution.on_pixels`.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from explgraph.base.errors import ExplGraphError, require
from explgraph.base.layer import LayerSpec
from explgraph.explanations.attribution import on_pixels
from explgraph.explanations.questions import ClassTarget, FilterTarget, Question
from explgraph.networks.backbone import Backbone
from explgraph.networks.hooks import check_called, hooked
from explgraph.networks.shared import Hook, own_hooks

from .gradients import no_way_back, ready
from .method import Method, Options

_CLOSE = 1e-3  # of the largest value: rounding of sums over a grid


# Grad-CAM


def front_layer(net: Backbone, target: ClassTarget | FilterTarget) -> LayerSpec:
    """Return the layer whose cells are weighed when nobody names one.

    For a class, the network's top layer that is mined by default; for a filter, the last layer in
    front of it whose cells see less of the photo.

    Raises
    ------
    ExplGraphError
        If there is none.
    """
    if isinstance(target, ClassTarget):
        return net.select("auto")[-1]
    layers = net.layers()
    before = layers[: layers.index(target.layer)]
    lower = [
        layer
        for layer in before
        if layer.field < target.layer.field and not layer.name.startswith(f"{target.layer.name}.")
    ]
    require(bool(lower), f"there is no layer of maps in front of {target.layer.name}")
    return lower[-1]


def grad_cam_cells(question: Question, layer: str) -> Tensor:
    """Return the Grad-CAM of a layer, (H, W) float32 on the CPU, before it is laid over the photo.

    The sum of the layer's filters, each weighted by the mean over cells of the target's gradient,
    where it is positive.

    Raises
    ------
    ExplGraphError
        If the layer is unknown, or the target's gradient is 0 in all of it.
    """
    (spec,) = question.net.select([layer])
    kept: list[Tensor] = []

    def keep(output: Tensor) -> Tensor:
        kept.append(output if output.requires_grad else output.detach().requires_grad_())
        return kept[-1].clone()  # what follows may write into it

    with torch.enable_grad(), hooked(question.net.module, {spec.name: keep}):
        answer = question.objective(ready(question)).sum()
    check_called([layer], [layer] * len(kept))
    (gradient,) = torch.autograd.grad(answer, kept[:1], allow_unused=True, materialize_grads=True)
    found = (gradient.mean(dim=(2, 3), keepdim=True) * kept[0].detach()).sum(dim=1)
    require(
        bool(found.any()),
        f"the gradient of {question.target.label} is 0 in the whole layer {layer}: the target must "
        "be behind the layer, and not off",
    )
    cells: Tensor = found[0].relu().float().cpu()
    return cells


def no_cells(question: Question, options: Options) -> str | None:
    """Tell why Grad-CAM has no layer to weigh, or no gradient to weigh it with."""
    if options["layer"] is not None:
        question.net.select([options["layer"]])
    reason = no_way_back(question)
    if reason is None:
        try:
            grad_cam_cells(question, settle_layer(question, options)["layer"])
        except ExplGraphError as error:
            reason = str(error)
    return reason


def settle_layer(question: Question, options: Options) -> Options:
    """Put the layer's name where nobody named one."""
    layer = options["layer"] or front_layer(question.net, question.target).name
    return {**options, "layer": layer}


def grad_cam(question: Question, options: Options) -> Tensor:
    """Return a layer's Grad-CAM on the input's pixels, (H_in, W_in)."""
    cells = grad_cam_cells(question, options["layer"])
    (layer,) = question.net.select([options["layer"]])
    return torch.from_numpy(on_pixels(cells, layer, question.net.input_size))


# CAM


class Head(NamedTuple):
    """The end of a network that averages maps: a class's logit is a weighted sum of their means.

    Attributes
    ----------
    layer
        Where the cells of the maps look.
    maps
        (C, H, W) what is averaged, or what the last 1x1 convolution reads.
    weight
        (n_classes, C).
    """

    layer: LayerSpec
    maps: Tensor
    weight: Tensor


class _Seen(NamedTuple):
    """A call of a module: what it read and what it gave."""

    name: str
    module: nn.Linear | nn.Conv2d
    given: Tensor
    result: Tensor


def pooled_head(question: Question) -> Head:
    """Find the averaged maps and the one layer behind them, by what they compute on the photo.

    Two ends are known: maps, their mean over all cells, one linear layer (ResNet); and maps, a 1x1
    convolution, perhaps a ReLU, the mean over all cells (SqueezeNet).

    Raises
    ------
    ExplGraphError
        If the network ends in another way.
    """
    net = question.net
    last, logits = _last_learned(net, question.inputs)
    if isinstance(last.module, nn.Conv2d):
        pooled = [maps.mean(dim=(2, 3)) for maps in (last.result, last.result.relu())]
        if last.module.kernel_size == (1, 1) and any(_same(one, logits) for one in pooled):
            (layer,) = net.select([last.name])
            return Head(layer, last.given[0], last.module.weight[:, :, 0, 0])
    elif _same(last.result, logits) and last.given.ndim == 2:
        fits = [layer for layer in net.layers() if layer.channels == last.given.shape[1]]
        found = net.capture(question.inputs, [layer.name for layer in fits]) if fits else {}
        for layer in reversed(fits):
            for maps in (found[layer.name], found[layer.name].relu()):
                if _same(maps.mean(dim=(2, 3)), last.given):
                    return Head(layer, maps[0], last.module.weight)
    raise ExplGraphError(
        "class activation maps need a network that ends in the mean of maps over all cells and one "
        f"linear layer or 1x1 convolution; what comes before {last.name} is no such mean"
    )


def _last_learned(net: Backbone, inputs: Tensor) -> tuple[_Seen, Tensor]:
    """Return the linear layer or convolution that is called last, and the logits."""
    seen: list[_Seen] = []

    def watch(name: str, module: nn.Linear | nn.Conv2d) -> Hook:
        def hook(_module: nn.Module, given: tuple[Tensor, ...], result: Tensor) -> None:
            seen[:] = [_Seen(name, module, given[0].float().clone(), result.float().clone())]

        return hook

    watched = (
        (module.register_forward_hook, watch(name, module))
        for name, module in net.module.named_modules()
        if isinstance(module, nn.Linear | nn.Conv2d)
    )
    with torch.no_grad(), own_hooks(watched):
        logits = net.logits(inputs)
    require(bool(seen), "the network has no linear layer and no convolution of its own")
    return seen[0], logits


def _same(a: Tensor, b: Tensor) -> bool:
    if a.shape != b.shape:
        return False
    return bool((a - b).abs().max() <= _CLOSE * b.abs().max())


def cam_cells(question: Question) -> Tensor:
    """Return the class activation map (H, W) float32 on the CPU, before it is laid on the photo.

    The maps' sum, each weighted by what it adds to the class's logit; without the offset, which
    belongs to no cell.
    """
    return _weighted(pooled_head(question), question.target)


def _weighted(head: Head, target: ClassTarget | FilterTarget) -> Tensor:
    if not isinstance(target, ClassTarget):
        raise ExplGraphError("class activation maps are for classes alone: try grad_cam")
    with torch.no_grad():
        weight = head.weight[target.index].float()
        return torch.einsum("c,chw->hw", weight, head.maps).cpu()


def _no_head(question: Question, options: Options) -> str | None:
    try:
        cam_cells(question)
    except ExplGraphError as error:
        return str(error)
    return None


def _cam(question: Question, options: Options) -> Tensor:
    head = pooled_head(question)
    cells = _weighted(head, question.target)
    return torch.from_numpy(on_pixels(cells, head.layer, question.net.input_size))


METHODS: tuple[Method, ...] = (
    Method(
        name="grad_cam",
        title="Grad-CAM",
        run=grad_cam,
        refuse=no_cells,
        defaults={"layer": None},
        signed=False,
        source="Selvaraju, Cogswell, Das, Vedantam, Parikh, Batra 2017: Grad-CAM",
        settle=settle_layer,
    ),
    Method(
        name="cam",
        title="CAM",
        run=_cam,
        refuse=_no_head,
        defaults={},
        signed=True,
        source="Zhou, Khosla, Lapedriza, Oliva, Torralba 2016: Learning deep features for "
        "discriminative localization",
    ),
)
"""Methods of this module.

grad_cam
    Of ``layer``, by default the top layer that is mined by default; for a filter or node, the last
    layer in front of it whose cells see less. Never below 0. By Captum.
cam
    For networks that end in the mean over all cells and one linear layer or 1x1 convolution. There
    its positive part is the Grad-CAM of the same maps, up to scale: the gradient of the logit by a
    filter is the same in all cells; with a ReLU behind the convolution it is so in all cells that
    the ReLU lets through, and 0 in the others, which changes the mean by one factor for all
    filters.
"""
