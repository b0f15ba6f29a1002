"""Packages that come only with an extra of this one."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from .errors import ExplGraphError


def import_extra(module: str, extra: str) -> ModuleType:
    """Import a module of a package that an extra installs.

    Raises
    ------
    ExplGraphError
        If it is not installed, naming the extra.
    """
    try:
        return import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise ExplGraphError(
            f"this needs the package {package} ({error}): pip install 'explgraph[{extra}]'"
        ) from error
