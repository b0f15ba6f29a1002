"""Run commands with faults, and count how they end: ``python -m tests.faults --help``.

An interrupted run goes on where it was when it is started again. It exits with 1 if anything that
is promised did not hold; the name of a case repeats it with the same seed: ``--only NAME``.
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
# Processes are forked: threads that are there before would be missing in them.
ALONE = dict.fromkeys(("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")


def main():
    chosen = _options()
    out = chosen.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    if "FAULTS_SHIM" not in os.environ:
        _again_with_shim(out)
    from .running import Bench

    start = time.perf_counter()
    journal = Journal(out, chosen)
    bench = Bench(out / "work", chosen.commands and chosen.commands.split(","))
    cases = bench.cases(chosen.seed, chosen.kills, chosen.most)
    if chosen.only is not None:
        cases = [case for case in cases if chosen.only in case.name]
    left = [case for case in cases if case.name not in journal.done()]
    if chosen.cases is not None:
        left = left[: chosen.cases]
    for name, ended in bench.ended.items():
        counts = Counter(ended.calls.decode())
        calls = " ".join(f"{kind}{counts[kind]}" for kind in sorted(counts))
        print(f"{name:10}{ended.seconds:6.2f} s, {len(ended.calls)} calls: {calls}")
    print(f"{len(cases)} cases, {len(left)} to do, {threading.active_count()} threads", flush=True)
    _share(bench, left, journal, chosen.processes)
    shutil.rmtree(out / "work", ignore_errors=True)
    return _report(journal, chosen, time.perf_counter() - start)


def _options():
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "out" / "faults")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kills", type=int, default=1000, help="How many processes are killed.")
    parser.add_argument("--most", type=int, default=20, help="Calls of a command and an errno.")
    parser.add_argument("--cases", type=int, help="Do so many only.")
    parser.add_argument("--only", help="Cases whose names hold this.")
    parser.add_argument("--commands", metavar="A,B", help="Try these alone; resume needs spool.")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    return parser.parse_args()


def _again_with_shim(out):
    """Start again with the library between this process and the system."""
    shim = out / "shim.so"
    source = HERE / "shim.c"
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", source, "-o", shim, "-ldl"], check=True)
    environment = {**os.environ, **ALONE, "LD_PRELOAD": str(shim), "FAULTS_SHIM": str(shim)}
    os.execve(sys.executable, [sys.executable, "-m", "tests.faults", *sys.argv[1:]], environment)


class Journal:
    """The cases that are done, a line each; those of other code or of another seed do not count."""

    def __init__(self, out, chosen):
        digest = hashlib.sha256(
            f"{chosen.seed} {chosen.kills} {chosen.most} {chosen.commands}".encode()
        )
        for package in ("explgraph", "mining", "aog", "tests/faults"):
            for path in sorted((ROOT / package).rglob("*.py")):
                digest.update(path.read_bytes())
        self._path = out / f"journal-{digest.hexdigest()[:12]}.jsonl"

    def entries(self):
        if not self._path.exists():
            return []
        return [json.loads(line) for line in self._path.read_text().splitlines()]

    def done(self):
        return {entry["case"] for entry in self.entries()}

    def add(self, entry):
        with self._path.open("a") as file:  # one write of one line: processes do not mix
            file.write(json.dumps(entry) + "\n")


def _share(bench, cases, journal, processes):
    """Divide cases among processes, and wait for these."""
    children = []
    for number in range(processes):
        child = os.fork()
        if child == 0:
            code = 1
            try:
                for case in cases[number::processes]:
                    journal.add(bench.tried(case, number))
                code = 0
            finally:
                os._exit(code)
        children.append(child)
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    if any(codes):
        raise SystemExit(f"the processes that try cases ended with {codes}")


def _report(journal, chosen, seconds):
    entries = journal.entries()
    kinds = Counter((entry["command"], entry["kind"], entry["outcome"]) for entry in entries)
    outcomes = ("done", "one line", "killed", "died", "breach")
    print(f"{'command':10}{'fault':16}" + "".join(f"{name:>10}" for name in outcomes))
    for command, kind in sorted({(entry["command"], entry["kind"]) for entry in entries}):
        row = [kinds[command, kind, name] for name in outcomes]
        print(f"{command:10}{kind:16}" + "".join(f"{count:10}" for count in row))
    total = [sum(count for key, count in kinds.items() if key[2] == name) for name in outcomes]
    print(f"{'all':26}" + "".join(f"{count:10}" for count in total))
    kills = sum(entry["kind"].startswith("kill") for entry in entries)
    print(f"{len(entries)} cases, {kills} of them kills, seed {chosen.seed}, {seconds:.0f} s")
    breaches = [entry for entry in entries if entry["breaches"]]
    for entry in breaches:
        print(f"BREACH {entry['case']}")
        for line in entry["breaches"]:
            print(f"    {line}")
    return 1 if breaches else 0


if __name__ == "__main__":
    sys.exit(main())
