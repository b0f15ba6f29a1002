"""What must hold: nothing lost, nothing half, one line said; and all as usual by the next run."""

import hashlib
import json

from safetensors import safe_open

from explgraph.base.temporaries import _PATTERN as TEMPORARY

from .child import FAIL
from .world import OLD

MOST_SAID = 300  # characters of a message in a breach


def contents(folder):
    """Return the SHA-256 of each file of a folder, by its path in it, but for temporary ones."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.is_relative_to(folder / "tmp")
    }


def _is_whole(path):
    """Tell whether a file of a spool can be read to its end."""
    try:
        if path.suffix in (".json", ".lock"):
            json.loads(path.read_bytes())
            return True
        with safe_open(path, "numpy") as file:
            for name in file.keys():  # noqa: SIM118
                file.get_tensor(name)
    except Exception:  # whatever it is, it is damaged
        return False
    return True


def after_fault(case, command, ended, folder, clean, before=()):
    """Yield what is wrong after a run with a fault.

    ``clean`` are the `contents` without one, ``before`` the names of what lay there before the run.
    """
    old = hashlib.sha256(OLD).hexdigest()
    there = contents(folder)
    for name in command.outputs:
        if "." in name and name not in there:
            yield f"{name} is lost"
    for name, found in there.items():
        path = folder / name
        if TEMPORARY.search(name):
            # Where all calls fail, the removal of a temporary file does, too.
            ended_itself = ended.code is not None and ended.code >= 0
            if case.fault.action == FAIL and ended_itself and name not in before:
                yield f"{name} is left by a process that was not killed"
        elif name in command.outputs:
            if found not in (old, clean[name]):
                yield f"{name} is neither the old file nor the new one"
        elif not name.startswith("spool/"):
            yield f"{name} should not be there"
        elif not _is_whole(path):
            yield f"{name} is not whole"
    yield from _exit_of(case, ended, there, clean)


def _exit_of(case, ended, there, clean):
    said = ended.said.strip()
    if ended.code is None:
        yield "it hung"
    elif ended.code == 0:
        if case.kind == "ENOLCK":  # without locks nobody knows whose a temporary is: it stays
            there = {name: found for name, found in there.items() if not TEMPORARY.search(name)}
        if there != clean:
            other = [name for name in {*there, *clean} if there.get(name) != clean.get(name)]
            yield f"it ended well, but with other files: {sorted(other)}. It said: {_cut(said)}"
    elif ended.code == 2:
        lines = said.splitlines()
        errors = [line for line in lines if line.startswith("error: ")]
        if len(errors) != 1 or lines[-1] != errors[0] or "Traceback" in said:
            yield f"it did not say one line: {_cut(said)}"
    elif ended.code in (-6, -11) and case.kind == "ENOMEM":
        return  # libraries end the process where they get none: Rust's, and compiled code
    elif not (ended.code == -9 and case.kind.startswith("kill")):
        yield f"it ended with {ended.code} and said: {_cut(said)}"


def after_next(ended, folder, clean):
    """Yield what is wrong after the next run, which had no fault."""
    if ended.code != 0:
        yield f"the next run ended with {ended.code} and said: {_cut(ended.said.strip())}"
        return
    there = contents(folder)
    for name in sorted({*there, *clean}):
        if there.get(name) != clean.get(name):
            what = "left" if name not in clean else "missing" if name not in there else "other"
            yield f"after the next run {name} is {what}"
    left = [path.name for path in (folder / "tmp").iterdir()]
    if left:
        yield f"after the next run there is litter: {left}"


def _cut(said):
    return said if len(said) <= MOST_SAID else f"... {said[-MOST_SAID:]}"


def outcome_of(ended):
    """Name how a run with a fault ended, for the table."""
    if ended.code == 0:
        return "done"
    if ended.code == 2:
        return "one line"
    return "killed" if ended.code == -9 else "died"
