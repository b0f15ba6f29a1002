"""Who may come in: those who know the token, and pages of this very server.

Plain ASGI, around whatever app. Names of hosts are judged by Starlette's `TrustedHostMiddleware`.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from hmac import compare_digest
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; frame-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
"""What the page may do: fetch from its own server, run its own files, and nothing else."""

REPORT_POLICY = (
    "sandbox allow-scripts allow-downloads; default-src 'none'; script-src 'unsafe-inline'; "
    "style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'self'"
)
"""What the report may do, whose scripts are within it: nothing is fetched, it has no origin."""

_HEADERS = {
    "content-security-policy": PAGE_POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
    "cache-control": "no-store",
}
ANYWHERE = ("0.0.0.0", "::")
"""Hosts that stand for all addresses of a machine, and are no names of it."""

_CLOSED = (
    "This is explgraph studio, and the address lacks its token. Open the whole address that "
    "'explgraph studio' printed in its terminal."
)
_FOREIGN = "Answers are taken from explgraph studio's own page alone."


class Headers:
    """Sets the headers that every answer has, but for those that it has set itself."""

    def __init__(self, app: App) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer as the app does, with more headers."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = {name.lower() for name, _ in message.get("headers", ())}
                more = [(k.encode(), v.encode()) for k, v in _HEADERS.items()]
                message["headers"] = [
                    *message.get("headers", ()),
                    *(pair for pair in more if pair[0] not in own),
                ]
            await send(message)

        await self.app(scope, receive, send_with_headers)


class Keys:
    """The token, and tickets that each open the page once.

    A browser is started with a ticket: other users of a machine can read what programs are started
    with, and then it has been used.

    Parameters
    ----------
    port
        Of the server: cookies do not tell ports apart, so that their name has to.
    """

    def __init__(self, port: int) -> None:
        self.token = secrets.token_urlsafe(32)
        self.cookie = f"explgraph_studio_{port}"
        self._tickets: set[str] = set()

    def ticket(self) -> str:
        """Return a new ticket."""
        made = secrets.token_urlsafe(32)
        self._tickets.add(made)
        return made

    def opens(self, query: bytes) -> bool:
        """Tell whether the query of an address has the token, or a ticket: that is used then."""
        asked = parse_qs(query.decode("latin-1"))
        given = asked.get("ticket", [""])[-1]
        if given in self._tickets:
            self._tickets.discard(given)
            return True
        return self._is_token(asked.get("token", [""])[-1])

    def has_cookie(self, header: str) -> bool:
        """Tell whether a cookie header has the token."""
        try:
            held = SimpleCookie(header).get(self.cookie)
        except CookieError:
            return False
        return held is not None and self._is_token(held.value)

    def _is_token(self, given: str) -> bool:
        return compare_digest(given.encode(), self.token.encode())

    def set_cookie(self) -> bytes:
        """Return the header that gives a browser the token, for as long as it runs."""
        return f"{self.cookie}={self.token}; Path=/; HttpOnly; SameSite=Strict".encode()


class Door:
    """Lets in who has the token; what changes something must come from the server's own page.

    Parameters
    ----------
    app
        What is behind it.
    keys
        Who has one.
    """

    def __init__(self, app: App, keys: Keys) -> None:
        self.app, self.keys = app, keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer as the app does, or with 403."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        shown = scope["path"] == "/" and self.keys.opens(scope["query_string"])
        if not shown and not self.keys.has_cookie(headers.get(b"cookie", "")):
            await _refuse(send, _CLOSED)
        elif not _is_own(scope, headers, shown=shown):
            await _refuse(send, _FOREIGN)
        else:
            await self.app(scope, receive, self._giving_cookie(send) if shown else send)

    def _giving_cookie(self, send: Send) -> Send:
        async def send_with_cookie(message: Message) -> None:
            if message["type"] == "http.response.start":
                cookie = (b"set-cookie", self.keys.set_cookie())
                message["headers"] = [*message.get("headers", ()), cookie]
            await send(message)

        return send_with_cookie


def _is_own(scope: Scope, headers: dict[bytes, str], *, shown: bool) -> bool:
    """Tell whether a request is our page's: other ports are other origins, but the same site."""
    if scope["method"] in ("GET", "HEAD"):
        site = headers.get(b"sec-fetch-site", "none")  # not sent by scripts such as curl
        return site in ("same-origin", "none") or (
            scope["path"] == "/" and headers.get(b"sec-fetch-mode") == "navigate" and shown
        )
    own = f"{scope['scheme']}://{headers.get(b'host', '')}"
    is_json = headers.get(b"content-type", "").partition(";")[0].strip() == "application/json"
    return headers.get(b"origin") == own and is_json


async def _refuse(send: Send, sentence: str) -> None:
    body = sentence.encode()
    kind = (b"content-type", b"text/plain; charset=utf-8")
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": 403, "headers": [kind, length]})
    await send({"type": "http.response.body", "body": body})


def trusted_hosts(host: str, own_names: Iterable[str]) -> list[str]:
    """Return by which names a server may be asked for, so that no other's name leads to it.

    Parameters
    ----------
    host
        What it listens at.
    own_names
        Of this machine, where it listens at all of its addresses.
    """
    names = {"127.0.0.1", "localhost", "[::1]"}
    if host in ANYWHERE:
        names.update(own_names)
    else:
        names.add(f"[{host}]" if ":" in host else host)
    return sorted(names)
