"""A forked process that runs one command, with a fault set."""

import ctypes
import os
import signal
import sys
import tempfile
import time
from dataclasses import dataclass

from explgraph.peaks.statistics import Overdue

LOG = 200_000
CHANGES, ALL = b"cwsnumlh", b"codrwsnumplha"
"""Kinds of calls, by the letters of ``shim.c``: those that change files, and all."""
NOTHING, FAIL, FAIL_ON, KILL_BEFORE, KILL_AMID, KILL_AFTER = range(6)
PATIENCE = 60
"""Seconds until a run counts as hung."""


@dataclass(frozen=True)
class Fault:
    """What goes wrong in a run.

    Attributes
    ----------
    action
        Of the call number ``at`` (from 0) among those of ``kinds``; `NOTHING`: they are counted.
    number
        The errno of what fails.
    after
        Seconds until the process is killed; None: it is not.
    """

    action: int = NOTHING
    at: int = -1
    number: int = 0
    kinds: bytes = ALL
    after: float | None = None


@dataclass(frozen=True)
class Ended:
    """How a run ended.

    Attributes
    ----------
    code
        Its exit code; negative: the signal that ended it; None: it hung.
    said
        All that it wrote to stderr.
    calls
        The kinds of the calls that were counted, in order, where it ended by itself.
    seconds
        How long it took.
    """

    code: int | None
    said: str
    calls: bytes
    seconds: float


def run(folder, arguments, fault=Fault(), at_once=False):
    """Run a command in a forked process.

    Parameters
    ----------
    at_once
        Keep what is kept of long stages at once, not after seconds.
    """
    start = time.perf_counter()
    child = os.fork()
    if child == 0:
        _be_the_child(folder, arguments, fault, at_once)
    if fault.after is not None:
        time.sleep(fault.after)
        os.kill(child, signal.SIGKILL)
    status = None
    while time.perf_counter() - start < PATIENCE:
        ended, found = os.waitpid(child, os.WNOHANG)
        if ended:
            status = os.waitstatus_to_exitcode(found)
            break
        time.sleep(0.002)
    else:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    said = (folder.parent / "stderr").read_text(errors="replace")
    log = folder.parent / "calls"
    calls = log.read_bytes() if log.exists() else b""
    return Ended(status, said, calls, time.perf_counter() - start)


def _be_the_child(folder, arguments, fault, at_once):
    """Run the command as the program does; never return."""
    code = 99
    try:
        library = ctypes.CDLL(None)
        log = folder.parent / "calls"
        log.unlink(missing_ok=True)
        room = ctypes.create_string_buffer(LOG)
        for name, stream in (("stdout", 1), ("stderr", 2)):
            os.dup2(os.open(folder.parent / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream)
        os.chdir(folder)
        os.environ["TMPDIR"] = tempfile.tempdir = str(folder / "tmp")
        if at_once:
            _keep_at_once()
        sys.argv = ["explgraph", *arguments]
        library.faults_arm(fault.kinds, fault.at, fault.action, fault.number)
        try:
            code = _code_of_main()
        finally:
            count = library.faults_disarm(room, LOG)
        log.write_bytes(room.raw[: min(count, LOG)])
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


def _code_of_main():
    """Return the exit code of the program; a traceback goes to stderr, as it would."""
    from explgraph.cli.app import main

    try:
        main()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        import traceback

        traceback.print_exc()
        return 1
    return 0


def _keep_at_once():
    home = sys.modules[Overdue.__module__]
    home.MOST_LOST, home._PATIENCE = 0.0, 0
