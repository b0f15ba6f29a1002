"""What stands of a journal's lines: parts, and the answers that were not taken back."""

from __future__ import annotations

import re

from explgraph.base.errors import ExplGraphError, require, unknown_name

from .journal import Line
from .structures import Answer, Kind, PartLabel, StaleAnswer

_WORDS = {
    "here": "was clicked",
    "right": "was said to be right",
    "hidden": "was said not to be visible",
    "skipped": "was skipped",
    "undo": "had its answer taken back",
}


class Standing:
    """Parts and answers after some lines of a journal; one thread at a time."""

    def __init__(self) -> None:
        self.parts: dict[str, PartLabel] = {}
        self.revision = 0
        self._answers: list[Line] = []
        self._touched: dict[tuple[str, str], Line] = {}

    def follow(self, line: Line) -> None:
        """Go on to what stands after one more line.

        Raises
        ------
        ExplGraphError
            If the line does not follow from those before it.
        """
        if line.kind == "part":
            self.parts[line.part] = PartLabel(line.part, line.colour)
        elif line.kind == "undo":
            last = self.last()
            require(
                last is not None and last.revision == line.of,
                f"revision {line.revision} takes back {line.of}, which does not stand: the "
                "journal is of two files",
            )
            self._answers.pop()
        else:
            self.check_part(line.part)
            self._answers.append(line)
        self._touched[line.part, line.image] = line
        self.revision = line.revision

    def last(self) -> Line | None:
        """Return the last answer that was not taken back."""
        return self._answers[-1] if self._answers else None

    def check_part(self, name: str) -> None:
        """Raise `ExplGraphError` if there is no such part."""
        if name not in self.parts:
            raise unknown_name("part", name, self.parts, "add_part adds one")

    def check_fresh(self, part: str, image: str, revision: int | None) -> None:
        """Raise `StaleAnswer` if another answer of a photo's part came after a revision."""
        self._check_revision(revision)
        line = self._touched.get((part, image))
        if revision is not None and line is not None and line.revision > revision:
            raise StaleAnswer(
                f"the part {part!r} in {image!r} {_WORDS[line.kind]} meanwhile (revision "
                f"{line.revision}, the answer is of {revision}): look at it again"
            )

    def check_latest(self, revision: int | None) -> None:
        """Raise `StaleAnswer` if anything came after a revision."""
        self._check_revision(revision)
        if revision is not None and revision < self.revision:
            raise StaleAnswer(
                f"another answer was given meanwhile (revision {self.revision}, the last one seen "
                f"is {revision}), and would be taken back: look at it first"
            )

    def _check_revision(self, revision: int | None) -> None:
        require(
            revision is None or 0 <= revision <= self.revision,
            f"the session has revisions up to {self.revision}, the answer is of {revision}: it is "
            "of another session",
        )

    def answers(self, part: str) -> tuple[Answer, ...]:
        """Return the answers that stand for a part, one for each photo, the latest last."""
        self.check_part(part)
        found: dict[str, Line] = {}
        for line in self._answers:
            if line.part == part:
                found.pop(line.image, None)
                found[line.image] = line
        return tuple(_answer(line) for line in found.values())


def _answer(line: Line) -> Answer:
    kinds: dict[str, Kind] = {"here": "here", "right": "right", "hidden": "hidden"}
    kind = kinds.get(line.kind, "skipped")
    return Answer(line.image, kind, line.yx, line.size, line.revision)


def check_colour(colour: str) -> None:
    """Raise `ExplGraphError` unless this is a colour as pages have it."""
    require(
        re.fullmatch(r"#[0-9a-fA-F]{6}", colour) is not None,
        f"the colour of a part is like '#0072b2', got {colour!r}",
    )


def check_name(name: str) -> None:
    """Raise `ExplGraphError` if a part cannot be called so."""
    if not name.strip() or len(name) > _LONGEST or not name.isprintable():
        raise ExplGraphError(
            f"a part's name has 1 to {_LONGEST} printable characters, got {name!r}"
        )


_LONGEST = 100
