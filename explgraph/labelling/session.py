"""A labelling session: answers of people, and what follows for all other photos."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from threading import RLock
from types import TracebackType
from typing import Any, Self

import numpy as np

from aog import Localizations, PartConfig, Parts
from explgraph.base.errors import ExplGraphError, require, unknown_name
from explgraph.base.files import PathLike
from explgraph.base.running.lock import only_run
from explgraph.drawing.look import many_color
from explgraph.graphs.graph import ExplanatoryGraph
from explgraph.graphs.matches import Matches
from explgraph.photos.annotations import Annotations
from explgraph.photos.part_places import PartPlaces, joined
from explgraph.photos.place_files import place_format, write_places

from .contents import Contents
from .exporting import to_annotations, with_answers
from .folder import ANSWERS, Material, check_material, holds_session, read_folder, write_folder
from .journal import Journal, Line
from .predicting import Predictor
from .standing import Standing, check_colour, check_name
from .structures import Answer, PartLabel, Progress, Question


class LabelSession(Contents):
    """Parts that are labelled in photos, one answer at a time, and predicted in all others.

    It lives in a folder, and belongs to one process at a time; any thread of it may call any
    method. An answer is on the disk before the method that gives it returns, and only then counts.
    Places are in pixels of the upright photo, an integer being the centre of a pixel, as in
    `Annotations`.

    `create` makes a session, `open` goes on with one. It is closed by `close`, or as a context
    manager; then another process may open it.

    Examples
    --------
    >>> found = eg.match(graph, net, "photos/zebra", views=True)  # doctest: +SKIP
    >>> session = eg.LabelSession.create("labels", graph, found, parts=["head"])  # doctest: +SKIP
    >>> (question,) = session.next("head")  # doctest: +SKIP
    >>> session.click("head", question.image, (120, 80))  # doctest: +SKIP
    2
    >>> session.predictions("head").table  # doctest: +SKIP
    >>> session.export("heads.csv")  # doctest: +SKIP
    """

    def __init__(self, folder: PathLike, made: Material, journal: Journal, held: ExitStack) -> None:
        super().__init__(folder, made)
        self._journal, self._standing = journal, Standing()
        self._row = {name: row for row, name in enumerate(made.found.images)}
        for line in journal.lines:
            self._check_line(line)
            self._standing.follow(line)
        self._predictor = Predictor(made.graph, made.found, made.config)
        self._lock = RLock()
        held.callback(journal.close)
        self._close = weakref.finalize(self, held.close)

    @classmethod
    def create(
        cls,
        folder: PathLike,
        graph: ExplanatoryGraph,
        found: Matches,
        *,
        parts: Sequence[str] = (),
        photos: PathLike | None = None,
        config: PartConfig | None = None,
    ) -> Self:
        """Make a session in a folder that holds none.

        Parameters
        ----------
        folder
            Gets all that the session needs but the photos themselves.
        graph
            A mined graph.
        found
            Its matches in the photos that are to be labelled, ``match(..., views=True)``.
        parts
            Names of parts; `add_part` adds others.
        photos
            Where the photos are, for who shows them.
        config
            How parts are fitted; None takes the defaults.

        Raises
        ------
        ExplGraphError
            If the folder holds a session, or the matches are those of another graph, have no views
            or do not tell how large photos are.
        """
        where = None if photos is None else str(photos)
        made = Material(graph, found, where, config or PartConfig())
        check_material(made)
        for name in parts:
            check_name(name)
        with ExitStack() as stack:
            stack.enter_context(only_run(folder))
            require(
                not holds_session(folder) and not (Path(folder) / ANSWERS).exists(),
                f"{folder} holds a labelling session already: open it (LabelSession.open), or "
                "give another folder",
            )
            write_folder(folder, made)
            session = cls(folder, made, Journal(Path(folder) / ANSWERS), stack.pop_all())
        for name in parts:
            session.add_part(name)
        return session

    @classmethod
    def open(cls, folder: PathLike, *, writable: bool = True) -> Self:
        """Go on with the session that a folder holds.

        Parameters
        ----------
        folder
            As of `create`.
        writable
            False: answers are read, and none can be given. Another process may have the session
            open meanwhile; its later answers are not seen.

        Raises
        ------
        ExplGraphError
            If there is none, another process has it open, or a file is damaged. An answer that was
            not written whole, and so never confirmed, is left out, and a warning is logged.
        """
        with ExitStack() as stack:
            require(Path(folder).is_dir(), f"{folder} is not a folder: expected that of a session")
            if writable and holds_session(folder):
                stack.enter_context(only_run(folder))
            made = read_folder(folder)
            journal = Journal(Path(folder) / ANSWERS, writable=writable)
            stack.callback(journal.close)
            return cls(folder, made, journal, stack.pop_all())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let another process have the folder; no answers can be given any more."""
        with self._lock:
            self._close()

    # -- what there is

    @property
    def parts(self) -> tuple[PartLabel, ...]:
        """The parts, in the order in which they were added."""
        with self._lock:
            return tuple(self._standing.parts.values())

    @property
    def revision(self) -> int:
        """How often something was said: parts that were added, answers, and answers taken back."""
        with self._lock:
            return self._standing.revision

    def answers(self, part: str) -> tuple[Answer, ...]:
        """Return the answers that stand, one for each photo that has one, the latest last.

        Raises
        ------
        ExplGraphError
            If there is no such part; so do all methods that are given one.
        """
        with self._lock:
            return self._standing.answers(part)

    # -- answers

    def add_part(self, name: str, colour: str | None = None) -> int:
        """Add a part, or give one another colour; return the new revision.

        Parameters
        ----------
        name
            Its name.
        colour
            "#rrggbb"; None: one that the others do not have.
        """
        check_name(name)
        with self._lock:
            if colour is None:
                colour = many_color(len(self._standing.parts))
            check_colour(colour)
            return self._say(kind="part", part=name, colour=colour.lower())

    def click(
        self,
        part: str,
        image: str,
        yx: Sequence[float],
        size: Sequence[float] | None = None,
        *,
        revision: int | None = None,
    ) -> int:
        """Say that a part is here: a new pose of it to learn from. Return the new revision.

        Parameters
        ----------
        part, image
            Their names.
        yx
            The part's centre, pixels of the photo.
        size
            Its full height and width; None where unknown.
        revision
            That of the session when the photo was looked at; None: the answer counts anyhow.

        Raises
        ------
        StaleAnswer
            If another answer for this part of this photo came since that revision.
        ExplGraphError
            If part or image is unknown, the place lies outside of the photo, nothing can be learnt
            there, or the answer cannot be written: then it does not count.
        """
        with self._lock:
            self._check(part, image, revision)
            place, full = _pair("yx", yx), None if size is None else _pair("size", size)
            self._predictor.check_click(part, image, place, full)
            return self._say(kind="here", part=part, image=image, yx=place, size=full)

    def accept(
        self,
        part: str,
        image: str,
        *,
        yx: Sequence[float] | None = None,
        revision: int | None = None,
    ) -> int:
        """Say that a prediction is right; return the new revision.

        The photo then has an answer, but nothing new is learnt from it: `click` does that.

        Parameters
        ----------
        part, image, revision
            As of `click`.
        yx
            The place as it was shown, pixels of the photo; None: the prediction as it is now.

        Raises
        ------
        ExplGraphError
            As `click`, and if nothing is predicted yet.
        """
        with self._lock:
            self._check(part, image, revision)
        place, full = self._predicted(part, image)  # others may answer while it is computed
        place = place if yx is None else _pair("yx", yx)
        with self._lock:
            self._check(part, image, revision)
            self._predictor.check_inside(part, image, place)
            return self._say(kind="right", part=part, image=image, yx=place, size=full)

    def hide(self, part: str, image: str, *, revision: int | None = None) -> int:
        """Say that a part is not visible in a photo; return the new revision.

        Parameters and errors as of `click`.
        """
        with self._lock:
            self._check(part, image, revision)
            return self._say(kind="hidden", part=part, image=image)

    def skip(self, part: str, image: str, *, revision: int | None = None) -> int:
        """Ask about a part in a photo no more; return the new revision.

        Parameters and errors as of `click`.
        """
        with self._lock:
            self._check(part, image, revision)
            return self._say(kind="skipped", part=part, image=image)

    def undo(self, *, revision: int | None = None) -> int:
        """Take back the last answer that was not taken back yet; return the new revision.

        Raises
        ------
        StaleAnswer
            If anything was said since that revision.
        ExplGraphError
            If there is no answer, or it cannot be written that it is taken back.
        """
        with self._lock:
            self._standing.check_latest(revision)
            last = self._standing.last()
            if last is None:
                raise ExplGraphError("there is no answer to take back")
            return self._say(kind="undo", part=last.part, image=last.image, of=last.revision)

    # -- what follows

    def predictions(self, part: str) -> Localizations | None:
        """Return where a part is in all N photos by what was clicked so far; None before that.

        Other than answers say, see `answers`: they are not put in. As `locate` does, but for what
        `settle` says.
        """
        return self._predictor.predictions(part, self.answers(part))

    def next(self, part: str, n: int = 1) -> tuple[Question, ...]:
        """Return which photos to ask about next, best first: at most ``n``, none with an answer."""
        return self._predictor.questions(part, self.answers(part), n)

    def progress(self, part: str) -> Progress:
        """Return how far the labelling of a part is."""
        return self._predictor.progress(part, self.answers(part))

    def settle(self, part: str | None = None) -> Parts:
        """Fit parts from nothing, as `fit_parts` does, and predict with them.

        While answers come in, parts are fitted in increments, which moves few places, and little.
        After this, `predictions` are those of `locate`, to the last byte, until the next answer.

        Parameters
        ----------
        part
            A part's name; None: all that were clicked.

        Returns
        -------
        The parts, as `fit_parts` makes them of the same clicks.

        Raises
        ------
        ExplGraphError
            If nothing was clicked.
        """
        names = [label.name for label in self.parts] if part is None else [part]
        return self._predictor.settle({name: self.answers(name) for name in names})

    def annotations(self, part: str | None = None) -> Annotations:
        """Return all places that a person clicked or found right, of a part or of all."""
        with self._lock:
            names = [label.name for label in self.parts] if part is None else [part]
            return to_annotations({name: self.answers(name) for name in names})

    def export(
        self, path: PathLike, *, format: str | None = None, predictions: bool = True
    ) -> None:
        """Write what is known of all parts to a file for other tools.

        Parameters
        ----------
        path
            The file: ``.csv``, ``.json`` or ``.xml``.
        format
            "csv", "coco" (key points), "cvat" or, also a ``.json``, "label-studio". Default: by the
            path's ending. docs/files.md says what each of them holds.
        predictions
            Whether photos without an answer get the place that is predicted; else answers alone are
            written.

        Raises
        ------
        ExplGraphError
            If there is no such format, the ending is another, the file cannot be written, or
            nothing is known yet.
        """
        place_format(path, format)
        places = self.places(predictions=predictions)
        require(
            len(places) > 0, "there is nothing to export yet: click a part in one photo at least"
        )
        write_places(path, places, self.photo_sizes, format, self.photos)

    def places(self, *, predictions: bool = True) -> PartPlaces:
        """Return what is known of all parts: answers, and predictions for the other photos.

        Parameters
        ----------
        predictions
            False: answers alone.
        """
        each = []
        for label in self.parts:
            answers = self.answers(label.name)
            where = self._predictor.predictions(label.name, answers) if predictions else None
            each.append(with_answers(label.name, answers, where, self.photo_sizes))
        return joined(each, self.images)

    # --

    def _say(self, **said: Any) -> int:  # noqa: ANN401  the fields of a line
        line = Line(revision=self._standing.revision + 1, **said)
        self._journal.add(line)
        self._standing.follow(line)
        return self._standing.revision

    def _check(self, part: str, image: str, revision: int | None) -> None:
        self._standing.check_part(part)
        if image not in self._row:
            raise unknown_name("photo", image, self.images)
        self._standing.check_fresh(part, image, revision)

    def _check_line(self, line: Line) -> None:
        require(
            line.kind == "part" or line.image in self._row,
            f"{self.folder / ANSWERS}, line {line.revision}: there is no photo {line.image!r} in "
            "this session. Put back the journal that belongs to it",
        )

    def _predicted(
        self, part: str, image: str
    ) -> tuple[tuple[float, float], tuple[float, float] | None]:
        """Return place and size of a prediction, pixels."""
        where = self._predictor.predictions(part, self.answers(part))
        if where is None:
            raise ExplGraphError(
                f"nothing is predicted for {part!r} yet: click it in a photo first"
            )
        row = self._row[image]
        shape = np.array(self.photo_sizes[image], dtype=np.float64)
        y, x = (where.yx[row] * shape - 0.5).tolist()
        height, width = (where.size[row] * shape).tolist()
        return (y, x), None if np.isnan(height + width) else (height, width)


def _pair(name: str, values: Sequence[float]) -> tuple[float, float]:
    pair = tuple(float(value) for value in values)
    require(
        len(pair) == 2 and bool(np.isfinite(pair).all()),
        f"{name} must be two numbers, along y and x, got {values!r}",
    )
    return pair[0], pair[1]
