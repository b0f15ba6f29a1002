"""Text on pictures: in a font that has its letters, and cut or broken to fit."""

from __future__ import annotations

from functools import lru_cache

from PIL import ImageFont

from .dot import printable

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
