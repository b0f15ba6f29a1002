"""What a network takes, and why one does not run on a photo."""

from __future__ import annotations

from inspect import Parameter, signature

import torch
from torch import nn

from explgraph.base.errors import require

RGB, GREY = 3, 1
_POSITIONAL = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)


def input_channels(module: nn.Module) -> int:
    """Return how many channels to make of photos: 1 if the first convolution takes one, else 3."""
    _, taken = _first_convolution(module)
    return GREY if taken == GREY else RGB


def refuse_scripted(module: nn.Module) -> None:
    """Raise `ExplGraphError` when a network is compiled code of TorchScript."""
    require(not _is_script(module), _scripted("this network"))


def _is_script(module: nn.Module) -> bool:
    return isinstance(module, torch.jit.ScriptModule)


def _scripted(which: str) -> str:
    return (
        f"{which} is scripted or traced (torch.jit): layers cannot be watched while it runs. Give "
        "the torch.nn.Module that it was made from"
    )


def why_it_fails(module: nn.Module, shape: tuple[int, ...], error: Exception) -> str:
    """Return the message for a network that does not run on a batch.

    Parameters
    ----------
    module
        The network.
    shape
        (1, C_in, H_in, W_in), what it was given.
    error
        What it raised.
    """
    wanted = _required_inputs(module)
    if len(wanted) > 1:
        return (
            f"the network takes {len(wanted)} inputs ({', '.join(wanted)}), but a photo is one. "
            "Wrap it in a torch.nn.Module whose forward takes the photo and gives it the others"
        )
    compiled = next((n for n, m in module.named_modules() if _is_script(m)), None)
    if compiled is not None and "ScriptModule" in str(error):
        return _scripted(f"the network's module {compiled!r}")
    name, taken = _first_convolution(module)
    said = f"the network does not run on a batch of shape {shape}: {error}. "
    if taken != shape[1] and f"to have {taken} channels" in str(error):
        return f"{said}Its first convolution, {name or 'itself'!r}, takes {_channels(taken, shape)}"
    if isinstance(getattr(module, "backbone", None), nn.Module):
        return f"{said}Of a detection model give the backbone (model.backbone)"
    return f"{said}Give the input_size that it was made for"


def _channels(taken: int, shape: tuple[int, ...]) -> str:
    differ = f"{taken} channel{'s' * (taken > 1)}, but photos were given with {shape[1]}. "
    if taken == GREY:
        return f"{differ}Leave the transform out, or let it return grey photos (1, H, W)"
    if taken == RGB:
        return f"{differ}Leave the transform out, or let it return colours (3, H, W)"
    return (
        f"{differ}Photos have 3 (RGB) or 1 (grey): wrap the network in a torch.nn.Module that "
        f"makes {taken} of them"
    )


def _first_convolution(module: nn.Module) -> tuple[str, int]:
    """Return the name and the input channels of the first convolution; ("", 0) if there is none."""
    for name, child in module.named_modules():
        if isinstance(child, nn.Conv2d):
            return name, child.in_channels
    return "", 0


def _required_inputs(module: nn.Module) -> list[str]:
    try:
        parameters = signature(module.forward).parameters.values()
    except (TypeError, ValueError):
        return []
    return [p.name for p in parameters if p.kind in _POSITIONAL and p.default is Parameter.empty]
