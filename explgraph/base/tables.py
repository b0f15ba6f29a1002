"""CSV tables: errors name the file and the line, and no name is a formula in a spreadsheet."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .errors import ExplGraphError, require
from .files import PathLike
from .foreign import decimal, read_text
from .writing import write_bytes

# What spreadsheets take for a formula, or skip before one. Apostrophes are told from ours by it.
_LIKE_FORMULA = re.compile(r"'*[=+\-@\uff1d\uff0b\uff0d\uff20\s]")
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?(e[+-]?[0-9]+)?")
_QUOTED = re.compile('[,"\r\n]')


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table.

    Attributes
    ----------
    where
        "FILE, line N", for messages.
    cells
        The line's text by column, without surrounding blanks.
    """

    where: str
    cells: Mapping[str, str]

    def text(self, column: str) -> str:
        """Return a cell that may not be empty."""
        value = self.cells[column]
        require(value != "", f"{self.where}: {column!r} is empty")
        return value

    def number(self, column: str) -> float:
        """Return a cell that must be a finite number."""
        text = self.text(column)
        value = decimal(text)
        require(
            math.isfinite(value), f"{self.where}: {column!r} must be a finite number, got {text!r}"
        )
        return value

    def optional_number(self, column: str) -> float:
        """Return a cell's number; NaN where the column is missing or the cell is empty."""
        return self.number(column) if self.cells.get(column) else math.nan


def read_table(path: PathLike) -> tuple[tuple[str, ...], list[Row]]:
    """Read a comma-separated table with a header line.

    Returns
    -------
    The column names, and the lines below the header. Blank lines are left out.

    Raises
    ------
    ExplGraphError
        If the file is missing, no regular one, empty, not UTF-8, names a column twice, or a line
        has too few or too many cells or one that is too long.
    """
    source = Path(path)
    lines = _lines(source)
    columns = tuple(cell.strip() for cell in next(lines, ("", []))[1])
    require(any(columns), f"{source} is empty: expected a header line with column names")
    require(len(set(columns)) == len(columns), f"{source}: a column is named twice in {columns}")
    rows = []
    for where, cells in lines:
        if not any(cell.strip() for cell in cells):
            continue
        require(
            len(cells) == len(columns),
            f"{where}: expected {len(columns)} cells ({','.join(columns)}), got {len(cells)}",
        )
        stripped = (unescaped(cell.strip()) for cell in cells)
        rows.append(Row(where, dict(zip(columns, stripped, strict=True))))
    return columns, rows


def _lines(source: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield where a line is, and its cells."""
    reader = csv.reader(io.StringIO(read_text(source), newline=""))
    try:
        for cells in reader:
            yield f"{source}, line {reader.line_num}", cells
    except csv.Error as error:
        raise ExplGraphError(f"{source}, line {reader.line_num}: {error}") from error


def write_table(
    path: PathLike, columns: Sequence[str], rows: Iterable[Sequence[str | float]]
) -> None:
    """Write a comma-separated table with a header line; `read_table` gives the same cells.

    Parameters
    ----------
    path
        The file; missing folders are made.
    columns
        Their names.
    rows
        For each line as many cells. NaN is an empty one. Text that a spreadsheet would take for a
        formula gets an apostrophe in front, see `escaped`.

    Raises
    ------
    ExplGraphError
        If a name is no text, as that of a file whose bytes are not UTF-8.
    """
    lines = (
        columns,
        *(["" if cell != cell else escaped(str(cell)) for cell in row] for row in rows),
    )
    # Not by `csv.writer`: before Python 3.13 it leaves a carriage return unquoted.
    text = "".join(",".join(map(_quoted, line)) + "\n" for line in lines)
    try:
        data = text.encode()
    except UnicodeEncodeError as error:
        shown = text[max(error.start - 40, 0) : error.end]
        raise ExplGraphError(
            f"{path} cannot hold a name, {shown!r}: its bytes are not UTF-8. Rename the file"
        ) from error
    write_bytes(path, data)


def _quoted(cell: str) -> str:
    return '"' + cell.replace('"', '""') + '"' if _QUOTED.search(cell) else cell


def escaped(cell: str) -> str:
    """Put an apostrophe before what a spreadsheet would take for a formula; numbers stay.

    >>> escaped("=1+1.png"), escaped("'=1"), escaped("-1.5"), escaped("'tis.png")
    ("'=1+1.png", "''=1", '-1.5', "'tis.png")
    """
    is_formula = _LIKE_FORMULA.match(cell) and not _NUMBER.fullmatch(cell)
    return f"'{cell}" if is_formula else cell


def unescaped(cell: str) -> str:
    """Take the apostrophe of `escaped` away; others are part of the text.

    >>> unescaped("'=1+1.png"), unescaped("''=1"), unescaped("-1.5"), unescaped("'tis.png")
    ('=1+1.png', "'=1", '-1.5', "'tis.png")
    """
    return cell[1:] if cell.startswith("'") and _LIKE_FORMULA.match(cell) else cell
