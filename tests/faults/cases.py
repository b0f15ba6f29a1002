"""Which faults are tried: at which calls of which commands, and when."""

import errno
import random
from dataclasses import dataclass

from .child import CHANGES, FAIL, FAIL_ON, KILL_AFTER, KILL_AMID, KILL_BEFORE, Fault
from .world import KILLED

# What each kind of call may fail with. Not: what may not be read (a photo is left out, and that is
# said), and where the removal of a temporary file alone fails (the next run removes it).
ERRORS = {
    "c": (errno.ENOSPC, errno.EIO, errno.EMFILE, errno.EACCES, errno.EROFS, errno.EINTR),
    "o": (errno.EIO, errno.EMFILE, errno.EINTR),
    "d": (errno.EIO, errno.EMFILE),
    "r": (errno.EIO, errno.EINTR),
    "w": (errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EINTR),
    "s": (errno.EIO, errno.ENOSPC),
    "n": (errno.ENOSPC, errno.EIO, errno.EACCES),
    "u": (errno.EIO, errno.EACCES),
    "m": (errno.ENOSPC, errno.EACCES),
    "p": (errno.ENOMEM, errno.EACCES),
    "l": (errno.ENOLCK, errno.EINTR),
    "h": (errno.EPERM, errno.EIO),
    "a": (errno.ENOMEM,),
}
_PHASES = {KILL_BEFORE: "before", KILL_AMID: "amid", KILL_AFTER: "after"}


@dataclass(frozen=True)
class Case:
    """A fault in a run of a command. Its name says all of it: with the seed it can be repeated."""

    command: str
    kind: str
    what: str
    fault: Fault

    @property
    def name(self):
        return f"{self.command}/{self.kind}/{self.what}"


def kills(clean, count, rng):
    """Return ``count`` kills of the commands of `KILLED`, no two of them alike.

    Half are aimed at calls that change files. The others come at random moments, and so do those
    whose aim was taken before.

    Parameters
    ----------
    clean
        For each command how it ends without a fault.
    """
    cases = {}
    killed = [command for command in KILLED if command in clean]
    for number in range(count):
        command = killed[number % len(killed)]
        case = _aimed(command, clean[command].calls, rng)
        if (number // len(killed)) % 2 or case.name in cases:
            share = rng.random()
            fault = Fault(after=share * clean[command].seconds)
            case = Case(command, "kill at random", f"{share:.6f}", fault)
        cases[case.name] = case
    return list(cases.values())


def _aimed(command, calls, rng):
    changes = [call for call in calls.decode() if call.encode() in CHANGES]
    at, phase = rng.randrange(len(changes)), rng.choice(list(_PHASES))
    what = f"{_PHASES[phase]} {changes[at]}{at}"
    return Case(command, "kill aimed", what, Fault(phase, at, kinds=CHANGES))


def errors(clean, most, rng):
    """Return errors at calls of all commands: at each call once, and from each call on.

    At most ``most`` of a command and an errno, spread at random, where it has more calls.
    """
    cases = []
    for command, ended in clean.items():
        by_error = {}
        for at, call in enumerate(ended.calls.decode()):
            for number in ERRORS[call]:
                by_error.setdefault(number, []).append((at, call))
        for number, places in by_error.items():
            for action, word in ((FAIL, "once"), (FAIL_ON, "from here on")):
                if action == FAIL_ON and number == errno.EINTR:
                    continue  # nobody gets past a signal at every call
                if action == FAIL:
                    places = [place for place in places if place[1] != "u"]
                chosen = places if len(places) <= most else rng.sample(places, most)
                for at, call in sorted(chosen):
                    name = errno.errorcode[number]
                    kinds = "".join(k for k, some in ERRORS.items() if number in some)
                    fault = Fault(action, _rank(ended.calls, at, kinds), number, kinds.encode())
                    cases.append(Case(command, name, f"{word} {call}{at}", fault))
    return cases


def _rank(calls, at, kinds):
    """Return the number of a call among those of some kinds."""
    return sum(chr(call) in kinds for call in calls[:at])


def all_cases(clean, seed, n_kills, most):
    """Return all cases in a fixed order, so that those of a command do not come in one piece."""
    rng = random.Random(seed)
    cases = [*kills(clean, n_kills, rng), *errors(clean, most, rng)]
    unique = list({case.name: case for case in cases}.values())
    rng.shuffle(unique)
    return unique
