"""Lower bounds, the constraints files and the table of licences say the same."""

import importlib.util
import re
import tomllib
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PAGE = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8")
BASE = [Requirement(text) for text in PROJECT["dependencies"]]
EXTRAS = {
    (extra, Requirement(text).name)
    for extra, texts in PROJECT["optional-dependencies"].items()
    for text in texts
    if Requirement(text).name != "explgraph"
}
ROWS = [
    [cell.strip().replace("**", "").strip("`") for cell in line.strip("|").split("|")]
    for line in PAGE.splitlines()
    if line.startswith("|") and not line.startswith("|-")
]
FIVE = {row[0]: row for row in ROWS if len(row) == 5 and row[0] != "package"}
FOUR = {(row[0], row[1]): row for row in ROWS if len(row) == 4 and row[0] != "extra"}
# Versions with holes that reading a hostile file reaches: docs/dependencies.md says which.
HOLES = {"torch": "2.9.1", "pillow": "12.3.0", "jinja2": "3.1.5", "scikit-learn": "1.4.2"}


def pins(name):
    lines = (ROOT / "constraints" / name).read_text(encoding="utf-8").splitlines()
    return dict(line.split("==") for line in lines if not line.startswith("#"))


@pytest.fixture(scope="module")
def maker():
    spec = importlib.util.spec_from_file_location("maker", ROOT / "docs" / "make_constraints.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_bounds__keep_known_holes_out():
    for needed in BASE:
        if needed.name in HOLES:
            assert HOLES[needed.name] not in needed.specifier, needed


def test_oldest__has_the_lower_bound_of_each(maker):
    assert pins("oldest.txt") == maker.lowest()


def test_tested__has_all_that_is_installed_and_nothing_below_a_bound(maker):
    tested = pins("tested.txt")
    optional = {"setuptools"}  # of other Pythons
    assert set(maker.installed()) - optional <= set(tested)
    for needed in BASE:
        assert tested[needed.name] in needed.specifier


def test_table__has_every_dependency_with_its_lower_bound(maker):
    assert {name: row[1] for name, row in FIVE.items()} == maker.lowest()


def test_table__has_every_extra():
    listed = {extra for extra in EXTRAS if extra[0] not in ("all", "dev", "test")}
    assert listed <= set(FOUR)
    assert {name for _, name in EXTRAS} == {name for _, name in FOUR}


def spoken_licence(name):
    """What a package's own metadata say, in small letters."""
    about = metadata(name)
    told = about.get_all("Classifier") or []
    classifiers = [one.rpartition("::")[2] for one in told if one.startswith("License")]
    return " ".join([about.get("License-Expression") or "", *classifiers]).lower()


@pytest.mark.parametrize("name", sorted({*FIVE, *(name for _, name in FOUR)}))
def test_table__names_the_licence_that_the_package_names(name):
    try:
        spoken = spoken_licence(name)
    except PackageNotFoundError:
        pytest.skip(f"{name} is not installed")
    if not spoken.strip():
        pytest.skip(f"{name} does not say")
    row = FIVE.get(name) or next(row for (_, known), row in FOUR.items() if known == name)
    written = row[3] if name in FIVE else row[2]
    families = {"bsd": "bsd", "mit": "mit", "apache": "apache", "lgpl": "lesser", "mpl": "mpl",
                "isc": "isc", "psf": "python software", "gpl": "general public"}  # fmt: skip
    family = next(f for f in families if f in written.lower())
    assert family in spoken or families[family] in spoken, (written, spoken)


def test_base_install__has_nothing_of_the_gpl_family(maker):
    for name in maker.installed():
        spoken = spoken_licence(name)
        assert not re.search(r"\bl?gpl|general public", spoken), (name, spoken)


def test_installed__versions_are_allowed():
    for needed in BASE:
        assert Version(metadata(needed.name)["Version"]) in needed.specifier
