"""What a person waits for: whole commands in seconds, beside the same ones of an earlier commit.

That commit, `BEFORE`, is installed beside this tree, and the two take turns. Compiled loops are
kept in a folder of the run's own, which only the demo's first run finds empty.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from shutil import rmtree
from tempfile import TemporaryDirectory
from typing import Any

from explgraph.demo.run import MODEL, DemoSizes, run_demo
from tests.bench.fresh import peak_of
from tests.bench.rounds import F8, Figure, take_turns
from tests.bench.workload import shared_folder

BEFORE = "5d05ff685d0d412aa7afd31fae3d28df5ae4f857"
"""The last commit before commands were made quick."""

ROOT = Path(__file__).resolve().parents[2]

Command = Sequence[str]
_MAIN = """
import atexit
from pathlib import Path

status = Path("/proc/self/status")
if status.exists():
    atexit.register(lambda: Path("status").write_text(status.read_text()))
from explgraph.cli import main
main()
"""
_SMALL = DemoSizes(mined=20, background=6, unseen=6)


def waits(rounds: int, *, quick: bool) -> dict[str, Any]:
    """Time commands from the shell to their end, each after a run of its own that is not counted.

    Returns
    -------
    Seconds of each command, and under ``before`` and ``times_faster`` the same of the earlier
    commit and how they compare, round by round; without these where Git does not have that commit.
    ``first_demo_s`` is the demo's first run, with nothing compiled; ``photos_to_graph_bytes`` the
    most memory that mining held.
    """
    with TemporaryDirectory() as name, earlier(Path(name), quick=quick) as before:
        trees = {"now": ROOT} if before is None else {"now": ROOT, "before": before}
        folder, took, held = Path(name), dict[str, dict[str, F8]](), dict[str, int]()
        demo, cache = folder / "demo", {} if quick else {"EXPLGRAPH_CACHE": f"{folder / 'cache'}"}
        timed = partial(_in_turn, trees, folder=folder, variables=cache, held=held)
        if quick:
            run_demo(demo, sizes=_SMALL, progress=False)
        else:
            took["first_demo_s"] = timed(("demo", "--out", f"{demo}"), rounds=0)
        for kind, command in commands(demo, folder, quick=quick).items():
            took[kind] = timed(command, rounds=rounds)
            if kind == "photos_to_graph_s":
                mined = {name: held.get(name) for name in trees}
        photos = sum(len([*path.iterdir()]) for path in _mined(demo, quick=quick))
    found: dict[str, Any] = {kind: Figure.of(seconds["now"]) for kind, seconds in took.items()}
    found["photos_per_second"] = photos / found["photos_to_graph_s"]
    found["photos_to_graph_bytes"] = mined["now"]
    if before is not None:
        found["before"] = {kind: Figure.of(seconds["before"]) for kind, seconds in took.items()}
        found["before"]["photos_to_graph_bytes"] = mined["before"]
        found["times_faster"] = {
            kind: Figure.of(seconds["before"] / seconds["now"]) for kind, seconds in took.items()
        }
    return found


def commands(demo: Path, folder: Path, *, quick: bool) -> dict[str, Command]:
    """Return what is timed; ``demo`` is what the demo wrote, ``folder`` where results go."""
    drawn, out = (
        ("--model", MODEL, "--device", "cpu"),
        ("--out", f"{folder / 'result.safetensors'}"),
    )
    graph, unseen = demo / "graph.safetensors", demo / "unseen"
    one = folder / "one"
    one.mkdir()
    (one / "photo.png").write_bytes(min(unseen.glob("*.png")).read_bytes())
    photos, background = _mined(demo, quick=quick)
    shared = shared_folder()
    network: Command = drawn
    if shared is not None and not quick:
        weights = shared / "models" / "squeezenet1_0.safetensors"
        network = ("--model", "squeezenet1_0", "--weights", f"{weights}", "--device", "cpu")
    found: dict[str, Command] = {
        "photos_to_graph_s": ("mine", f"{photos}", "--background", f"{background}", *network, *out),
        "first_result_s": ("match", f"{graph}", f"{one}", *drawn, *out),
        "match_cli_s": ("match", f"{graph}", f"{unseen}", *drawn, *out),
    }
    return found if quick else {**found, "demo_s": ("demo", "--out", f"{folder / 'again'}")}


def _mined(demo: Path, *, quick: bool) -> tuple[Path, Path]:
    """Return folders of photos to mine and of background: zebras where they are, or drawings."""
    shared = shared_folder()
    if shared is None or quick:
        return demo / "mined", demo / "background"
    return shared / "animalpart" / "zebra", shared / "animalpart" / "background"


def _in_turn(
    trees: Mapping[str, Path],
    command: Command,
    *,
    folder: Path,
    variables: Mapping[str, str],
    held: dict[str, int],
    rounds: int,
) -> dict[str, F8]:
    """Return (rounds,) seconds of a command in each tree; of no rounds, those of its first run.

    It runs in ``folder``, with some environment ``variables`` besides. ``held`` gets the bytes of
    memory that the last run in each tree took at most.
    """

    def run(name: str) -> None:
        environment = {**os.environ, **variables, "PYTHONPATH": f"{trees[name]}"}
        done = subprocess.run(
            [sys.executable, "-c", _MAIN, *command],
            cwd=folder, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)} failed in {trees[name]}: {done.stderr}")
        if (folder / "status").exists():
            held[name] = peak_of((folder / "status").read_text())

    return take_turns({name: partial(run, name) for name in trees}, rounds)


@contextmanager
def earlier(folder: Path, *, quick: bool) -> Iterator[Path | None]:
    """Install the earlier commit beside this tree; give its folder, or None where it is not had."""
    source, target = folder / "source", folder / "before"
    git = ["git", "-C", f"{ROOT}", "worktree"]
    if quick or subprocess.run(
        [*git, "add", "--detach", f"{source}", BEFORE], capture_output=True, check=False
    ).returncode:  # fmt: skip
        yield None
        return
    try:
        options = ("--quiet", "--no-deps", "--no-build-isolation", "--target", f"{target}")
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install"]
        subprocess.run([*pip, *options, f"{source}"], check=True)
        yield target
    finally:
        rmtree(source, ignore_errors=True)
        subprocess.run([*git, "prune"], check=True)
