"""A run of the command line whose workers are killed, -9, and which then waits for its own end.

    python -m tests.support.driver mine PHOTOS ... --dask ADDRESS

One worker is killed once the first shard is done, and one as soon as it has work of mining. After
some units of mining it says how many that were, on standard output.
"""

import os
import signal
import sys

from explgraph.base.running.crew import Crew
from explgraph.cli.app import app
from explgraph.engines import crews
from tests.support.executors import SmallCrew, small_units

UNITS = 4  # of mining


def main():
    small_units()
    crews.Crew = SmallCrew
    note, workers, mined = Crew.note, {}, []

    def watched(self, **line):
        note(self, **line)
        at = line["stage"], line["state"]
        if at in (("photos", "begun"), ("mining", "begun")):
            workers.setdefault(line["stage"], self.executor.submit(os.getpid).result())
        if at == ("photos", "done") and workers.get("photos"):
            os.kill(workers["photos"], signal.SIGKILL)
            workers["photos"] = 0
        if at == ("mining", "done"):
            mined.append(line)
        if len(mined) == UNITS:
            killed = sum(pid == 0 for pid in workers.values())
            print(f"waiting after {killed} workers were killed", file=sys.__stdout__, flush=True)
            sys.stdin.read()

    def begun(unit):
        kind = type(getattr(unit.unit, "unit", unit.unit)).__name__
        if kind == "FilterUnit" and workers.get("mining"):
            os.kill(workers["mining"], signal.SIGKILL)
            workers["mining"] = 0

    Crew.note, SmallCrew.begun = watched, staticmethod(begun)
    app()


if __name__ == "__main__":
    main()
