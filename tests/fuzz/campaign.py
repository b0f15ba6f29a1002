"""Many inputs in some processes, which may die: what became of them, in a journal to go on from."""

import hashlib
import json
import multiprocessing
import os
import shutil
import signal
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from pathlib import Path

from .oracle import BREACHES, DEAD, Judge, Outcome, prepare

STDERR = "stderr.txt"
BLOCK = 500
"""Inputs that a process is given at once."""
STUCK = 30.0
"""Seconds after which a process counts as hung in compiled code."""
SHOWN = 50
"""Breaches of a format that are told; all are counted."""
_SAVE_EVERY = 5.0


@dataclass
class Tally:
    """What became of a format's inputs."""

    outcomes: Counter = field(default_factory=Counter)
    seconds: float = 0.0
    blocks: list[int] = field(default_factory=list)
    breaches: list[tuple[int, str, str, str]] = field(default_factory=list)
    """Number of the input, kind, what, how."""

    def add(self, block, outcomes, seconds, breaches):
        self.outcomes.update(outcomes)
        self.seconds += seconds
        self.blocks.append(block)
        self.breaches += breaches[: max(SHOWN - len(self.breaches), 0)]

    def to_json(self):
        return {
            "outcomes": dict(self.outcomes),
            "seconds": round(self.seconds, 3),
            "blocks": self.blocks,
            "breaches": self.breaches,
        }

    @classmethod
    def from_json(cls, said):
        breaches = [tuple(one) for one in said["breaches"]]
        return cls(Counter(said["outcomes"]), said["seconds"], said["blocks"], breaches)

    @property
    def n_breaches(self):
        return sum(self.outcomes[kind] for kind in BREACHES)


class Journal:
    """A file with what is done of a campaign; None keeps nothing."""

    def __init__(self, path, about):
        self.path, self.about, self._saved = path and Path(path), about, 0.0
        self.tallies = {}
        if self.path is not None and self.path.exists():
            said = json.loads(self.path.read_text())
            if said["about"] != about:
                raise SystemExit(
                    f"{path} is of another campaign, or of other code: name another journal, or "
                    f"remove it. It has {said['about']}, this is {about}"
                )
            self.tallies = {name: Tally.from_json(one) for name, one in said["formats"].items()}

    def of(self, name):
        return self.tallies.setdefault(name, Tally())

    def save(self, *, now=False):
        if self.path is None or (not now and time.monotonic() < self._saved + _SAVE_EVERY):
            return
        self._saved = time.monotonic()
        said = {"about": self.about, "formats": {n: t.to_json() for n, t in self.tallies.items()}}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        other = self.path.with_suffix(".new")
        other.write_text(json.dumps(said, indent=1))
        other.replace(self.path)


def counts(formats, count):
    """Share a number of inputs out among formats."""
    whole = sum(one.share for one in formats)
    return {one.name: max(1, round(count * one.share / whole)) for one in formats}


def seeds_digest(formats):
    """Tell whether numbers stand for the same inputs as in another run."""
    digest = hashlib.sha256()
    for one in formats:
        for files in one.seeds:
            for name in sorted(files):
                digest.update(name.encode() + b"\0" + files[name])
    return digest.hexdigest()[:16]


def code_digest():
    """Tell whether it is the same library, and the same harness."""
    digest, root = hashlib.sha256(), Path(__file__).parents[2]
    for package in ("explgraph", "mining", "aog", "tests/fuzz"):
        for path in sorted((root / package).rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


class _Worker:
    """A process that judges blocks, and what it is at."""

    def __init__(self, context, formats, seed):
        self.at = context.RawArray("d", 2)  # input, and since when
        self.ours, theirs = context.Pipe()
        self.folder = tempfile.mkdtemp(prefix="fuzz-", dir=_memory_folder())
        self.block = None
        arguments = (theirs, formats, seed, self.folder, self.at)
        self.process = context.Process(target=_work, args=arguments, daemon=True)
        self.process.start()
        theirs.close()

    def give(self, block):
        self.block, self.at[1] = block, time.monotonic()
        self.ours.send(block)

    @property
    def is_stuck(self):
        return self.block is not None and time.monotonic() > self.at[1] + STUCK

    @property
    def has_failed(self):
        """Whether it ended by an exception, which no input may raise: the mistake is here."""
        self.process.join(1.0)
        return self.process.exitcode == 1

    def end(self):
        self.ours.close()
        if self.process.is_alive():
            self.process.kill()
        self.process.join()
        shutil.rmtree(self.folder, ignore_errors=True)


def _memory_folder():
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def _work(pipe, formats, seed, folder, at):
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with Path(folder, STDERR).open("wb") as noise:  # libtiff speaks of what it finds
        os.dup2(noise.fileno(), 2)
    prepare()
    judges = {}
    while True:
        try:
            name, first, last, passed = pipe.recv()
        except EOFError:
            os._exit(0)
        if name not in judges:
            own = Path(folder, name.replace(" ", "-"))
            own.mkdir()
            at[0] = -1
            judges[name] = Judge(formats[name], own)
        pipe.send(judged(judges[name], seed, first, last, passed, at))


def judged(judge, seed, first, last, passed=(), at=None):
    """Return the outcomes of a range of inputs, seconds, and the breaches."""
    outcomes, breaches, start = Counter(), [], time.perf_counter()
    for index in range(first, last):
        if index in passed:
            continue
        if at is not None:
            at[0], at[1] = index, time.monotonic()
        case = judge.input(seed, index)
        outcome = judge.judge(case)
        outcomes[outcome.kind] += 1
        if outcome.kind in BREACHES:
            breaches.append((index, outcome.kind, outcome.what, case.how))
    return dict(outcomes), time.perf_counter() - start, breaches[:SHOWN]


def campaign(formats, count, seed, processes, journal=None, say=lambda *_: None):
    """Judge inputs of formats, each for its share, and return tallies by format.

    A process that dies or hangs is replaced, and the input that it was at counts as a breach.
    """
    wanted = counts(formats, count)
    about = {
        "count": count,
        "seed": seed,
        "block": BLOCK,
        "seeds": seeds_digest(formats),
        "code": code_digest(),
    }
    kept = Journal(journal, about)
    tallies = {one.name: kept.of(one.name) for one in formats}
    blocks = [
        (name, first, min(first + BLOCK, wanted[name]))
        for first in range(0, max(wanted.values()), BLOCK)
        for name in wanted
        if first < wanted[name] and first // BLOCK not in tallies[name].blocks
    ]
    blocks.reverse()
    context = multiprocessing.get_context("fork")
    by_name = {one.name: one for one in formats}
    passed: dict[tuple, list[Outcome]] = {}

    def start():
        return _Worker(context, by_name, seed)

    workers = [start() for _ in range(min(processes, len(blocks)))]
    try:
        while blocks or any(w.block for w in workers):
            for worker in workers:
                if worker.block is None and blocks:
                    worker.give((*blocks[-1], tuple(passed.get(blocks.pop(), {}))))
            ready = wait([w.ours for w in workers if w.block], timeout=1.0)
            for i, worker in enumerate(workers):
                if worker.ours in ready or worker.is_stuck:
                    done = _answer(worker)
                    key = worker.block[:3]
                    if done is None:
                        index, why = int(worker.at[0]), "hung" if worker.is_stuck else "died"
                        if index < 0 or (not worker.is_stuck and worker.has_failed):
                            said = Path(worker.folder, STDERR).read_text(errors="replace")
                            raise RuntimeError(f"the harness failed at {key[0]}: {said[-2000:]}")
                        passed.setdefault(key, {})[index] = why
                        blocks.append(key)
                        worker.end()
                        workers[i] = start()
                        continue
                    _count(tallies[key[0]], key, done, passed.pop(key, {}))
                    worker.block = None
                    kept.save()
                    say(tallies, wanted)
    finally:
        for worker in workers:
            worker.end()
        kept.save(now=True)
    return tallies


def _answer(worker):
    """Return what a process found; None if it is stuck or gone."""
    try:
        return worker.ours.recv() if worker.ours.poll() else None
    except (EOFError, ConnectionError):
        return None


def _count(tally, key, done, dead):
    outcomes, seconds, breaches = done
    outcomes = Counter(outcomes)
    outcomes[DEAD] += len(dead)
    gone = [(index, DEAD, f"the process {why}", "") for index, why in dead.items()]
    tally.add(key[1] // BLOCK, +outcomes, seconds, gone + breaches)


def table(tallies):
    """Return lines: format by outcome."""
    used = [k for k in BREACHES if any(t.outcomes[k] for t in tallies.values())]
    kinds = ["same", "valid", "refused", *used]
    rows = [["format", "inputs", *kinds, "breaches", "s"]]
    whole = Tally()
    for name, tally in tallies.items():
        rows.append(_row(name, tally, kinds))
        whole.outcomes.update(tally.outcomes)
        whole.seconds += tally.seconds
    rows.append(_row("all", whole, kinds))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "  ".join(
            c.ljust(w) if i == 0 else c.rjust(w)
            for i, (c, w) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]


def _row(name, tally, kinds):
    numbers = [tally.outcomes.total(), *(tally.outcomes[kind] for kind in kinds), tally.n_breaches]
    return [name, *(f"{n:,}" for n in numbers), f"{tally.seconds:.0f}"]
