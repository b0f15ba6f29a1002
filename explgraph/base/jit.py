"""The Numba flags, in one place.

``cache`` stays off: Numba checks only the caller's own file, so an edited formula would be ignored;
`kernel_cache` looks at everything.
``fastmath`` stays off: results are compared, between choices and between machines. ``parallel``
stays off: Numba's threads would change how many threads the caller's PyTorch uses, and wait by
spinning; `explgraph.base.threads` shares out the work. Division by zero gives infinity or NaN, as
in NumPy: a test for it would keep loops from being computed side by side.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

from numba import njit

from .kernel_cache import kept_on_disk

F = TypeVar("F", bound=Callable[..., Any])


def jit(function: F) -> F:
    """Compile a function for the CPU; it also serves CUDA kernels."""
    decorate = njit(nogil=True, cache=False, fastmath=False, error_model="numpy")
    compiled = decorate(function)
    kept_on_disk(compiled)
    return cast(F, compiled)
