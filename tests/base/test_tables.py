"""Tables of names that spreadsheets would run, written and read again."""

import csv
import itertools

import pytest

from explgraph.base.errors import ExplGraphError
from explgraph.base.tables import escaped, read_table, unescaped, write_table

FORMULAS = (
    '=HYPERLINK("http://x","y")', "=1+1.png", "+1+1", "-2+3", "@SUM(1)", "\t=1", "\r=1", "\n=1",
    " =1", "\uff1d1+1", "\uff0b1", "\uff0d1", "\uff201", "-", "=",
)  # fmt: skip


def cells(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


@pytest.mark.parametrize("name", FORMULAS)
def test_write_table__no_cell_is_a_formula(tmp_path, name):
    write_table(tmp_path / "t.csv", ("name", "x"), [(name, -1.5), (f"'{name}", 2)])
    _, first, second = cells(tmp_path / "t.csv")
    assert first == [f"'{name}", "-1.5"]
    assert second == [f"''{name}", "2"]


def test_write_table__read_again_names_are_the_same(tmp_path):
    """All names of up to four of the characters that matter, the last of them visible."""
    letters = "'=-+@\t\r\n,\"1a\uff1d"
    names = [
        "".join(name) + last
        for length in range(4)
        for name in itertools.product(letters, repeat=length)
        for last in "'=1a"
    ]
    write_table(tmp_path / "t.csv", ("name", "x"), ((name, 1) for name in names))
    _, rows = read_table(tmp_path / "t.csv")
    assert [row.cells["name"] for row in rows] == names
    for _, (cell, _) in zip(names, cells(tmp_path / "t.csv")[1:], strict=True):
        assert cell[0] not in "=+@\t\r\n\uff1d"
        assert cell[0] != "-" or float(cell) < 0  # a number is no formula


@pytest.mark.parametrize("number", ["-1", "-1.50", "0", "-1e-05", "-3.2e+20"])
def test_escaped__numbers_stay(number):
    assert escaped(number) == number


@pytest.mark.parametrize("name", ["'tis.png", "''", "'", "a=b", "caf\u00e9's", ""])
def test_unescaped__other_apostrophes_are_part_of_the_name(name):
    assert escaped(name) == unescaped(name) == name


def test_write_table__a_name_that_is_no_text_is_refused_and_nothing_written(tmp_path):
    rows = [("a.png", 1), ("ph\udcff.png", 2)]  # as Python names a file whose bytes are Latin-1
    with pytest.raises(ExplGraphError, match=r"cannot hold a name, .*ph\\udcff.*Rename the file"):
        write_table(tmp_path / "t.csv", ("name", "x"), rows)
    assert list(tmp_path.iterdir()) == []


def test_write_table__nan_is_an_empty_cell(tmp_path):
    write_table(tmp_path / "new" / "t.csv", ("a", "b", "c"), [("x", float("nan"), True)])
    assert (tmp_path / "new" / "t.csv").read_text() == "a,b,c\nx,,True\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a,b\n1,1_0\n", "t.csv, line 2: 'b' must be a finite number, got '1_0'"),
        ("a,b\n1,\uff11\n", "line 2: 'b' must be a finite number"),
        ("a,b\n1,1e999\n", "line 2: 'b' must be a finite number"),
        ('a,b\n1,2\n1,"' + "x" * 131_073 + '"\n', "t.csv, line 3: field larger than"),
    ],
)
def test_read_table__what_is_no_number_or_too_long(tmp_path, text, said):
    (tmp_path / "t.csv").write_text(text, encoding="utf-8")
    with pytest.raises(ExplGraphError, match=said):
        [row.number("b") for row in read_table(tmp_path / "t.csv")[1]]
