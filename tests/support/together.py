"""Calls at the same moment, and what a run may leave behind."""

import os
import sys
import threading
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

MANY = int(os.environ.get("EXPLGRAPH_TOGETHER", "1"))
"""How often the tests of threads, processes and interrupts repeat: 1 in the test suite."""

SELDOM = pytest.mark.skipif(MANY == 1, reason="one more of its kind: with EXPLGRAPH_TOGETHER")
"""Of a case that takes long and is much like another one."""

LONG = 600
"""Seconds after which a test of threads is taken to hang."""


@contextmanager
def hasty_switches():
    """Let Python change threads at nearly every step, so that what can go wrong does."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def at_once(calls):
    """Call functions in a thread each, all beginning together; return their results in order.

    What one of them raises is raised.
    """
    results, errors, begin = [None] * len(calls), [], threading.Barrier(len(calls))

    def work(i, call):
        begin.wait(LONG)
        try:
            results[i] = call()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=pair) for pair in enumerate(calls)]
    with hasty_switches():
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(LONG)
    assert not any(thread.is_alive() for thread in threads)
    if errors:
        raise errors[0]
    return results


def content(value):
    """All that a result holds, as something that can be compared: bytes of arrays and the like."""
    if isinstance(value, torch.Tensor):
        return content(value.detach().cpu().numpy())
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, value.tobytes()
    if is_dataclass(value):
        return type(value).__name__, [content(getattr(value, one.name)) for one in fields(value)]
    if hasattr(value, "items"):
        return [(key, content(one)) for key, one in value.items()]
    if isinstance(value, tuple | list):
        return [content(one) for one in value]
    return repr(value)


def modes(module):
    """Which submodules are in training mode, by name."""
    return {name: child.training for name, child in module.named_modules()}


def hooks(module):
    """How many hooks are set in a network."""
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return sum(len(getattr(child, kind)) for child in module.modules() for kind in kinds)


def open_files():
    """How many files the process has open; 0 where the system does not say."""
    folder = Path("/proc/self/fd")
    return len(list(folder.iterdir())) if folder.is_dir() else 0


def memory():
    """MiB of memory that the process has; 0 where the system does not say."""
    status = Path("/proc/self/status")
    if not status.is_file():
        return 0
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024
