"""What became of an input: refused, the same, another that is valid, or a breach of a promise."""

import logging
import os
import resource
import signal
import traceback
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from PIL.Image import DecompressionBombWarning

from explgraph.base.errors import ExplGraphError

from .formats import FORMATS
from .meaning import meaning
from .mutations import mutated

REFUSED, SAME, VALID = "refused", "same", "valid"
RAW, SILENT, INVALID, SLOW, GREEDY, DEAD, NOISY = (
    "raw", "silent", "invalid", "slow", "greedy", "dead", "noisy",
)  # fmt: skip
FINE = (REFUSED, SAME, VALID)
BREACHES = (RAW, SILENT, INVALID, SLOW, GREEDY, NOISY, DEAD)
"""Another exception than ours; another meaning where a checksum should have told; a meaning that no
rule allows; more than `LONGEST`; more than `MOST` memory; a warning of a programmer's mistake; the
process ended, or hung in compiled code."""

LONGEST = 5.0
"""Seconds that an input may take."""
MOST = 300 << 20
"""Bytes by which memory may grow with one input."""
MAX_PIXELS = "EXPLGRAPH_MAX_PIXELS"
FEWER_PIXELS = str(4_000_000)
_MISTAKES = (RuntimeWarning, DeprecationWarning, FutureWarning, ResourceWarning)


@dataclass(frozen=True)
class Outcome:
    kind: str
    what: str = ""
    """Of a breach: type, message and place."""


class _Late(BaseException):
    pass


def _late(*_):
    raise _Late


class Scratch:
    """A folder whose files are written again only where they are others."""

    def __init__(self, folder):
        self.folder, self._held = Path(folder), {}

    def lay(self, files):
        for name in self._held.keys() - files.keys():
            (self.folder / name).unlink()
        for name, data in files.items():
            if self._held.get(name) is not data and self._held.get(name) != data:
                path = self.folder / name
                if name not in self._held:
                    path.parent.mkdir(parents=True, exist_ok=True)
                number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
                os.write(number, data)
                os.close(number)
        self._held = dict(files)


class Judge:
    """Reads inputs of a format and says what became of them.

    Parameters
    ----------
    format
        One of `FORMATS`, or one that a test has made.
    folder
        Where files are laid; empty, and of this judge alone.
    """

    def __init__(self, format, folder, seeds=None):
        self.format, self.scratch = format, Scratch(folder)
        self.seeds = format.seeds if seeds is None else seeds
        self.meanings = set()
        with heard():
            for files in self.seeds:
                self.scratch.lay(files)
                value = self.format.read(self.scratch.folder)
                format.rule(value)
                format.use(value)
                self.meanings.add(meaning(value))

    def input(self, seed, index):
        return mutated(self.format.name, self.seeds, seed, index)

    def judge(self, case):
        """Return what became of a `Case`."""
        self.scratch.lay(case.files)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with heard() as said:
            outcome = self._judge(case)
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        if outcome.kind in FINE and said:
            outcome = Outcome(NOISY, said[0])
        if outcome.kind in FINE and grown << 10 > MOST:
            outcome = Outcome(GREEDY, f"memory grew by {grown >> 10} MiB")
        return outcome

    def _judge(self, case):
        stage = "reading"
        try:
            signal.setitimer(signal.ITIMER_REAL, LONGEST)
            value = self.format.read(self.scratch.folder)
            stage = "looking at"
            told = meaning(value)
            if told in self.meanings:
                return Outcome(SAME)
            if self.format.checked and not case.whole:
                return Outcome(SILENT, "it loads, and is another than the seed")
            self.format.rule(value)
            stage = "using"
            self.format.use(value)
            return Outcome(VALID)
        except ExplGraphError as error:
            return Outcome(REFUSED) if str(error) else Outcome(RAW, "an error without a message")
        except _Late:
            return Outcome(SLOW, f"{stage} it takes more than {LONGEST} s")
        except (Exception, SystemExit) as error:
            return Outcome(INVALID if stage == "looking at" else RAW, f"{stage}: {_place(error)}")
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)


def _place(error):
    frames = traceback.extract_tb(error.__traceback__)
    ours = [f for f in frames if {"explgraph", "aog", "mining"} & {*Path(f.filename).parts[-4:]}]
    last = (ours or frames)[-1]
    what = " ".join(str(error).split())[:160] or last.line
    return f"{type(error).__name__}: {what} ({Path(last.filename).name}:{last.lineno})"


@contextmanager
def heard():
    """Collect warnings that say that a programmer has made a mistake."""
    said, before = [], warnings.showwarning

    def show(message, category, filename, lineno, file=None, line=None):
        if issubclass(category, _MISTAKES) and not issubclass(category, DecompressionBombWarning):
            said.append(f"{category.__name__}: {message} ({Path(filename).name}:{lineno})")

    warnings.showwarning = show
    try:
        yield said
    finally:
        warnings.showwarning = before


@cache
def prepare():
    """Make this process one that judges: alarms, warnings each time, bounded pictures."""
    signal.signal(signal.SIGALRM, _late)
    warnings.simplefilter("always")
    logging.getLogger("explgraph").setLevel(logging.CRITICAL)
    os.environ[MAX_PIXELS] = FEWER_PIXELS
    limit_memory()


def limit_memory(more=3 << 30):
    """Bound the address space: what is wanted beyond is a MemoryError, not a lost machine."""
    held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (held + more, resource.RLIM_INFINITY))


def known(name):
    if name not in FORMATS:
        raise SystemExit(f"there is no format {name!r}: {', '.join(FORMATS)}")
    return FORMATS[name]
