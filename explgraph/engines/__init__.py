"""More processes, more machines: who does the work of `explgraph.mine`, `extract` and `match`.

Any `concurrent.futures.Executor` does; see `explgraph.base.running.crew` for the units of work.
"""

from .pools import process_pool
from .ray import ray_executor

__all__ = ["process_pool", "ray_executor"]
