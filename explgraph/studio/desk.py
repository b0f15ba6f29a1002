"""What the page is told of a labelling session, and what it may say to it.

Photos and parts go by their number. Places are shares of a photo as it is shown, that is of what a
box cuts out where there is one: (0, 0) is its upper left corner, (1, 1) the lower right one.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from msgspec import Meta, Struct

from explgraph.base.arrays import F8
from explgraph.base.json_text import decode_json
from explgraph.base.text import one_line
from explgraph.labelling.session import LabelSession
from explgraph.photos.images import ImageSource

from .replies import WRONG, RefusedError, Reply, attachment, json_reply, whole

_FINE = 10_000  # places are sent as whole numbers of this share
_SHARE = 1_000  # and how sure they are of this one
_NAME, _MOST_PARTS = 80, 100

FORMATS = {
    "coco": ("COCO key points", "keypoints.json", "application/json"),
    "csv": ("CSV table", "places.csv", "text/csv"),
    "cvat": ("CVAT XML", "cvat.xml", "application/xml"),
    "label-studio": ("Label Studio JSON", "label-studio.json", "application/json"),
}
"""By the name that `LabelSession.export` knows: what people call it, its file, its MIME type."""

_Share = Annotated[float, Meta(ge=-1.0, le=2.0)]
_Number = Annotated[int, Meta(ge=0, le=2**53)]


class _Said(Struct, forbid_unknown_fields=True):
    """An answer: ``at`` (y, x) is where it was clicked, or where the right place was shown."""

    kind: Literal["here", "right", "hidden", "skipped"]
    part: _Number
    image: _Number
    revision: _Number
    at: tuple[_Share, _Share] | None = None


class _Undo(Struct, forbid_unknown_fields=True):
    revision: _Number


class _NewPart(Struct, forbid_unknown_fields=True):
    name: str
    colour: Annotated[str, Meta(pattern="^#[0-9a-fA-F]{6}$")] | None = None


class _Export(Struct, forbid_unknown_fields=True):
    format: str
    predictions: bool = True


class Desk:
    """A session as the page sees it; any thread may call any method.

    Parameters
    ----------
    session
        What is labelled.
    source
        Its photos, in its order.
    """

    def __init__(self, session: LabelSession, source: ImageSource) -> None:
        self.session, self.source = session, source
        self._row = {name: row for row, name in enumerate(session.images)}
        self._regions = self._cut_out()

    @property
    def folder(self) -> Path:
        """Where the session is."""
        return Path(self.session.folder)

    def _cut_out(self) -> F8:
        """Return (N, 4): top, left, height and width of what is shown, pixels of the photo."""
        sizes, regions = self.session.photo_sizes, []
        for item in self.source.items:
            height, width = sizes[item.name]
            if item.box is None:
                regions.append((0, 0, height, width))
            else:
                y0, x0, y1, x1 = item.box.pixels(height, width)
                regions.append((y0, x0, y1 - y0, x1 - x0))
        return np.array(regions, dtype=np.float64).reshape(-1, 4)

    def state(self) -> dict[str, Any]:
        """Return what does not change, but for parts that are added."""
        names = [one_line(name) for name in self.session.images]
        version = hashlib.sha256("\n".join([str(self.folder), *names]).encode()).hexdigest()
        return {
            "version": version[:12],
            "images": names,
            "sizes": self._regions[:, :1:-1].astype(int).ravel().tolist(),
            "folder": one_line(self.folder.name),
            "formats": [{"name": key, "label": words[0]} for key, words in FORMATS.items()],
            **self.news(),
        }

    def news(self) -> dict[str, Any]:
        """Return what tells a page whether anything was said since it last looked."""
        return {
            "revision": self.session.revision,
            "parts": [
                {"name": one_line(part.name), "colour": part.colour} for part in self.session.parts
            ],
        }

    def part(self, number: str) -> dict[str, Any]:
        """Return what is said of a part, and what follows for all photos."""
        name = self._part(number)
        revision = self.session.revision  # before the rest: what comes meanwhile counts as news
        answers = self.session.answers(name)
        where = self.session.predictions(name)
        progress = self.session.progress(name)
        rows = [self._row[answer.image] for answer in answers]
        shape = self._regions[rows, 2:]
        given = np.array([answer.yx or (np.nan, np.nan) for answer in answers], dtype=np.float64)
        shares = (given.reshape(-1, 2) + 0.5 - self._regions[rows, :2]) / shape
        said: dict[str, Any] = {
            "revision": revision,
            "answers": {
                "image": rows,
                "kind": [answer.kind for answer in answers],
                "at": _fine(shares),
            },
            "places": None,
            "progress": {
                "answered": progress.answered,
                "photos": progress.photos,
                "right": round(progress.expected_right, 4),
                "doubt": progress.in_doubt,
            },
        }
        if where is not None:
            whole_photo = self._whole()
            shares = (where.yx * whole_photo - self._regions[:, :2]) / self._regions[:, 2:]
            said["places"] = {
                "at": _fine(shares),
                "sure": np.rint(where.confidence * _SHARE).astype(int).tolist(),
                "seen": where.visible.astype(int).tolist(),
            }
        return said

    def _whole(self) -> F8:
        """Return (N, 2) the whole photos' heights and widths, pixels."""
        sizes = self.session.photo_sizes
        return np.array([sizes[name] for name in self.session.images], dtype=np.float64)

    def questions(self, number: str, count: int) -> dict[str, Any]:
        """Return which photos to ask about next, the best first."""
        name = self._part(number)
        revision = self.session.revision
        asked = self.session.next(name, count)
        return {
            "revision": revision,
            "image": [self._row[question.image] for question in asked],
            "reason": [question.reason for question in asked],
        }

    def answer(self, body: bytes) -> Reply:
        """Take an answer; it is on the disk when this returns."""
        said: _Said = decode_json(body, "the answer", _Said)
        part, image = self._part(said.part), self._image(said.image)
        if said.kind == "here":
            if said.at is None:
                raise RefusedError(WRONG, "the answer lacks the place that was clicked")
            at = self._pixels(said.image, said.at)
            revision = self.session.click(part, image, at, revision=said.revision)
        elif said.kind == "right":
            place = None if said.at is None else self._pixels(said.image, said.at)
            revision = self.session.accept(part, image, yx=place, revision=said.revision)
        else:
            say = self.session.hide if said.kind == "hidden" else self.session.skip
            revision = say(part, image, revision=said.revision)
        return json_reply({"revision": revision})

    def _pixels(self, row: int, share: tuple[float, float]) -> tuple[float, float]:
        """Return a place in pixels of the photo, integers being the centres of pixels."""
        top, left, height, width = self._regions[row].tolist()
        y, x = (min(max(value, 0.0), 1.0) for value in share)
        return top + y * height - 0.5, left + x * width - 0.5

    def undo(self, body: bytes) -> Reply:
        """Take the last answer back, and tell whose it was."""
        said: _Undo = decode_json(body, "the wish to undo", _Undo)
        before = self._said_last()
        revision = self.session.undo(revision=said.revision)
        return json_reply({"revision": revision, **before})

    def _said_last(self) -> dict[str, Any]:
        """Return part and photo of the last answer that stands."""
        newest: tuple[int, dict[str, Any]] = (-1, {})
        for number, part in enumerate(self.session.parts):
            for answer in self.session.answers(part.name):
                if answer.revision > newest[0]:
                    newest = answer.revision, {"part": number, "image": self._row[answer.image]}
        return newest[1]

    def add_part(self, body: bytes) -> Reply:
        """Add a part, and return its number."""
        said: _NewPart = decode_json(body, "the new part", _NewPart)
        name = one_line(said.name).strip()
        known = [part.name for part in self.session.parts]
        if not 0 < len(name) <= _NAME:
            raise RefusedError(WRONG, f"a part's name has 1 to {_NAME} letters")
        if name in known:
            raise RefusedError(WRONG, f"there is a part {name!r} already")
        if len(known) >= _MOST_PARTS:
            raise RefusedError(
                WRONG, f"there are {_MOST_PARTS} parts already: begin another session"
            )
        self.session.add_part(name, said.colour)
        return json_reply({"part": len(known), **self.news()})

    def export(self, body: bytes) -> Reply:
        """Write what is known into the session's folder, fitted from nothing before."""
        said: _Export = decode_json(body, "what to export", _Export)
        path = self._exported(said.format)
        if said.predictions and any(
            answer.kind == "here"
            for part in self.session.parts
            for answer in self.session.answers(part.name)
        ):
            self.session.settle()
        self.session.export(path, format=said.format, predictions=said.predictions)
        return json_reply({"file": str(path), "name": path.name, "bytes": path.stat().st_size})

    def exported(self, key: str) -> Reply:
        """Return the file that `export` wrote last, for the browser to keep."""
        path = self._exported(key)
        if not path.is_file():
            raise RefusedError(404, f"{path.name} was not exported yet")
        return Reply(path.read_bytes(), FORMATS[key][2], headers=attachment(path.name))

    def _exported(self, key: str) -> Path:
        if key not in FORMATS:
            raise RefusedError(404, f"there is no format {key!r}: there are {', '.join(FORMATS)}")
        return self.folder / FORMATS[key][1]

    def _part(self, number: str | int) -> str:
        parts = self.session.parts
        return parts[whole(number, len(parts), "part")].name

    def _image(self, number: int) -> str:
        return self.session.images[whole(number, len(self.session.images), "photo")]


def _fine(shares: F8) -> list[int | None]:
    """Return (n, 2) places as 2n whole numbers, y before x; NaN is null."""
    kept = np.clip(np.nan_to_num(shares, nan=0.0), -1, 2)
    flat = np.rint(kept * _FINE).astype(int).ravel().tolist()
    known = ~np.isnan(shares).ravel()
    return [value if ok else None for value, ok in zip(flat, known, strict=True)]
