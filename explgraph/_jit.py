"""The Numba flags, in one place.

``cache`` stays off: Numba checks only the caller's own file, so an edited formula would be ignored.
``fastmath`` stays off: results are compared, between choices and between machines. Division by zero
gives infinity or NaN, as in NumPy: a test for it would keep loops from being computed side by side.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast, overload

from numba import njit

F = TypeVar("F", bound=Callable[..., Any])


@overload
def jit(function: F, /) -> F: ...
@overload
def jit(*, parallel: bool = ...) -> Callable[[F], F]: ...
def jit(function: Any = None, /, *, parallel: bool = False) -> Any:
    """Compile a function for the CPU; one without ``prange`` also serves CUDA kernels."""
    decorate = njit(parallel=parallel, nogil=True, cache=False, fastmath=False, error_model="numpy")
    return decorate if function is None else cast(Any, decorate(function))
