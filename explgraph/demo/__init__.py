"""The whole path on drawn animals: ``explgraph demo``.

Files record the demo's network as ``explgraph.demo:network``.
"""

from __future__ import annotations


def __getattr__(name: str) -> object:
    if name in ("MODEL", "network", "run_demo"):
        from explgraph.demo import run

        return getattr(run, name)
    raise AttributeError(f"module 'explgraph.demo' has no attribute {name!r}")
