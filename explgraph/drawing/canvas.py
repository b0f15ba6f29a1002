"""A picture to draw and write on, whatever the script."""

from __future__ import annotations

from functools import lru_cache

from PIL import Image, ImageDraw, ImageFont

from explgraph.base.text import printable

from .look import FAINT, INK, PAPER, RULE

LINE = 18
"""Height of a line of small print, pixels."""

_SMALL = 13  # font size of paragraphs


class Canvas:
    """A picture to write on; all places are (x, y) pixels from its top-left corner.

    Parameters
    ----------
    size
        (width, height), pixels.
    """

    def __init__(self, size: tuple[int, int]) -> None:
        self.image = Image.new("RGB", size, PAPER)
        self._draw = ImageDraw.Draw(self.image)

    def text(
        self, text: str, size: int, place: tuple[float, float], color: str, anchor: str = "la"
    ) -> None:
        """Write one line; ``anchor`` tells which point of it lies at the place, as Pillow does."""
        self._draw.text(place, text, fill=color, font=font_for(text, size), anchor=anchor)

    def paragraph(self, lines: list[str], place: tuple[float, float], color: str = FAINT) -> float:
        """Write lines of small print, as `paragraph_lines` gives them; return where they end."""
        x, y = place
        for line in lines:
            self.text(line, _SMALL, (x, y), color)
            y += LINE
        return y

    def rule(self, left: float, right: float, y: float, color: str = RULE) -> None:
        """Draw a thin level line."""
        self._draw.line((left, y, right, y), color)

    def fill(
        self, box: tuple[float, float, float, float], color: str, rim: str | None = None
    ) -> None:
        """Fill a box (left, top, right, bottom), its last pixels included."""
        self._draw.rectangle(box, color, rim)

    def outline(self, box: tuple[float, float, float, float], color: str) -> None:
        """Draw the outline of a box (left, top, right, bottom), one pixel wide."""
        self._draw.rectangle(box, outline=color)

    def ring(self, place: tuple[float, float], radius: int) -> None:
        """Draw the mark of a place: white on dark, so that it is seen on every photo."""
        x, y = place
        for r, width, color in ((radius + 1, 4, INK), (radius, 2, PAPER)):
            self._draw.ellipse((x - r, y - r, x + r - 1, y + r - 1), outline=color, width=width)

    def frame(self, box: tuple[float, float, float, float]) -> None:
        """Draw a thin frame (left, top, right, bottom) that is seen on every photo."""
        left, top, right, bottom = box
        self._draw.rectangle((left - 1, top - 1, right + 1, bottom + 1), outline=INK)
        self._draw.rectangle((left + 1, top + 1, right - 1, bottom - 1), outline=INK)
        self._draw.rectangle(box, outline=PAPER)

    def badge(self, place: tuple[float, float], text: str, color: str, radius: int) -> None:
        """Draw a round badge with a character or two on it, centred at a place."""
        (x, y), r = place, radius
        self._draw.ellipse((x - r, y - r, x + r, y + r), fill=color, outline=PAPER, width=2)
        self.text(text, radius + 2, (x, y), INK if is_pale(color) else PAPER, "mm")


def paragraph_lines(text: str, width: float) -> list[str]:
    """Break text into lines of small print, at most ``width`` pixels wide."""
    lines = wrapped(text, font_for(text, _SMALL), width)
    return [fitted(line, _SMALL, width) for line in lines]


def is_pale(color: str) -> bool:
    """Tell whether dark text is easier to read on a colour "#RRGGBB" than white text."""
    red, green, blue = (int(color[i : i + 2], 16) for i in (1, 3, 5))
    return 0.299 * red + 0.587 * green + 0.114 * blue > 140


Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

# Pillow's own font has little more than ASCII. Of these, Pillow finds what the machine has.
_OTHERS = (
    "DejaVuSans.ttf",
    "NotoSans-Regular.ttf",
    "NotoSansCJK-Regular.ttc",
    "Arial.ttf",
    "Arial Unicode.ttf",
    "msyh.ttc",
    "Hiragino Sans GB.ttc",
)
_UNASSIGNED = "\U0010ffff"


def font_for(text: str, size: int) -> Font:
    """Return the font that has the most of a text's letters; of equal ones, Pillow's own first.

    Texts in ASCII look the same on every machine; names in other scripts need a font that has them,
    and show boxes without one.
    """
    own = ImageFont.load_default(size)
    if text.isascii():
        return own
    letters = sorted(set(text))
    fonts: list[Font] = [own]
    fonts += [font for name in _OTHERS if (font := _installed(name, size)) is not None]
    return min(fonts, key=lambda font: _missing(font, letters))


@lru_cache(maxsize=64)
def _installed(name: str, size: int) -> Font | None:
    try:
        return ImageFont.truetype(name, size)
    except OSError:
        return None


def _missing(font: Font, letters: list[str]) -> int:
    """Count the letters that a font draws as it draws what no font has: as a box."""
    box = _drawn(font, _UNASSIGNED)
    return sum(_drawn(font, letter) == box for letter in letters)


def _drawn(font: Font, letter: str) -> tuple[tuple[int, int], bytes]:
    mask = font.getmask(letter)
    return mask.size, bytes(mask)


def wrapped(text: str, font: Font, width: float) -> list[str]:
    """Break text into lines of at most ``width`` pixels."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".lstrip()
        if font.getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def fitted(text: str, size: int, room: float) -> str:
    """Make text one printable line; cut its beginning if it is wider than the room for it.

    What tells the filters of one network apart stands at the end of their names.
    """
    shown = " ".join(printable(text).split())
    font = font_for(shown, size)
    if font.getlength(shown) <= room:
        return shown
    start, stop = 1, len(shown)  # where the end that is kept begins
    while start < stop:
        middle = (start + stop) // 2
        if font.getlength(f"…{shown[middle:]}") <= room:
            stop = middle
        else:
            start = middle + 1
    return f"…{shown[start:]}"
