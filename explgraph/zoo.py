"""Networks by name: torchvision's, timm's, and the user's own factories."""

from __future__ import annotations

import importlib.util
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from .errors import ExplGraphError, require, unknown_name
from .preprocess import IMAGENET_MEAN, IMAGENET_STD
from .storage import PathLike
from .weights import SUFFIXES, load_weights

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
        Per channel.
    """

    module: nn.Module
    name: str
    transform: Callable[..., Any] | None = None
    input_size: tuple[int, int] = (224, 224)
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD


def build_network(model: str, weights: PathLike | None) -> Network:
    """Build a network by torchvision name, ``timm:NAME`` or ``FILE.py|MODULE:FUNCTION``."""
    file = weights if weights is not None and _is_file(weights) else None
    if model.startswith("timm:"):
        return _from_timm(model, weights, file)
    if ":" in model:
        return _from_factory(model, weights, file)
    return _from_torchvision(model, weights, file)


def _is_file(weights: PathLike) -> bool:
    return not isinstance(weights, str) or weights.endswith(SUFFIXES) or os.sep in weights


def _from_torchvision(model: str, weights: PathLike | None, file: PathLike | None) -> Network:
    import torchvision

    known = torchvision.models.list_models(module=torchvision.models)
    if model not in known:
        raise unknown_name(
            "torchvision model",
            model,
            known,
            "Other sources: timm:NAME or path/to/file.py:function",
        )
    enum = torchvision.models.get_model_weights(model)
    if weights is None or file is not None:
        with warnings.catch_warnings():  # GoogLeNet and Inception speak of future defaults
            warnings.simplefilter("ignore", FutureWarning)
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
        raise ExplGraphError(
            f"{model} needs the package timm: pip install 'explgraph[timm]'"
        ) from error
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
    factory = getattr(_import(place, model), function, None)
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
    return Network(pair[0], name, pair[1])


def _import(place: str, model: str) -> ModuleType:
    """Import a module by name, or a file without leaving it among the imported modules."""
    if not place.endswith(".py"):
        try:
            return import_module(place)
        except ImportError as error:
            raise ExplGraphError(
                f"cannot import {place!r} of {model!r} ({error}): expected a torchvision name, "
                "timm:NAME, path/to/file.py:function or package.module:function"
            ) from error
    require(Path(place).is_file(), f"the file {place} of {model!r} does not exist")
    spec = importlib.util.spec_from_file_location(Path(place).stem, place)
    if spec is None or spec.loader is None:
        raise ExplGraphError(f"{place} cannot be imported as Python")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
