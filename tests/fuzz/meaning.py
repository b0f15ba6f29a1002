"""All that matters of what a reader gives: equal things, and only these, have equal digests."""

import hashlib
from collections.abc import Mapping
from dataclasses import fields, is_dataclass

import numpy as np
import torch
from PIL import Image


def meaning(value):
    """Return a digest of a value: of its types, names, shapes and numbers to the last bit."""
    digest = hashlib.blake2b(digest_size=16)
    _tell(value, digest.update)
    return digest.digest()


def _tell(value, write):
    if isinstance(value, np.ndarray):
        write(f"{value.dtype.str}{value.shape}".encode())
        write(np.ascontiguousarray(value).tobytes())
    elif is_dataclass(value):
        _tell({one.name: getattr(value, one.name) for one in fields(value)}, write)
    elif isinstance(value, Mapping):
        write(f"map{len(value)}".encode())
        for key in sorted(value, key=repr):
            _tell(key, write)
            _tell(value[key], write)
    elif isinstance(value, list | tuple):
        write(f"row{len(value)}".encode())
        for one in value:
            _tell(one, write)
    elif isinstance(value, Image.Image):
        write(f"{value.mode}{value.size}".encode())
        write(value.tobytes())
    elif isinstance(value, torch.Tensor):
        write(f"{value.dtype}{tuple(value.shape)}".encode())
        flat = value.detach().contiguous().flatten()
        write(flat.view(torch.uint8).numpy().tobytes() if len(flat) else b"")
    else:
        write(f"{type(value).__name__}:{value!r};".encode("utf-8", "surrogatepass"))
