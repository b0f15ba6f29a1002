"""JSON that others wrote: of the shape that a type says, or one clear error."""

from __future__ import annotations

from typing import Any

import msgspec

from .errors import ExplGraphError, require

DEEPEST = 64
"""Lists and objects within each other, at most: who walks through a value may recurse."""

_BOM = b"\xef\xbb\xbf"  # before the text, by some editors


def decode_json(text: bytes, called: str, kind: Any = Any) -> Any:  # noqa: ANN401  what kind says
    """Return the value of a JSON text.

    Parameters
    ----------
    text
        In UTF-8.
    called
        What it is, for the error: a file's path.
    kind
        A type as `msgspec` understands them, for what is not checked elsewhere: a ``Struct``, with
        bounds in ``Annotated[int, Meta(...)]``. Any accepts every value.

    Raises
    ------
    ExplGraphError
        If it is no JSON, holds NaN or figures that no number can hold, is nested deeper than
        `DEEPEST`, or is not of that kind: the error says where.

    Examples
    --------
    >>> decode_json(b'{"a": [1, 2]}', "names.json")
    {'a': [1, 2]}
    >>> decode_json(b'{"a": [1, 2]}', "names.json", dict[str, int])
    Traceback (most recent call last):
    ...
    explgraph.base.errors.ExplGraphError: names.json: Expected `int`, got `array` - at `$[...]`
    """
    try:
        value = msgspec.json.decode(text.removeprefix(_BOM), type=kind)
    except msgspec.ValidationError as error:
        raise ExplGraphError(f"{called}: {error}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ExplGraphError(f"{called} is no JSON: {error}") from error
    except RecursionError as error:
        raise _too_deep(called) from error
    require(_is_shallow(value), str(_too_deep(called)))
    return value


def typed(value: object, called: str, kind: Any) -> Any:  # noqa: ANN401  what kind says
    """Return a value of JSON as a type says, as `decode_json` does; keys may be numbers.

    Raises
    ------
    ExplGraphError
        Naming what it is ``called``, and where in it what was expected.
    """
    try:
        return msgspec.convert(value, kind, str_keys=True)
    except msgspec.ValidationError as error:
        raise ExplGraphError(f"{called}: {error}") from error


def _too_deep(called: str) -> ExplGraphError:
    return ExplGraphError(
        f"{called}: lists and objects lie more than {DEEPEST} deep within each other"
    )


def _is_shallow(value: object) -> bool:
    level = [value]
    for _ in range(DEEPEST):
        held = [one for one in level if isinstance(one, dict | list | tuple)]
        if not held:
            return True
        level = [x for one in held for x in (one.values() if isinstance(one, dict) else one)]
    return not any(isinstance(one, dict | list | tuple) for one in level)
