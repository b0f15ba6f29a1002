"""Weights: read from a file without running code, loaded with a clear complaint, hashed."""

from __future__ import annotations

import hashlib
import json
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from .errors import ExplGraphError, require
from .storage import PathLike

SUFFIXES = (".safetensors", ".pth", ".pt")
_SHOWN = 4


def read_weights(path: PathLike) -> dict[str, Tensor]:
    """Read a state dict from a ``.safetensors``, ``.pth`` or ``.pt`` file.

    A checkpoint that keeps it under "state_dict" is opened, and the "module." that
    ``nn.DataParallel`` puts before every name is taken off.

    Raises
    ------
    ExplGraphError
        If the file is missing, damaged, or holds anything but tensors by name.
    """
    source = Path(path)
    require(source.is_file(), f"the weights file {source} does not exist")
    require(
        source.suffix in SUFFIXES,
        f"{source} should be a weights file ending in {', '.join(SUFFIXES)}",
    )
    try:
        if source.suffix == ".safetensors":
            return load_file(source)
        found = torch.load(source, map_location="cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, OSError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ExplGraphError(
            f"{source} is not a whole file of weights ({reason}). Files that hold more than "
            "tensors are not opened, because they can run code: save module.state_dict() instead"
        ) from error
    if isinstance(found, Mapping) and isinstance(found.get("state_dict"), Mapping):
        found = found["state_dict"]
    is_state = isinstance(found, Mapping) and all(isinstance(v, Tensor) for v in found.values())
    require(is_state and len(found) > 0, f"{source} holds no state dict (tensors by name)")
    prefix = "module." if all(name.startswith("module.") for name in found) else ""
    return {name.removeprefix(prefix): tensor for name, tensor in found.items()}


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
        f"{name} {tuple(state[name].shape)} instead of {tuple(wanted[name].shape)}"
        for name in wanted
        if name in state and state[name].shape != wanted[name].shape
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


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def check_weights(module: nn.Module) -> None:
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
