"""Draw the packages and who imports whom, as the code has it: docs/images/architecture.svg.

    python docs/make_architecture.py

All imports count, in functions and for types, too. An arrow that only repeats what others say
together (a to c, where a to b and b to c) is left out. A test compares the picture with the code.
"""

from __future__ import annotations

import ast
import html
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / "docs" / "images" / "architecture.svg"
TOPS = ("explgraph", "mining", "aog")
_OLD = ("preprocess",)  # modules that only lead to where their names are now

_WIDTH, _HEIGHT, _GAP, _RISE = 224, 74, 26, 52  # points: a box, between boxes, between floors
_INK, _LINE = "#222222", "#8FA3B0"
_FILLS = {"explgraph": "#EAF1F7", "mining": "#FCEBDD", "aog": "#E6F4EA"}


class Package(NamedTuple):
    """A package, or a single module of ``explgraph``.

    ``sentence`` is the first line of its docstring; ``below`` are the packages that it imports.
    """

    name: str
    sentence: str
    below: frozenset[str]


def packages() -> dict[str, Package]:
    """Measure all packages, by name; the facade, which names everything, is left out."""
    found: dict[str, list[Path]] = {}
    for top in TOPS:
        for path in sorted((ROOT / top).rglob("*.py")):
            name = _package(_module(path))
            if name is not None:
                found.setdefault(name, []).append(path)
    result = {}
    for name, paths in found.items():
        first = next((p for p in paths if p.name == "__init__.py"), paths[0])
        doc = ast.get_docstring(ast.parse(first.read_text(encoding="utf-8"))) or ""
        used = {_package(module) for path in paths for module in _imports(path)}
        below = frozenset(n for n in used if n and n != name)
        result[name] = Package(name, doc.splitlines()[0], below)
    return result


def _module(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def _package(module: str) -> str | None:
    """Return ``mining``, ``aog``, or a child of ``explgraph``; None for all else."""
    top, *rest = module.split(".")
    if top not in TOPS or (top == "explgraph" and (not rest or rest[0] in _OLD)):
        return None
    return f"explgraph.{rest[0]}" if top == "explgraph" else top


def _imports(path: Path) -> Iterator[str]:
    package = list(path.relative_to(ROOT).parts[:-1])
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            stem = ".".join([*base, *filter(None, [node.module])])
            # Also where a module is imported by name: from explgraph import pipeline.
            yield from (f"{stem}.{alias.name}" for alias in node.names)


def floors(measured: dict[str, Package]) -> list[list[str]]:
    """Return the packages by floor: each stands on those that it imports, as low as it can."""
    level: dict[str, int] = {}

    def find(name: str) -> int:
        if name not in level:
            level[name] = 1 + max((find(other) for other in measured[name].below), default=-1)
        return level[name]

    for name in measured:
        find(name)
    return [[n for n in measured if level[n] == i] for i in range(max(level.values()) + 1)]


def arrows(measured: dict[str, Package]) -> list[tuple[str, str]]:
    """Return who imports whom, without what follows from other arrows."""
    reached: dict[str, set[str]] = {}
    for floor in floors(measured):
        for name in floor:
            below = measured[name].below
            reached[name] = set(below).union(*(reached[other] for other in below))
    return sorted(
        (name, other)
        for name, package in measured.items()
        for other in package.below
        if not any(other in reached[third] for third in package.below if third != other)
    )


def facts(measured: dict[str, Package]) -> str:
    """Return what the picture shows as one line, which the picture holds as well."""
    boxes = {name: package.sentence for name, package in sorted(measured.items())}
    return json.dumps({"packages": boxes, "arrows": arrows(measured)}, ensure_ascii=False)


def drawn(measured: dict[str, Package]) -> str:
    """Return the picture as SVG text."""
    rows = floors(measured)
    width = max(len(row) for row in rows) * (_WIDTH + _GAP) + _GAP
    height = len(rows) * (_HEIGHT + _RISE) - _RISE + 2 * _GAP
    corner = {}
    for level, row in enumerate(rows):
        left = (width - len(row) * (_WIDTH + _GAP) + _GAP) / 2
        top = height - _GAP - _HEIGHT - level * (_HEIGHT + _RISE)
        for i, name in enumerate(row):
            corner[name] = (left + i * (_WIDTH + _GAP), top)
    lines = [_arrow(corner[name], corner[other]) for name, other in arrows(measured)]
    boxes = [_box(package, corner[name]) for name, package in measured.items()]
    body = "\n".join([*lines, *boxes])
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'font-family="Helvetica, Arial, sans-serif">\n'
        "<title>The packages of explgraph: an arrow leads to what a package imports</title>\n"
        f"<desc>{html.escape(facts(measured))}</desc>\n"
        '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
        f'markerHeight="7" orient="auto"><path d="M0 0L8 4L0 8z" fill="{_LINE}"/></marker></defs>\n'
        f'<rect width="{width}" height="{height}" fill="white"/>\n{body}\n</svg>\n'
    )


def _arrow(upper: tuple[float, float], lower: tuple[float, float]) -> str:
    x, y = upper[0] + _WIDTH / 2, upper[1] + _HEIGHT
    to_x, to_y = lower[0] + _WIDTH / 2, lower[1]
    # Ends keep apart: they lean towards where the line comes from.
    lean = max(-0.35, min(0.35, (to_x - x) / 1200)) * _WIDTH
    x, to_x, bend = x + lean, to_x - lean, (to_y - y) / 2
    return (
        f'<path d="M{x:.0f} {y:.0f}C{x:.0f} {y + bend:.0f} {to_x:.0f} {to_y - bend:.0f} '
        f'{to_x:.0f} {to_y - 1:.0f}" fill="none" stroke="{_LINE}" stroke-width="1.6" '
        'marker-end="url(#head)"/>'
    )


def _box(package: Package, corner: tuple[float, float]) -> str:
    x, y = corner
    fill = _FILLS[package.name.split(".")[0]]
    name = package.name.removeprefix("explgraph.")
    lines = _wrapped(package.sentence, 38)[:3]
    said = "".join(
        f'<text x="{x + 10:.0f}" y="{y + 36 + 14 * i:.0f}" font-size="10.5" fill="{_INK}">'
        f"{html.escape(line)}</text>"
        for i, line in enumerate(lines)
    )
    return (
        f'<rect x="{x:.0f}" y="{y:.0f}" width="{_WIDTH}" height="{_HEIGHT}" rx="6" fill="{fill}" '
        f'stroke="{_LINE}"/>'
        f'<text x="{x + 10:.0f}" y="{y + 19:.0f}" font-size="14" font-weight="bold" '
        f'fill="{_INK}">{name}</text>{said}'
    )


def _wrapped(text: str, width: int) -> list[str]:
    lines = [""]
    for word in re.sub(r"[`*]", "", text).split():
        if len(lines[-1]) + len(word) >= width:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines


if __name__ == "__main__":
    PICTURE.write_text(drawn(packages()), encoding="utf-8")
