"""The warm process: it has imported and compiled all, and forks runs that begin at once."""

import shutil
from contextlib import chdir

import torch

from tests.support.commands import ok

from .cases import all_cases
from .checking import after_fault, after_next, contents, outcome_of
from .child import CHANGES, KILL_AFTER, Fault, run
from .world import Inputs, lay_out


class Bench:
    """Commands, how each ends without a fault, and what tries a case."""

    def __init__(self, folder, names=None):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        torch.set_num_threads(1)
        self._folder = folder
        inputs = Inputs(folder / "inputs")
        self.commands = inputs.commands()
        if names is not None:
            self.commands = {name: self.commands[name] for name in names}
        self._older, self._clean, self.ended = {}, {}, {}
        for name, command in self.commands.items():
            if name != "resume":
                self._warm_up(name, command)
            if name == "parts":
                shutil.copy(self._folder / "warm" / "parts" / "parts.safetensors", inputs.parts)
        for name, command in self.commands.items():
            self._try_clean(name, command)

    def _warm_up(self, name, command):
        """Import and compile here what all runs need."""
        place = self._folder / "warm" / name
        lay_out(place, command, None)
        with chdir(place):
            ok(*command.arguments)

    def _try_clean(self, name, command):
        """Run a command without a fault, twice, and note how that ends."""
        if name == "resume":
            self._older[name] = self._interrupted()
        for _ in range(2):
            place = self._place(0)
            lay_out(place, command, self._older.get(name))
            ended = run(place, command.arguments, at_once=command.spooled)
            assert ended.code == 0, (name, ended.said)
            found = contents(place)
            assert self._clean.setdefault(name, found) == found, f"{name} is not the same twice"
            self.ended[name] = ended
        if name == "resume":
            assert self._clean[name] == self._clean["spool"]

    def _interrupted(self):
        """Return a folder that a run with a spool left, when it was killed half way."""
        command, place = self.commands["spool"], self._place(0)
        lay_out(place, command, None)
        changes = sum(call in CHANGES for call in self.ended["spool"].calls)
        fault = Fault(KILL_AFTER, changes // 2, kinds=CHANGES)
        assert run(place, command.arguments, fault, at_once=True).code == -9
        return shutil.copytree(place, self._folder / "interrupted")

    def _place(self, number):
        return self._folder / f"process-{number}" / "here"

    def cases(self, seed, kills, most):
        """Return all cases, in a fixed order."""
        return all_cases(self.ended, seed, kills, most)

    def tried(self, case, number):
        """Try a case in the folder of a process, and return what the journal says of it."""
        command, place = self.commands[case.command], self._place(number)
        clean = self._clean[case.command]
        lay_out(place, command, self._older.get(case.command))
        before = contents(place)
        ended = run(place, command.arguments, case.fault, at_once=command.spooled)
        wrong = list(after_fault(case, command, ended, place, clean, before))
        if ended.code == 0 and not wrong:  # all is as it shall be
            return _entry(case, "done", wrong)
        again = run(place, (*command.arguments, *command.again), at_once=command.spooled)
        wrong += after_next(again, place, clean)
        return _entry(case, outcome_of(ended), wrong)


def _entry(case, outcome, wrong):
    return {
        "case": case.name,
        "command": case.command,
        "kind": case.kind,
        "outcome": "breach" if wrong else outcome,
        "breaches": wrong,
    }
