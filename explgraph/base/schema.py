"""What arrays must be like, said once: for files before they are read, and for who builds objects.

A `Column` says of one array its type, its shape by the letters of its dimensions, and which values
it may hold. The letters are bound as arrays are met, by what else is known first: the same letter
is the same length everywhere. `check_layout` looks at types and shapes alone, which a file tells
before any of its arrays is read; `conform` looks at values, and gives read-only arrays of the type.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .arrays import frozen
from .errors import ExplGraphError, require

LARGEST = 1e12
"""That a float may be, either way: squares and sums of such fit into float32, and none is met."""

Sizes = dict[str, int]
"""Lengths by the letters of dimensions."""

Layout = Mapping[str, tuple[str, tuple[int, ...]]]
"""By the names of arrays, their types as NumPy names them, "float32", and their shapes."""


@dataclass(frozen=True, slots=True)
class Column:
    """What is said of one array.

    Attributes
    ----------
    dtype
        Its type.
    shape
        For each axis a length, or a letter that stands for one. ``"C?"`` is C, or 0 where nothing
        is known, ``"T+1"`` one more than T.
    least, most
        Its values lie between, these included; None: no bound.
    above
        Its values are more than this.
    below
        Its values are less than the length of this letter, where it is known: indices of it.
    runs
        It says where runs among so many things of this letter begin, and where the last one ends:
        from 0, never falling, to their length.
    open
        Floats may also be "nan", where something is unknown, or "inf"; "": they are finite.
    with_
        "": it is always there. Else it may be missing, but only with all others of this mark.
    older
        Types that it has in files of earlier versions.
    """

    dtype: type[np.generic]
    shape: tuple[int | str, ...]
    least: float | None = None
    most: float | None = None
    above: float | None = None
    below: str = ""
    runs: str = ""
    open: str = ""
    with_: str = ""
    older: tuple[type[np.generic], ...] = ()


Columns = Mapping[str, Column]
"""By the names of arrays, in a file or of attributes."""


def prefixed(prefix: str, columns: Columns, *, own: str = "", with_: str = "") -> dict[str, Column]:
    """Return columns as a file that holds several things names them: ``prefix.name``.

    Parameters
    ----------
    own
        Letters of dimensions that are these columns' own; others are those of the whole file.
    with_
        Given, all of them are there or none; each stays as it is otherwise.
    """
    return {
        f"{prefix}.{name}": replace(
            column,
            shape=tuple(_renamed(length, prefix, own) for length in column.shape),
            below=str(_renamed(column.below, prefix, own)),
            runs=str(_renamed(column.runs, prefix, own)),
            with_=with_ or (column.with_ and f"{prefix}.{column.with_}"),
        )
        for name, column in columns.items()
    }


def sized(columns: Columns, sizes: Mapping[str, int]) -> dict[str, Column]:
    """Return columns with lengths in place of letters."""
    return {
        name: replace(
            column, shape=tuple(sizes.get(str(length), length) for length in column.shape)
        )
        for name, column in columns.items()
    }


def _renamed(length: int | str, prefix: str, own: str) -> int | str:
    return f"{prefix}.{length}" if _read(length)[0] in own.split() else length


def check_layout(
    found: Layout, columns: Columns, sizes: Sizes, *, over: Iterable[str] = ()
) -> None:
    """Check which arrays there are, their types and their shapes.

    Parameters
    ----------
    found
        What there is.
    columns
        What there should be.
    sizes
        What is known of lengths; others are added.
    over
        Names of arrays that are passed over: earlier versions wrote them.

    Raises
    ------
    ExplGraphError
        Naming the array, what was expected and what came.
    """
    strange = [name for name in found if name not in columns and name not in over]
    require(not strange, f"there is no array {strange[:1]} in files of this kind")
    there = {column.with_ for name, column in columns.items() if name in found}
    for name, column in columns.items():
        if name not in found:
            optional = column.with_ and column.with_ not in there
            require(bool(optional), f"the array {name} is missing")
            continue
        dtype, shape = found[name]
        if dtype != column.dtype.__name__:  # "float32", as NumPy calls its types
            allowed = [one.__name__ for one in (column.dtype, *column.older)]
            require(dtype in allowed, f"{name} must be {' or '.join(allowed)}, got {dtype}")
        bind(name, shape, column.shape, sizes)


def bind(name: str, shape: tuple[int, ...], wanted: tuple[int | str, ...], sizes: Sizes) -> None:
    """Check a shape, and learn the lengths of letters that were not known.

    Raises
    ------
    ExplGraphError
        Naming the array, the expected and the actual shape.
    """
    known = sizes.copy()
    fits = len(shape) == len(wanted)
    for have, want in zip(shape, wanted, strict=False):
        letter, more, unknown = _read(want)
        if unknown and have == 0:
            continue
        fits = fits and have == (
            want if not letter else sizes.setdefault(letter, have - more) + more
        )
    if not fits:
        expected = ", ".join(_expected(want, known) for want in wanted)
        raise ExplGraphError(f"{name} must have shape ({expected}), got {tuple(shape)}")


@cache
def _read(length: int | str) -> tuple[str, int, bool]:
    """Return the letter of a length, what is added to it, and whether it may be 0 instead."""
    if isinstance(length, int):
        return "", 0, False
    letter, _, more = length.removesuffix("?").partition("+")
    return letter, int(more or 0), length.endswith("?")


def _expected(want: int | str, sizes: Mapping[str, int]) -> str:
    letter, more, unknown = _read(want)
    length = want if not letter else "any" if letter not in sizes else sizes[letter] + more
    return f"{length} or 0" if unknown else str(length)


def check_values(name: str, array: NDArray[Any], column: Column, sizes: Mapping[str, int]) -> None:
    """Check an array's values against what its column says.

    Raises
    ------
    ExplGraphError
        Naming the array, what was expected, and how many or which values are not so.
    """
    if array.size == 0:
        return
    if column.open == "nan":
        array = array[~np.isnan(array)]
        if array.size == 0:
            return
    if column.dtype is np.float16 and _is_plain(array):
        low, high = 0.0, 65504.0  # without NumPy's slow comparison of halves
    else:
        low, high = array.min().item(), array.max().item()  # NaN, if there is one
    _check_finite(name, array, low, high, without_end=column.open == "inf")
    most = sizes[column.below] - 1 if column.below in sizes else column.most
    if column.least is not None and low < column.least:
        wrong = f"at least {column.least}"
    elif most is not None and high > most:
        wrong = f"at most {most}"
    elif column.above is not None and low <= column.above:
        wrong = f"more than {column.above}"
    elif column.runs and not _covers(array, sizes[column.runs]):
        wrong = f"rising from 0 to {sizes[column.runs]}"
    else:
        return
    raise ExplGraphError(f"{name} must be {wrong}, got values from {low} to {high}")


def _covers(start: NDArray[Any], length: int) -> bool:
    return bool(start[0] == 0 and start[-1] == length and np.all(np.diff(start) >= 0))


def _check_finite(
    name: str, array: NDArray[Any], low: float, high: float, *, without_end: bool
) -> None:
    """Check that numbers between ``low`` and ``high``, NaN if one is, are ones to compute with."""
    if low != low or not (without_end or (isfinite(low) and isfinite(high))):
        bad = int(array.size - np.count_nonzero(np.isfinite(array)))
        raise ExplGraphError(f"{name} must be finite, but {bad} of its {array.size} values are not")
    if array.dtype.kind == "f" and not without_end and max(-low, high) > LARGEST:
        raise ExplGraphError(
            f"{name} must hold numbers up to {LARGEST:g}, got values from {low} to {high}"
        )


def _is_plain(array: NDArray[Any]) -> bool:
    """Tell whether halves are finite and not negative: by their bits, which is fast."""
    return array.dtype == np.float16 and bool(array.view(np.uint16).max() < 0x7C00)


def conform(owner: object, columns: Columns, sizes: Sizes, *, called: str = "") -> None:
    """Check the arrays of a frozen object by its columns, and keep them read-only, of their type.

    Parameters
    ----------
    owner
        Has an attribute for each column; None where it is missing and may be.
    columns
        By attribute.
    sizes
        What is known of lengths; others are added.
    called
        What the object is, in messages; "": its class.

    Raises
    ------
    ExplGraphError
        Naming the array, what was expected and what came.
    """
    called = called or type(owner).__name__
    for name, column in columns.items():
        value = getattr(owner, name)
        if value is None and column.with_:
            continue
        object.__setattr__(owner, name, kept(f"{called}.{name}", value, column, sizes))


def kept(name: str, value: NDArray[Any], column: Column, sizes: Sizes) -> NDArray[Any]:
    """Return an array as `conform` keeps it."""
    bind(name, np.shape(value), column.shape, sizes)
    array = frozen(value, column.dtype)
    check_values(name, array, column, sizes)
    return array
