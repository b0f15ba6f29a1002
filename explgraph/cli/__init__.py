"""The command line: ``explgraph --help``."""

from __future__ import annotations


def main() -> None:
    """Run the command line."""
    from explgraph.cli.app import main as run

    run()
