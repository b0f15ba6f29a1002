"""Results of units of work in files, so that none is done again when its run goes on.

They are pickles whose arrays lie apart, as those of `shared`; but nothing says what digest they
must have. So a pickle is read that names given classes alone, which hold arrays and numbers.
"""

from __future__ import annotations

import io
import logging
import pickle
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from explgraph.base.errors import ExplGraphError
from explgraph.base.files import read_arrays, write_arrays

T = TypeVar("T")

UNIT = "unit"
"""The kind of the files of results, and what their names begin with."""
_CONTENT = "pickle"

_log = logging.getLogger("explgraph")


@dataclass(frozen=True, slots=True)
class Kept(Generic[T]):
    """Where results are kept.

    Attributes
    ----------
    folder
        Of the files.
    key
        Says what decides the results: letters and digits.
    classes
        Of which results may be made.
    """

    folder: Path
    key: str
    classes: tuple[type, ...]

    def path(self, number: int) -> Path:
        """Return the file of a result, by its number."""
        return self.folder / f"{UNIT}-{self.key[:16]}-{number:05d}.safetensors"

    def save(self, number: int, result: T) -> None:
        """Keep a result."""
        buffer = io.BytesIO()
        pickler = _Pickler(buffer)
        pickler.dump(result)
        content = np.frombuffer(buffer.getvalue(), np.uint8)
        arrays = {**pickler.arrays, _CONTENT: content}
        write_arrays(self.path(number), UNIT, arrays, {"key": self.key})

    def load(self, number: int) -> T | None:
        """Return a result; None if it is not there, damaged, or not of this key."""
        path = self.path(number)
        if not path.exists():
            return None
        try:
            arrays, header = read_arrays(path, UNIT)
            if header.get("key") != self.key:
                return None
            content = io.BytesIO(arrays.pop(_CONTENT).tobytes())
            result: T = _Unpickler(content, arrays, self.classes).load()
        except (ExplGraphError, pickle.UnpicklingError, KeyError, EOFError) as error:
            _log.warning("a unit of work is done again: %s", error)
            return None
        return result


def clear_kept(folder: Path) -> None:
    """Remove all results: what was made of them is kept by now."""
    for path in folder.glob(f"{UNIT}-*.safetensors"):
        with suppress(OSError):
            path.unlink()


class _Pickler(pickle.Pickler):
    """Pickles all but arrays, which it collects."""

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file, protocol=pickle.HIGHEST_PROTOCOL)
        self.arrays: dict[str, NDArray[Any]] = {}

    def persistent_id(self, obj: object) -> str | None:
        """Return an array's name."""
        if not isinstance(obj, np.ndarray):
            return None
        name = str(len(self.arrays))
        self.arrays[name] = obj
        return name


class _Unpickler(pickle.Unpickler):
    def __init__(
        self, file: io.BytesIO, arrays: dict[str, NDArray[Any]], classes: Iterable[type]
    ) -> None:
        super().__init__(file)
        self._arrays = arrays
        self._classes = {(one.__module__, one.__qualname__): one for one in classes}

    def persistent_load(self, pid: str) -> NDArray[Any]:
        """Return an array."""
        return self._arrays[pid]

    def find_class(self, module_name: str, global_name: str) -> type:
        """Return a class, if it is one of those that results are made of."""
        if (module_name, global_name) not in self._classes:
            raise pickle.UnpicklingError(f"it names {module_name}.{global_name}")
        return self._classes[module_name, global_name]
