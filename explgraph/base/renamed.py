"""Old keywords of public functions, which go on working beside the documented ones."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


def renamed(**names: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Let a function take arguments by their old keywords, too.

    The function's signature, which editors and the reference show, has the new ones alone.

    Parameters
    ----------
    **names
        Old keyword = new keyword.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @wraps(function)
        def call(*args: P.args, **given: P.kwargs) -> R:
            for old in names.keys() & given.keys():
                if names[old] in given:
                    raise TypeError(
                        f"{function.__name__}() got both {names[old]!r} and {old!r}, its old name"
                    )
                given[names[old]] = given.pop(old)
            return function(*args, **given)

        return call

    return decorate
