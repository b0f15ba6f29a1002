"""What commands write, checked before they begin: nobody waits for what cannot be kept."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from inspect import Parameter
from typing import Any

from explgraph.base.errors import ExplGraphError
from explgraph.base.writing import check_folder_writable, check_writable


class Written(Enum):
    """Marks an option, in its annotation, as the name of what is written."""

    FILE = "file"
    FOLDER = "folder"
    FILE_OR_FOLDER = "a file; with --per-class, a folder"


def check_outputs(parameters: Mapping[str, Parameter], options: Mapping[str, Any]) -> None:
    """Check that all that a command's options name can be written; nothing is made.

    Raises
    ------
    ExplGraphError
        As `check_writable`, naming the option.
    """
    for name, parameter in parameters.items():
        marks = [m for m in getattr(parameter.annotation, "__metadata__", ()) if m in list(Written)]
        if not marks or options[name] is None:
            continue
        kind = marks[0]
        if kind is Written.FILE_OR_FOLDER:
            kind = Written.FOLDER if options["per_class"] else Written.FILE
        check = check_folder_writable if kind is Written.FOLDER else check_writable
        try:
            check(options[name])
        except ExplGraphError as error:
            raise ExplGraphError(f"--{name.replace('_', '-')} {error}") from error
