"""The one error that users see, and the checks that raise it."""

from __future__ import annotations

import difflib
import errno
import re
from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .text import printable_lines


class ExplGraphError(ValueError):
    """What the caller can put right: the message says what was expected, what came, what to do.

    Names of files and parts are in it; whatever they hold, a terminal only prints it.
    """

    def __str__(self) -> str:
        return printable_lines(super().__str__())


class DoubtfulDataWarning(UserWarning):
    """What a graph was mined from gives reason to doubt it: the message says what, and what to do.

    ``graph.doubts`` has the same one by one. To be rid of it:
    ``warnings.simplefilter("ignore", explgraph.DoubtfulDataWarning)``; to get an error instead of a
    graph: ``strict=True``.
    """


def require(condition: bool, message: str) -> None:
    """Raise `ExplGraphError` with ``message`` unless ``condition`` holds."""
    if not condition:
        raise ExplGraphError(message)


def check_shape(name: str, array: NDArray[np.generic], shape: Sequence[int | None]) -> None:
    """Check an array's shape; ``None`` stands for any length.

    Raises
    ------
    ExplGraphError
        Naming the array, the expected and the actual shape.
    """
    fits = array.ndim == len(shape) and all(
        want is None or want == have for want, have in zip(shape, array.shape, strict=True)
    )
    if not fits:
        wanted = ", ".join("any" if want is None else str(want) for want in shape)
        raise ExplGraphError(f"{name} must have shape ({wanted}), got {array.shape}")


def check_finite(name: str, array: NDArray[np.floating]) -> None:
    """Raise `ExplGraphError` when ``array`` holds NaN or an infinity."""
    bad = int(np.size(array) - np.count_nonzero(np.isfinite(array)))
    require(bad == 0, f"{name} must be finite, but {bad} of its {np.size(array)} values are not")


def unknown_name(kind: str, name: str, valid: Iterable[str], hint: str = "") -> ExplGraphError:
    """Build the error for a name that does not exist, with the nearest names that do."""
    known = list(valid)
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.4) or known[:5]
    text = (
        f"unknown {kind} {name!r}; the nearest are {', '.join(near)}"
        if near
        else (f"unknown {kind} {name!r}; there are none to choose from")
    )
    return ExplGraphError(f"{text}. {hint}".rstrip(". ") + ".")


def check_options(
    function: str,
    options: Mapping[str, object],
    known: Any,  # noqa: ANN401  no type says "a TypedDict"
) -> None:
    """Raise TypeError, as Python does, for a keyword that a function does not take.

    Parameters
    ----------
    function
        Its name.
    options
        What it was given as ``**options``.
    known
        The ``TypedDict`` of those that it takes.
    """
    names = known.__required_keys__ | known.__optional_keys__
    for name in options:
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1)
            hint = f". Did you mean {near[0]!r}?" if near else ""
            raise TypeError(f"{function}() got an unexpected keyword argument {name!r}{hint}")


def index_of(kind: str, key: int | str, names: Sequence[str], hint: str = "") -> int:
    """Return which one is meant by name or index.

    >>> index_of("layer", "b", ["a", "b"]), index_of("layer", 0, ["a", "b"])
    (1, 0)

    Raises
    ------
    ExplGraphError
        If there is none of that name (naming the nearest) or index; it ends in ``hint``.
    """
    if isinstance(key, str):
        if key not in names:
            raise unknown_name(kind, key, names, hint)
        return names.index(key)
    last = f"0..{len(names) - 1} are there" if names else "there are none"
    require(0 <= key < len(names), f"there is no {kind} {key}: {last}. {hint}".rstrip(". "))
    return int(key)


_LACKS_MEMORY = re.compile(
    r"out of memory|allocate memory|not enough memory|bad_alloc|unable to allocate|can't start new "
    r"thread|failed to map segment|pointer is null",
    re.IGNORECASE,
)


def lacks_memory(error: BaseException) -> bool:
    """Tell whether memory was wanted in vain: there is no one type of error for it.

    Also where another error came of that, while files were closed.
    """
    if error.__context__ is not None and lacks_memory(error.__context__):
        return True
    if isinstance(error, MemoryError):
        return True
    if isinstance(error, OSError) and error.errno == errno.ENOMEM:
        return True
    kinds = (RuntimeError, OSError, ImportError, SystemError)
    of_rust = type(error).__name__ == "PanicException"  # in safetensors, and no Exception
    return (isinstance(error, kinds) or of_rust) and _LACKS_MEMORY.search(str(error)) is not None


def installing(extra: str) -> str:
    """Return how an extra is installed, in words that work for a clone and from an index alike."""
    return f"pip install 'explgraph[{extra}]' (in a clone: pip install '.[{extra}]')"


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
            f"this needs the package {package} ({error}): {installing(extra)}"
        ) from error
