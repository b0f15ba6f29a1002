"""Compiled loops on disk, so that they are compiled once for a machine and not in every run.

Numba's own cache looks at the file of the function that is called, and misses what it calls. Here a
compiled function is found by everything it was made of: its code, the functions and constants it
refers to, all the way down; the types of its arguments; the processor; the versions and flags of
Numba. Whatever changes gives another name, so that nothing on disk is ever out of date. Each is one
file, written whole or not at all: processes may share the folder.
"""

# ruff: noqa: ANN401

from __future__ import annotations

import builtins
import hashlib
import os
import pickle
import sys
import time
from collections.abc import Callable, Iterator
from functools import cache
from importlib.metadata import version
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any, cast

import numba
import numpy as np
from numba.core.caching import NullCache
from numba.core.compiler import CompileResult
from numba.core.dispatcher import Dispatcher
from platformdirs import user_cache_path

from .writing import write_bytes

VARIABLE = "EXPLGRAPH_CACHE"
"""The environment variable: another folder, or "off"."""

_UNUSED_DAYS = 60  # until a file is deleted
_DIGEST = 32  # bytes of it before the content
_FLAGS = (
    "BOUNDSCHECK", "CPU_FEATURES", "CPU_NAME", "DEBUGINFO_DEFAULT", "DISABLE_INTEL_SVML",
    "ENABLE_AVX", "LLVM_PASS_TIMINGS", "LLVM_REFPRUNE_PASS", "LOOP_VECTORIZE", "OPT",
    "SLP_VECTORIZE", "USING_SVML",
)  # fmt: skip


def cache_folder() -> Path | None:
    """Return where what can be had again is kept between runs; None if that is turned off."""
    chosen = os.environ.get(VARIABLE)
    if chosen is None:
        return user_cache_path("explgraph", appauthor=False)
    return None if chosen.lower() in ("", "0", "off", "no") else Path(chosen)


def kept_on_disk(compiled: Callable[..., Any]) -> None:
    """Let a function that Numba compiles look on disk first, and keep there what it compiles.

    A folder that cannot be read or written is gone without, and so is what Numba cannot pickle.
    """
    if isinstance(compiled, Dispatcher):  # it is none under NUMBA_DISABLE_JIT
        # The place of Numba's own; it has no public one.
        compiled._cache = KernelCache(compiled)  # type: ignore[attr-defined]


class KernelCache(NullCache):
    """What a Numba dispatcher asks for compiled code before it compiles, and gives it to after.

    Parameters
    ----------
    compiled
        The dispatcher.
    """

    def __init__(self, compiled: Dispatcher) -> None:
        self._compiled = compiled

    @property
    def cache_path(self) -> str | None:
        """The folder, as Numba reports it."""
        folder = cache_folder()
        return None if folder is None else str(folder)

    def load_overload(self, sig: object, target_context: Any) -> Any:
        """Return what was compiled for a signature, or None."""
        target_context.refresh()
        try:
            path = self._path(sig, target_context.codegen())
            data = path.read_bytes() if path is not None else b""
            if path is None or hashlib.sha256(data[_DIGEST:]).digest() != data[:_DIGEST]:
                return None
            rebuild: Callable[..., Any] = CompileResult._rebuild
            found = rebuild(target_context, *pickle.loads(data[_DIGEST:]))
            os.utime(path)  # used today
        except Exception:  # whatever is wrong with the file, it can be made again
            return None
        return found

    def save_overload(self, sig: object, data: Any) -> None:
        """Keep what was compiled for a signature."""
        try:
            path = self._path(sig, data.codegen)
            if path is None or data.library.has_dynamic_globals or data.lifted:
                return
            content = pickle.dumps(data._reduce(), protocol=pickle.HIGHEST_PROTOCOL)
            write_bytes(path, hashlib.sha256(content).digest() + content)
            _forget_unused(path.parent)
        except Exception:  # what cannot be kept is compiled all the same
            return

    def _path(self, sig: object, codegen: Any) -> Path | None:
        folder, meaning = cache_folder(), _meaning(self._compiled)
        if folder is None or meaning is None:
            return None
        made_of = (meaning, str(sig), codegen.magic_tuple(), _surroundings())
        name = hashlib.sha256(repr(made_of).encode()).hexdigest()
        return folder / "kernels" / f"{self._compiled.py_func.__name__}-{name[:32]}"


@cache
def _surroundings() -> str:
    """Return what decides on compiled code besides the code."""
    versions = sys.version, numba.__version__, version("llvmlite"), np.__version__
    return repr((versions, [getattr(numba.config, flag, None) for flag in _FLAGS]))


@cache
def _meaning(compiled: Dispatcher) -> str | None:
    """Return a digest of a function and of all that it refers to; None if that cannot be told."""
    function = cast(FunctionType, compiled.py_func)
    if function.__closure__:
        return None
    parts = [repr(compiled.targetoptions), repr(function.__defaults__)]
    for code in _codes(function.__code__):
        plain = [constant for constant in code.co_consts if not isinstance(constant, CodeType)]
        parts.append(repr((code.co_code, code.co_names, code.co_varnames, plain)))
        for name in code.co_names:
            known = _referred(function.__globals__, name)
            if known is None:
                return None
            parts.append(known)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _codes(code: CodeType) -> Iterator[CodeType]:
    """Go through a function's code and that of what is defined in it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


def _referred(names: dict[str, Any], name: str) -> str | None:
    """Describe what a name stands for; None if that cannot be told."""
    if name not in names:
        return name  # a built-in function, or an attribute of something
    value = names[name]
    if isinstance(value, Dispatcher):
        return _meaning(value)
    if isinstance(value, ModuleType):  # NumPy's version is one of the surroundings
        return value.__name__ if value.__name__ in ("math", "numpy") else None
    if isinstance(value, type) and issubclass(value, tuple) and hasattr(value, "_fields"):
        return repr((value.__module__, value.__qualname__, value._fields))
    if isinstance(value, bool | int | float | str | np.generic):
        return repr((type(value), value))
    return name if getattr(builtins, name, None) is value else None


def _forget_unused(folder: Path) -> None:
    """Delete what no run has used for long: of other versions, mostly."""
    oldest = time.time() - _UNUSED_DAYS * 24 * 3600
    for path in folder.iterdir():
        if path.stat().st_mtime < oldest:
            path.unlink(missing_ok=True)
