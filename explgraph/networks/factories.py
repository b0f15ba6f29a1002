"""Functions in files of a user's own, which make networks, and how their networks travel.

A file is imported without becoming a module that others can import. So what it defines cannot be
pickled by name: another process has to run the file again.
"""

from __future__ import annotations

import hashlib
import importlib.util
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType

from explgraph.base.errors import ExplGraphError, require


@dataclass(frozen=True, slots=True)
class FileFactory:
    """A function in a file.

    Attributes
    ----------
    path
        The file's, absolute.
    function
        Its name.
    sha256
        Of the file, as it was when the network was made.
    """

    path: str
    function: str
    sha256: str

    @classmethod
    def of(cls, place: str, function: str) -> FileFactory | None:
        """Return that of a file that has just been imported; None for a module."""
        if not place.endswith(".py"):
            return None
        path = Path(place).absolute()
        return cls(str(path), function, _sha256(path))

    @property
    def model(self) -> str:
        """What makes the same network again: `build_network` takes it.

        Raises
        ------
        ExplGraphError
            If the file is not there, or another.
        """
        path = Path(self.path)
        require(
            path.is_file(),
            f"a worker does not see {path}, which makes the network: put the file where all see it",
        )
        require(
            _sha256(path) == self.sha256,
            f"{path} is not the file any more that the network was made by: begin again",
        )
        return f"{self.path}:{self.function}"


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def imported(place: str, model: str) -> ModuleType:
    """Import a module by name, or a file without leaving it among the imported modules.

    Raises
    ------
    ExplGraphError
        If there is none, or it is no Python.
    """
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
