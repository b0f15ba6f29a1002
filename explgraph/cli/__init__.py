"""The command line: ``explgraph --help``."""

from __future__ import annotations

import os


def main() -> None:
    """Run the command line."""
    # PyTorch's threads (GNU OpenMP) wait for each other by spinning, for milliseconds unless told
    # otherwise before it is loaded. Where another process has one of the cores, that makes the
    # network several times slower; not to spin at all costs a tenth where none has.
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "2000")
    from explgraph.cli.app import main as run

    run()
