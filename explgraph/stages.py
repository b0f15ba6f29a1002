"""Results of finished steps of a long computation, so that an interrupted one goes on."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from .errors import ExplGraphError, require
from .storage import PathLike, read_arrays, write_arrays

STAGE = "stage"
"""The kind of the files, and what their names begin with."""

_log = logging.getLogger("explgraph")


class Stages:
    """Finished stages in a folder, one file for each; those of another computation do not count.

    Parameters
    ----------
    folder
        Where the files ``stage-<name>.safetensors`` lie; it is made when the first is saved.
    key
        JSON values that decide the results: what goes in, the settings, the seed, the versions.
    """

    def __init__(self, folder: PathLike, key: Mapping[str, Any]) -> None:
        self._folder = Path(folder)
        self._key = json.loads(json.dumps(key))  # as it comes back from a file: tuples are lists

    def load(self, name: str) -> dict[str, NDArray[Any]] | None:
        """Return the arrays of a stage, or None if it has to be computed.

        That is so if it was never saved, if its key is another, or if its file is damaged.
        """
        path = self._path(name)
        if not path.exists():
            return None
        try:
            arrays, header = read_arrays(path, STAGE)
        except ExplGraphError as error:
            _log.warning("a stage of mining is computed again: %s", error)
            return None
        return arrays if header.get("key") == self._key else None

    def save(self, name: str, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Keep the arrays of a finished stage, in place of what was there."""
        write_arrays(self._path(name), STAGE, arrays, {"key": self._key})

    def _path(self, name: str) -> Path:
        require(
            re.fullmatch(r"[a-z0-9][a-z0-9.-]*", name) is not None,
            f"a stage's name has small letters, digits, '.' and '-', got {name!r}",
        )
        return self._folder / f"{STAGE}-{name}.safetensors"
