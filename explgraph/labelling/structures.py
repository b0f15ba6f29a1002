"""What a labelling session is asked and told, as small records."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from explgraph.base.errors import ExplGraphError

Kind = Literal["here", "right", "hidden", "skipped"]
"""Of an answer: clicked, a prediction that is right, not visible, asked about no more."""


class StaleAnswer(ExplGraphError):  # noqa: N818  what it is, to who catches it
    """An answer was given on what another answer has changed since: look at the photo again.

    Its message says which answer came between.
    """


@dataclass(frozen=True, slots=True)
class PartLabel:
    """A part that is labelled.

    Attributes
    ----------
    name
        Its name, e.g. "head".
    colour
        It is shown in, "#rrggbb".
    """

    name: str
    colour: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What a person said of one part in one photo.

    Attributes
    ----------
    image
        The photo's name.
    kind
        "here": clicked. "right": the prediction was. "hidden": it is not visible. "skipped": it is
        not asked about any more.
    yx
        The place in pixels of the upright photo, an integer being the centre of a pixel as in
        `Annotations`; None if hidden or skipped.
    size
        Full height and width in the same pixels; None where unknown.
    revision
        Of the session, since this answer.
    """

    image: str
    kind: Kind
    yx: tuple[float, float] | None
    size: tuple[float, float] | None
    revision: int


@dataclass(frozen=True, slots=True)
class Question:
    """A photo to ask about next.

    Attributes
    ----------
    image
        Its name.
    reason
        Why this one, in words.
    value
        What the answer is worth; compares photos of one call alone.
    """

    image: str
    reason: str
    value: float


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the labelling of a part is.

    Attributes
    ----------
    answered
        Photos with an answer, those that were skipped left out.
    photos
        All photos.
    expected_right
        The share of all photos whose place is expected to be right, within a tenth of the diagonal:
        answered ones are; of others the mean confidence. 0 before the first click.
    in_doubt
        Photos without an answer whose confidence is below a half; before the first click, all.
    """

    answered: int
    photos: int
    expected_right: float
    in_doubt: int
