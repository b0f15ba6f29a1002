"""``python -m tests.fuzz``: see ``--help`` and CONTRIBUTING.md."""

import argparse
import os
import sys
import tempfile
import time
import traceback
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # forked processes, each on one core


def parsed():
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Fuzz all readers.")
    parser.add_argument("--count", type=int, default=100_000, help="inputs of all formats together")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--journal", help="a JSON file; an interrupted run goes on from it")
    parser.add_argument("--only", action="append", help="a format; may be given again")
    parser.add_argument("--replay", metavar="FORMAT:SEED:INDEX", help="make one input again")
    parser.add_argument("--keep", help="with --replay, a folder for the input's files")
    parser.add_argument(
        "--atheris", type=int, default=0, metavar="RUNS", help="for each format, after the others"
    )
    for own in ("--search", "--report"):  # of the processes that this one starts
        parser.add_argument(own, help=argparse.SUPPRESS)
    parser.add_argument("--runs", type=int, help=argparse.SUPPRESS)
    return parser.parse_args()


def replay(told, keep):
    """Make an input again, say what became of it, and with which traceback."""
    from .oracle import Judge, known, prepare

    name, seed, index = told.rsplit(":", 2)
    prepare()
    with tempfile.TemporaryDirectory() as folder:
        judge = Judge(known(name), folder)
        case = judge.input(int(seed), int(index))
        print(case.how, {file: len(data) for file, data in case.files.items()})
        for file, data in case.files.items() if keep else ():
            Path(keep, file).parent.mkdir(parents=True, exist_ok=True)
            Path(keep, file).write_bytes(data)
        outcome = judge.judge(case)
        print(outcome.kind, outcome.what)
        try:
            value = judge.format.read(judge.scratch.folder)
            judge.format.rule(value)
            judge.format.use(value)
        except Exception:
            traceback.print_exc()


def main():
    given = parsed()
    if given.search:
        from .coverage import search

        return search(given.search, given.runs, given.seed, given.report)
    if given.replay:
        return replay(given.replay, given.keep)
    from .campaign import campaign, table
    from .coverage import is_installed, searches
    from .formats import FORMATS, warm
    from .oracle import known

    warm()
    formats = [known(name) for name in given.only] if given.only else list(FORMATS.values())
    told, start = [time.monotonic()], time.monotonic()

    def say(tallies, wanted):
        if time.monotonic() > told[0] + 10:
            told[0] = time.monotonic()
            done = sum(t.outcomes.total() for t in tallies.values())
            bad = sum(t.n_breaches for t in tallies.values())
            print(f"{done:,} of {sum(wanted.values()):,}, {bad} breaches", file=sys.stderr)

    tallies = campaign(formats, given.count, given.seed, given.processes, given.journal, say)
    if given.atheris and not is_installed():
        print("atheris is not installed, so nothing was searched by coverage", file=sys.stderr)
    elif given.atheris:
        names = [one.name for one in formats]
        tallies |= searches(names, given.atheris, given.seed, given.processes)
    print("\n".join(table(tallies)))
    print(f"in {time.monotonic() - start:.0f} s")
    for name, tally in tallies.items():
        for index, kind, what, how in tally.breaches:
            print(f"{kind}: {name}:{given.seed}:{index} [{how}] {what}")
    return int(any(tally.n_breaches for tally in tallies.values()))


if __name__ == "__main__":
    sys.exit(main())
