"""docs/reliability.md promises nothing that no test shows."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
CITED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", PAGE)))
ROWS = [
    line
    for line in PAGE.splitlines()
    if line.startswith("|") and not line.startswith(("|-", "| threat"))
]


@pytest.mark.parametrize("path,name", CITED)
def test_page__names_tests_that_are_there(path, name):
    text = (ROOT / path).read_text(encoding="utf-8")
    assert not name or f"def {name}(" in text


def test_page__each_threat_names_a_test():
    promises = [row for row in ROWS if row.count("|") == 4]
    assert len(promises) >= 30
    assert [row for row in promises if "`tests/" not in row] == []
