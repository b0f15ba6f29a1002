"""CSV tables whose errors name the file and the line."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .errors import ExplGraphError, require
from .files import PathLike


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
        try:
            value = float(text)
        except ValueError:
            value = math.nan
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
        If the file is missing, empty, not UTF-8, names a column twice, or a line has too few or too
        many cells.
    """
    source = Path(path)
    require(source.is_file(), f"{source} is not a file")
    try:
        # "-sig": spreadsheets put a byte order mark before the header.
        text = source.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ExplGraphError(f"{source} is not a UTF-8 text file ({error})") from error
    reader = csv.reader(io.StringIO(text, newline=""))
    columns = tuple(cell.strip() for cell in next(reader, []))
    require(any(columns), f"{source} is empty: expected a header line with column names")
    require(len(set(columns)) == len(columns), f"{source}: a column is named twice in {columns}")
    rows = []
    for cells in reader:
        if not any(cell.strip() for cell in cells):
            continue
        where = f"{source}, line {reader.line_num}"
        require(
            len(cells) == len(columns),
            f"{where}: expected {len(columns)} cells ({','.join(columns)}), got {len(cells)}",
        )
        stripped = (cell.strip() for cell in cells)
        rows.append(Row(where, dict(zip(columns, stripped, strict=True))))
    return columns, rows
