"""Pretrained networks as sources of feature maps: any CNN, by name or as the user's own module."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, Literal, Protocol

import torch
from PIL import Image
from torch import Tensor, nn

from explgraph.base.errors import ExplGraphError, require, unknown_name
from explgraph.base.files import PathLike
from explgraph.base.layer import LayerSpec
from explgraph.base.text import printable_lines

from .automatic import Choice, automatic_layers, layer_notes
from .factories import FileFactory
from .hooks import capture_outputs, class_logits, noise, run
from .inputs import input_channels, refuse_scripted, why_it_fails
from .layers import minable_layers, repeated_modules
from .preprocess import Fit, Preprocess, preprocessing
from .tracing import Trace, trace
from .zoo import DEFAULT, build_network, check_finite_weights, is_torchvision, weight_hash

_log = logging.getLogger("explgraph")

_BATCH_CPU, _BATCH_GPU = 4, 32  # docs/performance.md has the figures


class Backbone:
    """A network, how photos are fed to it, and where each of its layers looks.

    Parameters
    ----------
    module
        Any convolutional network on batches (B, C_in, H_in, W_in) of RGB (C_in = 3) or grey
        (C_in = 1) images. It is moved to ``device``; apart from that it stays as it is: modes,
        gradient flags and hooks are the same after every call.
    transform
        From an RGB ``PIL.Image`` to a float tensor (C_in, H_in, W_in); or a `Preprocess`. None
        resizes the whole photo to ``input_size`` and normalises by ImageNet's mean and deviation;
        photos become grey where the first convolution takes one channel.
    name
        What files call the network.
    input_size
        (H_in, W_in), pixels; by default 224 x 224, or what ``transform`` returns.
    fit
        How photos of other shape are fitted in, without ``transform``: see `Preprocess`.
    device
        "auto" (CUDA if there is a GPU), "cpu", "cuda", "cuda:1", ...

    Raises
    ------
    ExplGraphError
        If weights are NaN or infinite, the device does not exist, the network is scripted, or the
        transform is none that positions can be followed through.

    Examples
    --------
    >>> import torch
    >>> net = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3, padding=1), torch.nn.ReLU())
    >>> backbone = Backbone(net, name="tiny", input_size=(32, 32), device="cpu")
    >>> backbone.auto_layers()
    ('1',)
    >>> backbone.select("auto")[0].field
    (3, 3)
    """

    def __init__(
        self,
        module: nn.Module,
        transform: Callable[[Image.Image], Any] | None = None,
        *,
        name: str | None = None,
        input_size: tuple[int, int] | None = None,
        fit: Fit = "stretch",
        device: str = "auto",
    ) -> None:
        require(
            isinstance(module, nn.Module),
            f"a backbone needs a torch.nn.Module, got {type(module).__name__}",
        )
        refuse_scripted(module)
        check_finite_weights(module)
        self.preprocess = preprocessing(transform, input_size, fit, input_channels(module))
        self.device = _device(device)
        self.module = module.to(self.device)
        self.name = name
        self.factory: FileFactory | None = None
        self._warned = False

    def __getstate__(self) -> dict[str, Any]:
        """Leave the trace behind: what was found in it travels along, and it is large."""
        return {name: value for name, value in vars(self).items() if name != "_trace"}

    def __reduce_ex__(self, protocol: Any) -> Any:  # noqa: ANN401  as object's
        """Travel without classes that another process cannot import: a file's function makes them.

        Preprocessing by a transform of that function's is made there, too.
        """
        if self.factory is None:
            return super().__reduce_ex__(protocol)
        left = {"module"} if isinstance(self.preprocess, Preprocess) else {"module", "preprocess"}
        state = {name: value for name, value in self.__getstate__().items() if name not in left}
        return made_again, (self.factory, self.module.state_dict(), state)

    def __repr__(self) -> str:
        height, width = self.input_size
        what = self.name or type(self.module).__name__
        return f"Backbone({what!r}, input_size=({height}, {width}), device={str(self.device)!r})"

    @property
    def input_size(self) -> tuple[int, int]:
        """(H_in, W_in) of the network's input, pixels."""
        return self.preprocess.input_size

    @property
    def channels(self) -> int:
        """C_in of the network's input: 3 for RGB photos, 1 for grey ones."""
        return self.preprocess.channels

    def batch_size(self, wanted: int | None = None) -> int:
        """Return how many inputs to run at once: as many as wanted, or what is fastest.

        A few on the CPU, where what a layer makes of them should stay in the processor's cache;
        many on a GPU, which should have enough to do. It is a rule, not a trial, so that the same
        call rounds alike every time.

        Raises
        ------
        ExplGraphError
            If it is less than 1.
        """
        if wanted is None:
            return _BATCH_CPU if self.device.type == "cpu" else _BATCH_GPU
        require(wanted >= 1, f"batch_size must be at least 1, got {wanted}")
        return wanted

    @cached_property
    def weight_hash(self) -> str:
        """SHA-256 over the sorted (name, dtype, shape, bytes) of the state dict."""
        return weight_hash(self.module)

    @cached_property
    def _trace(self) -> Trace:
        shape = (1, self.channels, *self.input_size)
        try:
            return trace(self.module, noise(shape).to(self.device))
        except Exception as error:
            raise ExplGraphError(why_it_fails(self.module, shape, error)) from error

    @cached_property
    def _layers(self) -> dict[str, LayerSpec]:
        return {spec.name: spec for spec in minable_layers(self._trace)}

    def layers(self) -> tuple[LayerSpec, ...]:
        """Return every layer that can be mined, in forward order.

        Raises
        ------
        ExplGraphError
            If the network has no spatial layers, or does not run on its input size.
        """
        return tuple(self._layers.values())

    def auto_layers(self) -> tuple[str, ...]:
        """Return the names of the layers that are mined by default, lowest first.

        `explgraph.networks.automatic.automatic_layers` states the rule.
        """
        return self._choice.layers

    @cached_property
    def _choice(self) -> Choice:
        self.layers()
        return automatic_layers(self._trace)

    def layer_notes(self) -> dict[str, str]:
        """Return by name what speaks against mining a layer, of those where something does.

        "read-out": it goes to the network's output without another activation, as class scores do.
        It is never chosen automatically. "upsampled": maps were made finer before it.
        """
        self.layers()
        return layer_notes(self._trace)

    def select(self, layers: Literal["auto"] | Sequence[str]) -> tuple[LayerSpec, ...]:
        """Return layers by name, or the automatic choice, in forward order.

        Where that choice may not be the wanted one, as in a network that makes its maps finer
        again, a `UserWarning` says so, once.

        Raises
        ------
        ExplGraphError
            If a name is unknown (the nearest are named), names no layer of maps, or names a module
            that the network calls more than once.
        """
        automatic = isinstance(layers, str) and layers == "auto"
        if automatic and self._choice.doubt and not self._warned:
            self._warned = True
            warnings.warn(printable_lines(self._choice.doubt), UserWarning, stacklevel=2)
        wanted = self.auto_layers() if automatic else layers
        wanted = [wanted] if isinstance(wanted, str) else list(wanted)
        require(bool(wanted), "no layers given: name at least one, or use 'auto'")
        for name in wanted:
            self._check_layer(name)
        return tuple(spec for spec in self.layers() if spec.name in wanted)

    def _check_layer(self, name: str) -> None:
        if name in self._layers:
            return
        if name in (times := repeated_modules(self._trace)):
            raise ExplGraphError(
                f"layer {name!r} is one module that the network calls {times[name]} times, so it "
                f"has no single output. Choose the block around it, or others, as "
                f"{', '.join(self.auto_layers())}"
            )
        if name and name in dict(self.module.named_modules()):
            raise ExplGraphError(
                f"layer {name!r} cannot be mined: it does not return maps (B, C, H, W) with "
                f"overlapping receptive fields behind a convolution. Choose from: "
                f"{', '.join(self.auto_layers())}, or any that `explgraph layers` lists"
            )
        raise unknown_name("layer", name, self._layers, "`explgraph layers` lists all of them")

    def capture(self, batch: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
        """Run the network as far as needed and return the outputs of some layers.

        Parameters
        ----------
        batch
            (B, C_in, H_in, W_in), preprocessed; it is moved to the backbone's device.
        layers
            Names, as in `layers`.

        Returns
        -------
        By name, (B, C, H, W) float32 on the backbone's device: the layer's own output, whatever an
        in-place operation makes of it afterwards.

        Raises
        ------
        ExplGraphError
            If a layer cannot be mined or the batch has another shape.
        """
        names = [spec.name for spec in self.select(layers)]
        channels, height, width = wanted = (self.channels, *self.input_size)
        require(
            batch.ndim == 4 and tuple(batch.shape[1:]) == wanted,
            f"the batch must have shape (B, {channels}, {height}, {width}), "
            f"got {tuple(batch.shape)}",
        )
        return capture_outputs(self.module, batch.to(self.device), names)

    def run(self, batch: Tensor) -> object:
        """Run the network in evaluation mode and return what it returns.

        Parameters
        ----------
        batch
            (B, C_in, H_in, W_in), preprocessed; it is moved to the backbone's device and type.
            Gradients are recorded where the caller has them recorded.
        """
        return run(self.module, batch.to(self.device))

    def logits(self, batch: Tensor) -> Tensor:
        """Run a classifier, as `run` does, and return its logits.

        Returns
        -------
        (B, n_classes) float32, before any softmax, on the backbone's device.

        Raises
        ------
        ExplGraphError
            If the network returns anything else.
        """
        return class_logits(self.module, batch.to(self.device))

    def to_json(self) -> dict[str, Any]:
        """Return what the header of a file records of this backbone."""
        return {
            "model": self.name,
            "weight_hash": self.weight_hash,
            "preprocess": self.preprocess.to_json(),
        }


class Recorded(Protocol):
    """What was made with a network and records which one, as an `ExplanatoryGraph`."""

    @property
    def header(self) -> Mapping[str, Any]:
        """Has ``model`` and ``preprocess``, see `Backbone.to_json`."""
        ...


def load_backbone(
    model: str | Recorded,
    weights: PathLike | None = DEFAULT,
    *,
    device: str = "auto",
    fit: Fit = "stretch",
) -> Backbone:
    """Load a network by name, or the one that a graph was mined from.

    Parameters
    ----------
    model
        A torchvision name ("squeezenet1_0"), "timm:NAME", or the user's own factory as
        "path/to/file.py:function" or "package.module:function", which returns a module or a pair
        of module and transform (a `Preprocess`, or any callable that `Backbone` takes). Or a graph
        (`ExplanatoryGraph`): its network, fed with photos as it was when the graph was mined.
    weights
        "DEFAULT" or the name of a torchvision weight enum ("IMAGENET1K_V1"), downloaded once; a
        local ``.safetensors``, ``.pth`` or ``.pt`` file; None for random weights. A factory's
        network keeps its own weights unless a file is given. Graphs know the hash of their weights
        alone: give those that the graph was mined from; `match` refuses others.
    device, fit
        See `Backbone`. ``fit`` is not for factories that bring a transform, nor for graphs.

    Returns
    -------
    The network, ready for `extract`, `mine`, `match` and `explain`.

    Raises
    ------
    ExplGraphError
        If the model or its weights are unknown, the file does not fit (naming the keys), or a graph
        names a factory: code is never run because a file names it.
    """
    if not isinstance(model, str):
        require(fit == "stretch", "a graph knows how photos were fitted: leave fit out")
        return load_recorded(model.header, None, weights, device=device)
    with torch.inference_mode(False):  # its weights would never have gradients
        network = build_network(model, weights)
    transform, mean, std = network.transform, network.mean, network.std
    if transform is None and mean is not None and std is not None:
        transform = Preprocess(network.input_size, fit=fit, mean=mean, std=std)
        fit = "stretch"
    net = Backbone(network.module, transform, name=network.name, fit=fit, device=device)
    net.factory = network.factory
    return net


def made_again(
    factory: FileFactory, weights: Mapping[str, Tensor], state: Mapping[str, Any]
) -> Backbone:
    """Return a backbone that was pickled without what its ``factory`` makes.

    Raises
    ------
    ExplGraphError
        If the factory's file is not there or has changed, or makes another network.
    """
    with torch.inference_mode(False):  # see `load_backbone`
        network = build_network(factory.model, None)
        try:
            network.module.load_state_dict(weights, assign=True)
        except RuntimeError as error:
            message = f"{factory.model} made another network than before: {error}"
            raise ExplGraphError(message) from error
    net = Backbone.__new__(Backbone)
    vars(net).update(state, module=network.module.to(state["device"]))
    if "preprocess" not in state:
        net.preprocess = preprocessing(network.transform, None, "stretch", 0)
    return net


def load_recorded(
    header: Mapping[str, Any],
    model: str | None = None,
    weights: PathLike | None = DEFAULT,
    *,
    device: str = "auto",
) -> Backbone:
    """Load the network that a header records, fed with photos as it was then.

    Parameters
    ----------
    header
        Of a graph, or of what was made with it.
    model
        As for `load_backbone`, in place of the name that the header has.
    weights, device
        As for `load_backbone`.

    Raises
    ------
    ExplGraphError
        If no model is given and the header names none that can be had without running code that a
        file points to.
    """
    net = load_backbone(model or _public_model(header.get("model")), weights, device=device)
    made = dict(header.get("preprocess") or {})
    if "mean" in made:
        size, mean, std = tuple(made["input_size"]), made["mean"], made["std"]
        preprocess = Preprocess(size, fit=made["fit"], mean=mean, std=std)
        shown = Backbone(net.module, preprocess, name=net.name, device=device)
        shown.factory = net.factory
        return shown
    # A transform is code: the factory has to bring it.
    if made != net.preprocess.to_json():
        _log.warning("photos may be shown to the network otherwise than when the graph was mined")
    return net


def _public_model(name: object) -> str:
    if isinstance(name, str) and (name.startswith("timm:") or is_torchvision(name)):
        return name
    raise ExplGraphError(
        f"the graph was mined from {name!r}, which is no torchvision or timm model. Code is "
        "never run because a file names it: give the network with --model (and --weights), in "
        "Python load_backbone('path/to/file.py:function')"
    )


def _device(device: str) -> torch.device:
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.device(device)
    except RuntimeError as error:
        raise ExplGraphError(
            f"unknown device {device!r}: expected 'auto', 'cpu' or 'cuda'"
        ) from error
    require(
        found.type != "cuda" or torch.cuda.is_available(),
        f"device {device!r} asked for, but PyTorch finds no GPU: use device='cpu'",
    )
    return found
