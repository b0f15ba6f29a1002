"""What a request is answered with, before any web framework is asked to send it."""

from __future__ import annotations

import errno
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from explgraph.base.errors import ExplGraphError
from explgraph.labelling.structures import StaleAnswer

REFUSED, MISSING, STALE, WRONG, FULL = 403, 404, 409, 422, 507
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer to a request.

    Attributes
    ----------
    body
        Its bytes.
    media
        What they are, as a MIME type.
    status
        Of HTTP.
    headers
        More of them, by name.
    """

    body: bytes
    media: str = "application/json"
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


class RefusedError(Exception):
    """A request that gets no answer, but a status of HTTP and a sentence."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


def json_reply(value: object, status: int = 200) -> Reply:
    """Return a value as JSON, as short as it can be written."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return Reply(text.encode(), status=status)


def error_reply(error: ExplGraphError | RefusedError) -> Reply:
    """Return an error as JSON: ``error`` is its sentence, the status tells its kind."""
    return json_reply({"error": str(error)}, _status(error))


def _status(error: ExplGraphError | RefusedError) -> int:
    if isinstance(error, RefusedError):
        return error.status
    if isinstance(error, StaleAnswer):
        return STALE
    return FULL if _lacks_room(error) else WRONG


def _lacks_room(error: BaseException) -> bool:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in _NO_ROOM:
            return True
        cause = cause.__cause__
    return False


def attachment(name: str) -> dict[str, str]:
    """Return the header that makes a browser keep a file, by a name of plain letters."""
    return {"content-disposition": f'attachment; filename="{name}"'}


def whole(value: Any, below: int, what: str) -> int:  # noqa: ANN401  what a path of a URL holds
    """Return a number of something, from a request.

    Raises
    ------
    RefusedError
        If there is none of that number.
    """
    number = int(value)
    if not 0 <= number < below:
        raise RefusedError(MISSING, f"there is no {what} {number}")
    return number
