"""Inputs that atheris finds by coverage, where it is installed: same oracle, same table.

Each format is searched in a process of its own, since `atheris.Fuzz` never comes back. An input's
first two bytes say which file of the format's folder the others are, and whether its digest is made
anew.
"""

import hashlib
import importlib.util
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .arrays_file import put_together, seal, sealed_json, taken_apart

ROOT = Path(__file__).parents[2]
LONGEST_INPUT = 16384
STUCK = 900.0
"""Seconds for one format."""
_SAVE_EVERY = 1.0


def is_installed():
    return importlib.util.find_spec("atheris") is not None


def compiled():
    """Yield modules with compiled loops: Numba would compile what counts coverage as well."""
    for package in ("explgraph", "aog"):
        root = ROOT / package
        for path in root.rglob("*.py"):
            if "import jit" in path.read_text(encoding="utf-8"):
                yield ".".join(path.relative_to(ROOT).with_suffix("").parts)


def case_of(seeds, data):
    """Return the `Case` that some bytes stand for."""
    from .mutations import MANIFEST, Case, told_in_manifest

    data = data.ljust(2, b"\0")
    places = [(i, name) for i, files in enumerate(seeds) for name in sorted(files)]
    which, name = places[data[0] % len(places)]
    files, whole, content = dict(seeds[which]), False, data[2:]
    if data[1] % 2:
        content, whole = _sealed(name, content)
    files[name] = content
    if whole and MANIFEST in files:
        told_in_manifest(files, name)
    return Case(files, whole, f"{name}: atheris")


def _sealed(name, content):
    try:
        if name.endswith(".safetensors"):
            file = taken_apart(content)
            if seal(file):
                return put_together(file), True
        elif name.endswith(".json"):
            made = sealed_json(content)
            return (content, False) if made is None else (made, True)
    except Exception:  # it is no such file any more
        pass
    return content, False


def search(name, runs, seed, report):
    """Search a format and write what became of the inputs to a file; this ends the process."""
    import atheris

    with atheris.instrument_imports(["explgraph", "aog"], list(compiled())):
        from . import oracle
        from .formats import FORMATS, warm
    warm()
    oracle.prepare()
    folder, corpus = Path(tempfile.mkdtemp()), Path(tempfile.mkdtemp())
    judge = oracle.Judge(FORMATS[name], folder)
    for i, (which, file) in enumerate((w, f) for w in judge.seeds for f in sorted(w)):
        for sealed in (0, 1):
            (corpus / f"{i}-{sealed}").write_bytes(bytes([i, sealed]) + which[file])
    told = {"outcomes": Counter(), "breaches": [], "at": ""}
    saved, start = [0.0], time.perf_counter()

    def save():
        saved[0] = time.perf_counter()
        told["seconds"] = saved[0] - start
        Path(report).write_text(json.dumps(told))

    def one(data):
        outcome = judge.judge(case_of(judge.seeds, data))
        told["outcomes"][outcome.kind] += 1
        if outcome.kind in oracle.BREACHES and len(told["breaches"]) < 20:
            told["breaches"].append((data.hex(), outcome.kind, outcome.what))
            save()
        done = told["outcomes"].total() >= runs
        if done or time.perf_counter() > saved[0] + _SAVE_EVERY:
            save()

    options = [f"-runs={runs}", f"-seed={seed}", f"-max_len={LONGEST_INPUT}", "-timeout=0"]
    quiet = ["-rss_limit_mb=0", "-detect_leaks=0", "-verbosity=0"]
    atheris.Setup([sys.argv[0], *options, *quiet, str(corpus)], one)
    atheris.Fuzz()


def searches(names, runs, seed, processes):
    """Search formats, and return tallies by name."""
    with ThreadPoolExecutor(processes) as pool:
        found = list(pool.map(lambda name: _searched(name, runs, seed), names))
    return {f"{name}, atheris": tally for name, tally in zip(names, found, strict=True)}


def _searched(name, runs, seed):
    from .campaign import Tally
    from .oracle import DEAD

    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.json")
        command = [sys.executable, "-m", "tests.fuzz", "--search", name, "--report", str(report)]
        command += ["--runs", str(runs), "--seed", str(seed)]
        try:
            ended = subprocess.run(command, capture_output=True, timeout=STUCK, check=False)
            why = "" if ended.returncode == 0 else ended.stderr.decode(errors="replace")[-300:]
        except subprocess.TimeoutExpired:
            why = "it hung"
        said = json.loads(report.read_text()) if report.exists() else {"outcomes": {}, "seconds": 0}
    tally = Tally(Counter(said["outcomes"]), said["seconds"])
    for data, kind, what in said.get("breaches", ()):
        kept = _kept(name, bytes.fromhex(data))
        tally.breaches.append((kept, kind, what, "atheris"))
    if why:
        tally.outcomes[DEAD] += 1
        tally.breaches.append(("?", DEAD, why, "atheris"))
    return tally


def _kept(name, data):
    """Keep an input, and return the name of its file."""
    called = f"{name.replace(' ', '-')}-{hashlib.sha256(data).hexdigest()[:12]}"
    path = Path("out/fuzz", called)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return str(path)
