"""The studio's server: on this machine, for who has its address."""

from __future__ import annotations

import ipaddress
import logging
import socket
import threading
import webbrowser
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from explgraph.base.errors import ExplGraphError, import_extra

from .app import Studio, create_app
from .door import ANYWHERE, Keys, trusted_hosts

_log = logging.getLogger("explgraph")
_GRACE = 2  # seconds that answers under way may take when the server ends


def is_loopback(host: str) -> bool:
    """Tell whether only this machine reaches a server there.

    >>> is_loopback("127.0.0.1"), is_loopback("localhost"), is_loopback("0.0.0.0")
    (True, True, False)
    """
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True, slots=True)
class Place:
    """Where a studio listens, and what opens it.

    Attributes
    ----------
    host, port
        Of the server.
    keys
        Its token.
    stop
        Ends the server; any thread may call it.
    """

    host: str
    port: int
    keys: Keys
    stop: Callable[[], None]

    def _address(self, everywhere: str, query: str) -> str:
        host = everywhere if self.host in ANYWHERE else self.host
        return f"http://{_bracketed(host)}:{self.port}/?{query}"

    @property
    def address(self) -> str:
        """The whole address, with the token: one by which others reach it, if they do."""
        return self._address(socket.gethostname(), f"token={self.keys.token}")

    def one_time_address(self) -> str:
        """Return an address that opens the page once, on this machine."""
        return self._address("127.0.0.1", f"ticket={self.keys.ticket()}")


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=128)
    except (OSError, OverflowError) as error:
        raise ExplGraphError(
            f"the studio cannot listen at {host}, port {port} ({error}): another program may use "
            "the port. Leave out --port, which takes a free one, or give another"
        ) from error


def serve(
    studio: Studio,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    opened: Callable[[Place], None] = lambda _: None,
) -> None:
    """Serve a studio until it is interrupted.

    Parameters
    ----------
    studio
        What the page shows.
    host, port
        Where to listen. A host that other machines reach is warned of.
    opened
        Called when the server listens.

    Raises
    ------
    ExplGraphError
        If Starlette or uvicorn is not installed, or the port is taken.
    """
    uvicorn = import_extra("uvicorn", "studio")
    if not is_loopback(host):
        _log.warning(
            "the studio is reached from other machines at %s: whoever sees its address can see "
            "the photos and answer, and nothing between is encrypted",
            host,
        )
    with _listening(host, port) as listener:
        number = listener.getsockname()[1]
        keys = Keys(number)
        server = _server(uvicorn, create_app(studio, keys, _hosts(host)))

        def stop() -> None:
            server.should_exit = True

        opened(Place(host, number, keys, stop))  # it listens: who comes now waits for a moment
        try:
            server.run(sockets=[listener])
        finally:
            studio.looks.jobs.close()


def _server(uvicorn: Any, app: Any) -> Any:  # noqa: ANN401  an extra's types
    config = uvicorn.Config(
        app,
        log_config=None,  # an access log would hold the token
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ws="none",
        lifespan="off",
        http="h11",
        loop="asyncio",
        timeout_graceful_shutdown=_GRACE,
    )
    return uvicorn.Server(config)


def _hosts(host: str) -> list[str]:
    return trusted_hosts(host, () if is_loopback(host) else _own_names())


def _own_names() -> set[str]:
    """Return the names and addresses of this machine."""
    name = socket.gethostname()
    names = {name, socket.getfqdn()}
    with suppress(OSError):
        names.update(str(entry[4][0]) for entry in socket.getaddrinfo(name, None))
    return {_bracketed(one) for one in names}


def open_browser(place: Place) -> None:
    """Open the page in the user's browser, beside what is going on."""
    address = place.one_time_address()
    threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
