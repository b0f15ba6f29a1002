"""Data types that cannot change: how they are copied and sent to other processes."""

from __future__ import annotations

from dataclasses import fields
from types import MappingProxyType
from typing import Any, Self


class Record:
    """Base of frozen dataclasses: a copy is the thing itself, a pickle makes it anew.

    What comes out of a pickle has gone through the constructor: it is checked, and its arrays are
    read-only. A read-only view of a mapping, which no pickle can hold, travels as a plain one.
    """

    __slots__ = ()

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __reduce__(self) -> tuple[object, ...]:
        values = {one.name: getattr(self, one.name) for one in fields(self) if one.init}  # type: ignore[arg-type]
        return _made, (type(self), {name: _plain(value) for name, value in values.items()})


def _made(kind: type[Any], values: dict[str, Any]) -> object:
    return kind(**values)


def _plain(value: object) -> object:
    return dict(value) if isinstance(value, MappingProxyType) else value
