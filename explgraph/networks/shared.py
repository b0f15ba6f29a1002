"""A network that other threads use meanwhile: its modes, hooks and copies.

Modes and hooks stand in the network, where every thread meets them. So a hook acts in the thread
alone that set it, and the last one to leave gives modes back. Nobody waits for another's pass.
"""

from __future__ import annotations

import copy
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import chain
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from explgraph.base.errors import require

M = TypeVar("M", bound=nn.Module)
Hook = Callable[..., object]


class AllCalled(BaseException):
    """Ends a forward pass once every wanted output is there; no network's ``except`` catches it."""


class _Use:
    """One use of a network by one thread, from its beginning to its end."""

    __slots__ = ("over", "thread")

    def __init__(self) -> None:
        self.thread, self.over = _thread(), False

    def own(self, hook: Hook) -> Hook:
        """Return what does the same, in this thread and until the end."""

        def acts_here(*args: object) -> object:
            return None if self.over or _thread() is not self.thread else hook(*args)

        return acts_here


class _Here(threading.local):
    """Stands for its thread; its number would be another's after that one's end, or a fork."""

    def __init__(self) -> None:
        self.thread = object()


_here = _Here()
_lock = threading.RLock()  # for moments: while hooks or modes are set, or a network is copied
_alone = threading.RLock()
_uses: dict[nn.Module, set[_Use]] = {}  # by module that is in training mode otherwise


def _thread() -> object:
    return _here.thread


@contextmanager
def usual_modes(device: torch.device, *, gradients: bool) -> Iterator[None]:
    """Leave the modes of PyTorch that the caller is in, but for gradients: inference, autocast."""
    narrow = torch.is_autocast_enabled(device.type)
    with (
        torch.inference_mode(False),
        torch.set_grad_enabled(gradients),
        torch.autocast(device.type, enabled=False) if narrow else nullcontext(),
    ):
        yield


@contextmanager
def evaluation(module: nn.Module) -> Iterator[None]:
    """Put a module into evaluation mode and give every submodule its own mode back.

    Where other threads run it, or what it shares with another one, too, the last to leave does.

    Raises
    ------
    ExplGraphError
        At the end, if another thread has put it into training mode meanwhile.
    """
    children, use = list(module.modules()), _Use()
    try:
        _enter(module, children, use)
        try:
            yield
        except AllCalled:
            _check_undisturbed(children)
            raise
        _check_undisturbed(children)
    finally:
        _surely(lambda: _leave(children, use))


def _enter(module: nn.Module, children: list[nn.Module], use: _Use) -> None:
    with _lock:
        shared = [child for child in children if child.training or child in _uses]
        for child in shared:
            _uses.setdefault(child, set()).add(use)
        if shared:
            module.eval()


def _leave(children: list[nn.Module], use: _Use) -> None:
    with _lock:
        for child in children:
            uses = _uses.get(child, set())
            if uses == {use}:
                child.training = True
                del _uses[child]
            uses.discard(use)


def _check_undisturbed(children: list[nn.Module]) -> None:
    require(
        not any(child.training for child in children),
        "the network was put into training mode while it was run in evaluation mode, so that what "
        "it gave would be wrong: let nothing call train() meanwhile, or give Backbone a copy",
    )


@contextmanager
def own_hooks(
    wanted: Iterable[tuple[Callable[[Hook], RemovableHandle], Hook]],
) -> Iterator[None]:
    """Set hooks that act in this thread alone, and remove them at the end.

    Parameters
    ----------
    wanted
        Pairs: a module's method that registers a hook, and the hook. What was set before setting
        another one failed is removed as well.
    """
    use, handles = _Use(), list[RemovableHandle]()

    def remove() -> None:
        use.over = True
        with _lock:
            for handle in handles:
                handle.remove()

    try:
        for register, hook in wanted:
            with _lock:
                handles.append(register(use.own(hook)))
        yield
    finally:
        _surely(remove)


def _surely(step: Callable[[], None]) -> None:
    """Do what may be repeated to its end, even if a user interrupts just then."""
    interrupt: KeyboardInterrupt | None = None
    while True:
        try:
            step()
            break
        except KeyboardInterrupt as error:
            interrupt = error
    if interrupt is not None:
        raise interrupt


def copied_network(module: M, memo: dict[int, Any] | None = None) -> M:
    """Return a deep copy, made while no thread sets hooks or modes."""
    with _lock:
        return copy.deepcopy(module, memo)


def alone() -> AbstractContextManager[bool]:
    """Let one thread in at a time, to what PyTorch has once for all of them."""
    return _alone


@contextmanager
def own_random_numbers(device: torch.device, seed: int) -> Iterator[None]:
    """Seed PyTorch's random numbers, and put the caller's back at the end.

    All threads share them, so that only one is let in at a time.
    """
    with alone(), torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


def values_of(module: nn.Module) -> dict[int, Tensor]:
    """Return a network's parameters and buffers by identity: a copy that is to share them."""
    return {id(one): one for one in chain(module.parameters(), module.buffers())}


def _forget_other_threads() -> None:
    """Begin anew in a child process, which has none of its parent's threads."""
    global _lock, _alone
    _lock, _alone = threading.RLock(), threading.RLock()
    for child in list(_uses):
        child.training = True
    _uses.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_other_threads)
