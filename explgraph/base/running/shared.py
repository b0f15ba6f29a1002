"""Values that many units of work share: in a file once, in the memory of a worker once."""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import socket
import sys
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Any, Generic, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from explgraph.base.digests import content_digest
from explgraph.base.errors import ExplGraphError
from explgraph.base.files import read_arrays, write_arrays

T = TypeVar("T")

SHARED = "shared"
"""The kind of the files of what units share, and what their names begin with."""

_CONTENT = "pickle"
_LARGE = 1 << 14  # bytes of an array that goes into the file
_TYPES = {"float16", "float32", "float64", "int8", "int32", "int64", "uint8"}
_KEPT = 2  # shared values that a worker keeps in memory


@dataclass(frozen=True, slots=True)
class Shared(Generic[T]):
    """A value that units share: its pickle, of which large arrays lie in a file.

    Attributes
    ----------
    path
        The file; "" if there are no large arrays.
    digest
        SHA-256 of both.
    content
        The pickle; empty if it, too, lies in the file.
    driver
        The process that made it, and its machine.
    """

    path: str
    digest: str
    content: bytes
    driver: tuple[str, int]

    def get(self) -> T:
        """Return the value: read once in a process, the same to all of its units.

        Raises
        ------
        ExplGraphError
            If its file cannot be seen from here.
        """
        with _loading:
            value: Any = _loaded(self)
        return cast("T", value)

    def __hash__(self) -> int:
        return hash(self.digest)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Shared) and other.digest == self.digest


_loading = Lock()


@lru_cache(_KEPT)
def _loaded(shared: Shared[Any]) -> object:
    arrays: dict[str, NDArray[Any]] = {}
    if shared.path:
        if not Path(shared.path).is_file():
            raise ExplGraphError(
                f"a worker on {socket.gethostname()} does not see {shared.path}, which "
                f"{shared.driver[0]} wrote: give a folder that all workers see as `spool` (--spool)"
            )
        arrays, _ = read_arrays(shared.path, SHARED)
    held = arrays.get(_CONTENT)
    content = shared.content if held is None else held.tobytes()
    arrays.pop(_CONTENT, None)
    if content_digest(hashlib.sha256(content).hexdigest(), arrays) != shared.digest:
        raise ExplGraphError(f"{shared.path} is not what {shared.driver[0]} wrote: run it again")
    return _Unpickler(io.BytesIO(content), arrays).load()


class _Pickler(pickle.Pickler):
    """Pickles all but large arrays and tensors, which it collects."""

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file, protocol=pickle.HIGHEST_PROTOCOL)
        self.arrays: dict[str, NDArray[Any]] = {}
        self._names: dict[int, str] = {}
        self._held: list[object] = []  # an id is another's once its object is gone

    def persistent_id(self, obj: Any) -> tuple[object, ...] | None:  # noqa: ANN401
        """Return where a large array is found, and how it is to be; None: it is pickled."""
        torch = sys.modules.get("torch")
        if type(obj) is np.ndarray and obj.dtype.name in _TYPES and _is_kept_apart(obj):
            # Another order in memory would be another for BLAS and Numba.
            return (self._name(obj, obj), obj.flags.writeable) if obj.flags.c_contiguous else None
        if torch is not None and type(obj) is torch.Tensor and _is_plain(obj, torch):
            held = obj.detach().view(-1).view(torch.uint8).numpy()
            return self._name(obj, held), str(obj.dtype).split(".")[1], tuple(obj.shape)
        return None

    def _name(self, obj: object, array: NDArray[Any]) -> str:
        if id(obj) not in self._names:
            self._names[id(obj)] = f"{len(self._names)}"
            self._held.append(obj)
            self.arrays[self._names[id(obj)]] = array
        return self._names[id(obj)]


def _is_kept_apart(array: NDArray[Any]) -> bool:
    """Tell arrays that are large, or read-only: a pickle forgets that, and Numba compiles anew."""
    return array.nbytes >= _LARGE or not array.flags.writeable


def _is_plain(tensor: Any, torch: Any) -> bool:  # noqa: ANN401  PyTorch is not imported here
    return bool(
        tensor.layout is torch.strided
        and tensor.is_contiguous()
        and not tensor.is_quantized
        and tensor.device.type == "cpu"
        and tensor.numel() * tensor.element_size() >= _LARGE
    )


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, arrays: dict[str, NDArray[Any]]) -> None:
        super().__init__(file)
        self._arrays = arrays

    def persistent_load(self, pid: Any) -> Any:  # noqa: ANN401
        """Return an array or a tensor of the file."""
        if len(pid) == 2:
            name, writeable = pid
            self._arrays[name].setflags(write=writeable)
            return self._arrays[name]
        import torch

        name, dtype, shape = pid
        return torch.from_numpy(self._arrays[name]).view(getattr(torch, dtype)).reshape(shape)


def written(value: T, folder: Path, called: str) -> Shared[T]:
    """Write what is large of a value into a folder; return what travels.

    Raises
    ------
    ExplGraphError
        If it cannot be pickled: it is ``called`` thus.
    """
    buffer = io.BytesIO()
    pickler = _Pickler(buffer)
    try:
        pickler.dump(value)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise ExplGraphError(
            f"{called} cannot be sent to other processes ({error}): what it is made of must be "
            "defined in a module that workers can import, and hold no locks or open files"
        ) from error
    arrays, content = pickler.arrays, buffer.getvalue()
    said = hashlib.sha256(content).hexdigest()
    digest = content_digest(said, arrays)
    if len(content) >= _LARGE:
        arrays, content = {**arrays, _CONTENT: np.frombuffer(content, np.uint8)}, b""
    path = folder.absolute() / f"{SHARED}-{digest[:16]}.safetensors"
    if arrays:
        write_arrays(path, SHARED, arrays, {})
    where = str(path) if arrays else ""
    return Shared(where, digest, content, (socket.gethostname(), os.getpid()))


def clear_shared(folder: Path) -> None:
    """Remove what a run that was killed left of these."""
    for path in folder.glob(f"{SHARED}-*.safetensors"):
        with suppress(OSError):
            path.unlink()
