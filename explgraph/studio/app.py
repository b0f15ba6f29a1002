"""The studio as a web application: which address is answered by what.

Starlette carries requests to functions that know nothing of it. Those that change something are
POST, everything else GET; all run in threads, since a refit or a photo takes its time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib.resources import files
from typing import TYPE_CHECKING, NamedTuple

from explgraph.base.errors import ExplGraphError, import_extra
from explgraph.photos.decoding import UnreadableImageError

from .desk import Desk
from .door import Door, Headers, Keys
from .looking import Looks
from .pictures import Pictures
from .replies import MISSING, WRONG, RefusedError, Reply, error_reply, json_reply, whole

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

_LARGEST = 2**16  # bytes of what a page says
_QUESTIONS = 8  # photos that are asked about next, told at a time
_MEDIA = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_FOR_LONG = {"cache-control": "private, max-age=86400"}


class Asked(NamedTuple):
    """A request: the numbers or names in its path, and its body."""

    path: dict[str, str]
    body: bytes


Answer = Callable[[Asked], Reply]


def assets() -> dict[str, Reply]:
    """Return the page's own files by name; no others can be asked for."""
    folder = files(__package__).joinpath("assets")
    return {
        entry.name: Reply(entry.read_bytes(), _MEDIA[entry.name[entry.name.rindex(".") :]])
        for entry in folder.iterdir()
        if entry.name.endswith(tuple(_MEDIA))
    }


class Studio(NamedTuple):
    """What is behind the addresses."""

    desk: Desk
    pictures: Pictures
    looks: Looks
    command: str = "explgraph studio"
    """How the studio is started again."""


def create_app(studio: Studio, keys: Keys, hosts: Iterable[str]) -> Starlette:
    """Make the application.

    Parameters
    ----------
    studio
        What it shows.
    keys
        Who may come in.
    hosts
        The names by which the server may be asked for.

    Raises
    ------
    ExplGraphError
        If Starlette is not installed.
    """
    import_extra("starlette", "studio")
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    return Starlette(
        routes=_routes(studio),
        middleware=[
            Middleware(Headers),
            Middleware(TrustedHostMiddleware, allowed_hosts=list(hosts), www_redirect=False),
            Middleware(Door, keys),
        ],
    )


def _routes(studio: Studio) -> list[Route]:
    desk, pictures, looks = studio.desk, studio.pictures, studio.looks
    own, count = assets(), len(desk.session.images)

    def asset(asked: Asked) -> Reply:
        if asked.path["name"] not in own:
            raise RefusedError(MISSING, f"there is no file {asked.path['name']!r}")
        return own[asked.path["name"]]

    def photo(make: Callable[[int], bytes]) -> Answer:
        def answer(asked: Asked) -> Reply:
            jpeg = make(whole(asked.path["image"], count, "photo"))
            return Reply(jpeg, "image/jpeg", headers=_FOR_LONG)

        return answer

    gets: dict[str, Answer] = {
        "/": lambda _: own["studio.html"],
        "/assets/{name}": asset,
        "/api/state": lambda _: json_reply({**desk.state(), "command": studio.command}),
        "/api/news": lambda _: json_reply(desk.news()),
        "/api/parts/{part:int}": lambda asked: json_reply(desk.part(asked.path["part"])),
        "/api/parts/{part:int}/next": lambda asked: json_reply(
            desk.questions(asked.path["part"], _QUESTIONS)
        ),
        "/api/exports/{format}": lambda asked: desk.exported(asked.path["format"]),
        "/api/looks": lambda _: json_reply(looks.offers()),
        "/api/work/{number:int}": lambda asked: json_reply(
            looks.jobs.get(int(asked.path["number"])).to_json()
        ),
        "/api/work/{number:int}/result": lambda asked: looks.jobs.result(int(asked.path["number"])),
        "/photos/{image:int}/thumbnail": photo(pictures.thumbnail),
        "/photos/{image:int}/large": photo(pictures.large),
    }
    posts: dict[str, Answer] = {
        "/api/answers": lambda asked: desk.answer(asked.body),
        "/api/undo": lambda asked: desk.undo(asked.body),
        "/api/parts": lambda asked: desk.add_part(asked.body),
        "/api/exports": lambda asked: desk.export(asked.body),
        "/api/work": lambda asked: looks.begin(asked.body),
        "/api/work/{number:int}/leave": lambda asked: _leave(looks, asked),
    }
    return [
        *(_route(path, "GET", answer) for path, answer in gets.items()),
        *(_route(path, "POST", answer) for path, answer in posts.items()),
    ]


def _leave(looks: Looks, asked: Asked) -> Reply:
    job = looks.jobs.get(int(asked.path["number"]))
    job.leave()
    return json_reply(job.to_json())


def _route(path: str, method: str, answer: Answer) -> Route:
    """Answer an address by a function, in a thread; errors become their sentence and status."""
    from starlette.concurrency import run_in_threadpool
    from starlette.responses import Response
    from starlette.routing import Route

    async def endpoint(request: Request) -> Response:
        reply = await run_in_threadpool(
            _answered, answer, Asked(request.path_params, await _body(request))
        )
        return Response(reply.body, reply.status, dict(reply.headers), reply.media)

    return Route(path, endpoint, methods=[method])


async def _body(request: Request) -> bytes:
    """Return what a page says, as far as it is not too long."""
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > _LARGEST:
            return b"too long"  # which is no JSON: refused as that
    return bytes(body)


def _answered(answer: Answer, asked: Asked) -> Reply:
    try:
        return answer(asked)
    except UnreadableImageError as error:
        return error_reply(RefusedError(MISSING, str(error)))
    except (ExplGraphError, RefusedError) as error:
        return error_reply(error)
    except OSError as error:
        return error_reply(RefusedError(WRONG, f"{error.strerror or error}: try again"))
