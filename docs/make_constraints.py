"""Write the two files of ``constraints/``: the oldest versions allowed, and those of now.

    python docs/make_constraints.py

``oldest.txt`` has the lower bounds of pyproject.toml; ``tested.txt`` what is installed here of
explgraph's own dependencies and theirs, without what only some platforms have (CUDA).
"""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "constraints"
_CUDA = re.compile(r"nvidia-|cuda-|triton")


def dependencies() -> list[Requirement]:
    """Return what the base install needs itself."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return [Requirement(text) for text in project["dependencies"]]


def lowest() -> dict[str, str]:
    """Return the oldest version allowed of each."""
    return {
        needed.name: next(one.version for one in needed.specifier if one.operator == ">=")
        for needed in dependencies()
    }


def installed() -> dict[str, str]:
    """Return the versions that are installed here of all that the base install brings."""
    found: dict[str, str] = {}
    todo = dependencies()
    while todo:
        needed = todo.pop()
        name = needed.name.lower().replace("_", "-")
        applies = needed.marker is None or needed.marker.evaluate({"extra": ""})
        if not applies or name in found or _CUDA.match(name):
            continue
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
        todo += [Requirement(text) for text in requires(name) or ()]
    return found


def _pinned(versions: dict[str, str]) -> str:
    return "".join(f"{name}=={versions[name]}\n" for name in sorted(versions))


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / "oldest.txt").write_text(
        "# The oldest versions that pyproject.toml allows: `make test-oldest` runs with them.\n"
        + _pinned(lowest())
    )
    (FOLDER / "tested.txt").write_text(
        "# The whole suite has passed with these: pip install . -c constraints/tested.txt\n"
        + _pinned(installed())
    )
