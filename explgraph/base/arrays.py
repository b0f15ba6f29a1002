"""Types of arrays, and how arrays are kept.

Data types are frozen structs of arrays; algorithms are free functions over them.

Dimensions, in every docstring: N images, C filters of a layer, H, W map cells, K peaks of a map,
P nodes, E edges, L layers. ``NONE = -1`` is the only value for "no index".

Coordinates (one contract for everything): ``yx`` pairs, (0, 0) is the outer corner of the top-left
pixel. *Network pixels* measure on the network's input, H_in by W_in; the *unit square* measures on
the photo as a person sees it, (1, 1) being the outer corner of its bottom-right pixel.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from .errors import require

F2 = NDArray[np.float16]
F4 = NDArray[np.float32]
F8 = NDArray[np.float64]
I1 = NDArray[np.int8]
I4 = NDArray[np.int32]
I8 = NDArray[np.int64]
U1 = NDArray[np.uint8]

Array = Any
"""Of NumPy, or of PyTorch on some device: where the same lines serve both."""

NONE = -1


def namespace_of(array: Array) -> Any:  # noqa: ANN401
    """Return the functions for an array, by their names in the array API standard.

    Those of NumPy are its own; `array_api_compat`, of ``explgraph[cuda]``, knows those of PyTorch.
    """
    if isinstance(array, np.ndarray):
        return np
    from array_api_compat import array_namespace

    return array_namespace(array)


def on_host(array: Array) -> NDArray[Any]:
    """Return an array of NumPy: itself, or a tensor's copy from its device."""
    return array if isinstance(array, np.ndarray) else array.cpu().numpy()


def beside(array: NDArray[Any], other: Array) -> Array:
    """Bring an array of NumPy to where another array is."""
    if isinstance(other, np.ndarray):
        return array
    return namespace_of(other).asarray(array.copy(), device=other.device)  # read-only ones, too


def frozen(array: NDArray[Any], dtype: DTypeLike) -> NDArray[Any]:
    """Return a C-contiguous read-only view or copy; the caller's own array stays writable."""
    result = np.ascontiguousarray(array, dtype=dtype)
    view = result.view()
    view.flags.writeable = False
    return view


_EXPONENT = np.float32(2.0**112)  # what the exponents of halves and singles differ by


def singles(halves: F2, out: F4 | None = None) -> F4:
    """Return finite float16 numbers as float32, exactly: ten times as fast as ``astype``.

    Parameters
    ----------
    halves
        Of any shape.
    out
        C-contiguous, of that shape, is written and returned; None: a new array.
    """
    result = np.empty(halves.shape, dtype=np.float32) if out is None else out
    bits = result.view(np.int32)
    np.copyto(bits, halves.view(np.int16))  # the sign fills the upper half
    np.left_shift(bits, 13, out=bits)
    np.bitwise_and(bits, np.int32(-0x70000001), out=bits)
    np.multiply(result, _EXPONENT, out=result)
    return result


def first_half(groups: Sequence[str]) -> NDArray[np.bool_]:
    """Return (N,) whether a photo lies in the first of two halves.

    Distinct groups, sorted as strings, belong to the first and the second half by turns.

    Parameters
    ----------
    groups
        Of N photos. Photos of one group, such as crops of one picture, lie in one half.

    Raises
    ------
    ExplGraphError
        If there are fewer than two groups.
    """
    distinct, number = np.unique(np.array(groups, dtype=object), return_inverse=True)
    require(
        len(distinct) >= 2,
        f"two halves need photos of at least 2 groups, got {len(distinct)}: give more photos",
    )
    return np.asarray(number % 2 == 0)


def evenly(n: int, most: int) -> I8:
    """Return the rising indices of at most so many of n rows, at even distances."""
    return np.unique(np.linspace(0, n - 1, min(n, most)).astype(np.int64))
