"""The command line: ``explgraph --help``."""

from __future__ import annotations

import os


def main() -> None:
    """Run the command line."""
    # PyTorch's threads wait for each other by spinning, unless told otherwise before it is loaded.
    # Where another process has one of the cores, that makes the network ten times slower.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from explgraph.cli.app import main as run

    run()
