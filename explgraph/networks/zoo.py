"""Networks by name or factory, and their weights from a file."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from explgraph.base.errors import ExplGraphError, installing, require, unknown_name
from explgraph.base.files import PathLike
from explgraph.base.unwarned import unwarned

from .factories import FileFactory, imported
from .preprocess import IMAGENET_MEAN, IMAGENET_STD

DEFAULT = "DEFAULT"


@dataclass(frozen=True, slots=True)
class Network:
    """A network and how its source feeds it.

    Attributes
    ----------
    module
        With its weights.
    name
        What a file's header calls it: no path of this machine.
    transform
        The user's own; None to use size, mean and std.
    input_size
        (H_in, W_in), pixels.
    mean, std
        Per channel; None where the source does not say.
    factory
        The function of a user's file that made it, if one did.
    """

    module: nn.Module
    name: str
    transform: Callable[..., Any] | None = None
    input_size: tuple[int, int] = (224, 224)
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    factory: FileFactory | None = None


def build_network(model: str, weights: PathLike | None) -> Network:
    """Build a network by torchvision name, ``timm:NAME`` or ``FILE.py|MODULE:FUNCTION``."""
    file = weights if weights is not None and _is_file(weights) else None
    if model.startswith("timm:"):
        return _from_timm(model, weights, file)
    if ":" in model:
        return _from_factory(model, weights, file)
    require(
        not model.endswith(".py"),
        f"{model} is a file: say which function in it makes the network, as {model}:FUNCTION",
    )
    return _from_torchvision(model, weights, file)


def is_torchvision(model: str) -> bool:
    """Return whether a name is that of a torchvision network."""
    return model in _torchvision_models()


def _torchvision_models() -> list[str]:
    import torchvision

    return list(torchvision.models.list_models(module=torchvision.models))


def _is_file(weights: PathLike) -> bool:
    return not isinstance(weights, str) or weights.endswith(SUFFIXES) or os.sep in weights


def _from_torchvision(model: str, weights: PathLike | None, file: PathLike | None) -> Network:
    import torchvision

    known = _torchvision_models()
    if model not in known:
        raise unknown_name(
            "torchvision model",
            model,
            known,
            "Other sources: timm:NAME or path/to/file.py:function",
        )
    enum = torchvision.models.get_model_weights(model)
    if weights is None or file is not None:
        with unwarned("", FutureWarning):  # GoogLeNet and Inception speak of future defaults
            module = torchvision.models.get_model(model, weights=None)
        member = next(iter(enum), None)
        if file is not None:
            load_weights(module, file)
    else:
        names = [DEFAULT, *(str(entry.name) for entry in enum)]
        if weights not in names:
            hint = f"A file of weights ends in {', '.join(SUFFIXES)}"
            raise unknown_name(f"weights of {model}", str(weights), names, hint)
        member = enum[str(weights)]
        module = torchvision.models.get_model(model, weights=member)
    preset = member.transforms() if member is not None else None
    side = int((getattr(preset, "crop_size", None) or [224])[0])
    mean = tuple(getattr(preset, "mean", IMAGENET_MEAN))
    std = tuple(getattr(preset, "std", IMAGENET_STD))
    return Network(module, model, None, (side, side), mean, std)


def _from_timm(model: str, weights: PathLike | None, file: PathLike | None) -> Network:
    try:
        import timm
    except ImportError as error:
        raise ExplGraphError(f"{model} needs the package timm: {installing('timm')}") from error
    name = model.removeprefix("timm:")
    if not timm.is_model(name):
        raise unknown_name("timm model", name, timm.list_models())
    require(
        weights in (None, DEFAULT) or file is not None,
        f"weights of {model} must be 'DEFAULT', None or a file, got {weights!r}: timm's tags "
        "belong to the name, as in timm:resnet50.a1_in1k",
    )
    module = timm.create_model(name, pretrained=file is None and weights is not None)
    if file is not None:
        load_weights(module, file)
    config = import_module("timm.data").resolve_model_data_config(module)
    _, high, wide = config["input_size"]
    return Network(module, model, None, (high, wide), tuple(config["mean"]), tuple(config["std"]))


def _from_factory(model: str, weights: PathLike | None, file: PathLike | None) -> Network:
    place, _, function = model.rpartition(":")
    factory = getattr(imported(place, model), function, None)
    require(callable(factory), f"{place} has no function {function!r} to make the network with")
    made = factory()  # type: ignore[misc]
    pair = made if isinstance(made, tuple) else (made, None)
    require(
        len(pair) == 2 and isinstance(pair[0], nn.Module),
        f"{model} must return a torch.nn.Module or (module, transform), got {type(made).__name__}",
    )
    require(
        weights in (None, DEFAULT) or file is not None,
        f"weights for {model} must be a file ending in {', '.join(SUFFIXES)}, got {weights!r}",
    )
    if file is not None:
        load_weights(pair[0], file)
    name = f"{Path(place).name}:{function}" if place.endswith(".py") else model
    made_by = FileFactory.of(place, function)
    return Network(pair[0], name, pair[1], factory=made_by)


SUFFIXES = (".safetensors", ".pth", ".pt")
_SHOWN = 4


def read_weights(path: PathLike) -> dict[str, Tensor]:
    """Read a state dict from a ``.safetensors``, ``.pth`` or ``.pt`` file.

    A checkpoint that keeps it under "state_dict" is opened, and the "module." that
    ``nn.DataParallel`` puts before every name is taken off.

    Raises
    ------
    ExplGraphError
        If the file is missing, no regular one, damaged, or holds anything but tensors by name, each
        with all of its numbers (neither sparse nor quantised).
    """
    source = Path(path)
    require(source.exists(), f"the weights file {source} does not exist")
    require(source.is_file(), f"{source} is no file of weights: expected a regular file")
    require(
        source.suffix in SUFFIXES,
        f"{source} should be a weights file ending in {', '.join(SUFFIXES)}",
    )
    try:
        if source.suffix == ".safetensors":
            return load_file(source)
        found = torch.load(source, map_location="cpu", weights_only=True)
    except Exception as error:  # damaged files raise anything: key, index, Unicode, struct errors
        reason = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise ExplGraphError(
            f"{source} is not a whole file of weights ({reason}). Files that hold more than "
            "tensors are not opened, because they can run code: save module.state_dict() instead"
        ) from error
    if isinstance(found, Mapping) and isinstance(found.get("state_dict"), Mapping):
        found = found["state_dict"]
    is_state = isinstance(found, Mapping) and all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in found.items()
    )
    require(is_state and len(found) > 0, f"{source} holds no state dict (tensors by name)")
    for name, value in found.items():
        require(
            _is_plain(value),
            f"{source}: {name} is a sparse, quantised or empty tensor, expected all numbers",
        )
    prefix = "module." if all(name.startswith("module.") for name in found) else ""
    return {name.removeprefix(prefix): tensor for name, tensor in found.items()}


def _is_plain(value: Tensor) -> bool:
    """Return whether a tensor has a number in memory for each of its places."""
    is_dense = value.layout is torch.strided and not value.is_quantized and not value.is_nested
    return is_dense and value.device.type == "cpu"


def load_weights(module: nn.Module, path: PathLike) -> None:
    """Load a file of weights into a module.

    Raises
    ------
    ExplGraphError
        Naming the keys that are missing, unexpected, or of another shape.
    """
    state, wanted = read_weights(path), module.state_dict()
    # Counts of training batches are in no formula of evaluation: many files leave them out.
    missing = [
        name for name in wanted if name not in state and not name.endswith("num_batches_tracked")
    ]
    unexpected = [name for name in state if name not in wanted]
    misshaped = [
        f"{name} {_form(state[name])} instead of {_form(wanted[name])}"
        for name in wanted
        if name in state and _form(state[name]) != _form(wanted[name])
    ]
    complaints = [
        f"{kind}: {_some(names)}"
        for kind, names in (
            ("missing", missing),
            ("unexpected", unexpected),
            ("of another shape", misshaped),
        )
        if names
    ]
    require(
        not complaints,
        f"{Path(path).name} does not fit {type(module).__name__}: {'; '.join(complaints)}. "
        "Give the weights of this very architecture",
    )
    module.load_state_dict(state, strict=False)


def _form(value: Tensor) -> str:
    return f"{tuple(value.shape)}{' complex' if value.is_complex() else ''}"


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def check_finite_weights(module: nn.Module) -> None:
    """Raise `ExplGraphError` when a parameter or buffer holds NaN or an infinity."""
    for name, tensor in module.state_dict().items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            bad = int((~torch.isfinite(tensor)).sum())
            raise ExplGraphError(
                f"the network's weights are damaged: {bad} of {tensor.numel()} values of {name} "
                "are NaN or infinite. Get the weights file again"
            )


def weight_hash(module: nn.Module) -> str:
    """Return the SHA-256 over the sorted (name, dtype, shape, bytes) of a module's state dict."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        head = [name, str(tensor.dtype).removeprefix("torch."), list(tensor.shape)]
        digest.update(json.dumps(head).encode())
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        digest.update(flat.view(torch.uint8).numpy().tobytes() if flat.numel() else b"")
    return digest.hexdigest()
