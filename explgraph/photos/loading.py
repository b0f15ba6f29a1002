"""Images to batches of network inputs, decoded in threads ahead of the network."""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, islice
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from explgraph.base.arrays import F4, F8, I4
from explgraph.base.errors import require
from explgraph.base.frames import composed
from explgraph.base.progress import PHOTOS, Progress, stage, watched

from .decoding import UnreadableImageError, reading
from .images import ImageSource

PreprocessFunction = Callable[[Image.Image], tuple[torch.Tensor, NDArray[np.float64]]]

_MAX_WORKERS = 8  # beyond, threads wait for each other more than they decode
_NAMES_SHOWN = 20

_log = logging.getLogger("explgraph")


@dataclass(frozen=True, eq=False, slots=True)
class Batch:
    """B images, ready for the network.

    Attributes
    ----------
    indices
        B indices into the source, rising.
    tensor
        (B, C_in, H_in, W_in) float32, on the CPU.
    frames
        (B, 2, 2) from network pixels to the whole photo's unit square, per axis (y, x):
        ``unit = frames[:, :, 0] + frames[:, :, 1] * px``.
    photo_size
        (B, 2) height and width of the whole photos, pixels.
    """

    indices: list[int]
    tensor: torch.Tensor
    frames: F8
    photo_size: I4


@dataclass(slots=True)
class Skipped:
    """The images that could not be used.

    Attributes
    ----------
    names, reasons
        In the order of the source.
    """

    names: list[str] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)

    def add(self, error: UnreadableImageError) -> None:
        """Note one more image."""
        self.names.append(error.name)
        self.reasons.append(error.reason)

    def join(self, other: Skipped) -> None:
        """Note those of another, too."""
        self.names += other.names
        self.reasons += other.reasons

    def report(self, total: int) -> None:
        """Say once which of ``total`` images were skipped; raise if none is left."""
        if not self.names:
            return
        require(len(self) < total, f"none of the {total} images can be used: {self}")
        _log.warning("skipped %d of %d images that cannot be used: %s", len(self), total, self)

    def __len__(self) -> int:
        return len(self.names)

    def __str__(self) -> str:
        shown = zip(self.names[:_NAMES_SHOWN], self.reasons, strict=False)
        text = "; ".join(f"{name} ({reason})" for name, reason in shown)
        more = len(self) - _NAMES_SHOWN
        return f"{text}; and {more} more" if more > 0 else text


class Batches(Iterator[Batch]):
    """The iterator that `iterate_batches` returns.

    Leaving it early (the end of a ``with`` block, `close`, or the last reference gone) cancels what
    is not decoded yet and joins the threads.

    Attributes
    ----------
    skipped
        The images skipped so far.
    """

    def __init__(self, generate: Callable[[Skipped], Generator[Batch]]) -> None:
        self.skipped = Skipped()
        self._generator = generate(self.skipped)

    def __next__(self) -> Batch:
        return next(self._generator)

    def close(self) -> None:
        """Stop: no more batches come, and no thread is left."""
        self._generator.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


@dataclass(frozen=True, eq=False, slots=True)
class _Ready:
    index: int
    pixels: F4
    frame: F8
    photo_size: tuple[int, int]


_Task = Callable[[int], _Ready | UnreadableImageError]


def iterate_batches(
    source: ImageSource,
    preprocess: PreprocessFunction,
    *,
    batch_size: int,
    workers: int | None = None,
    strict: bool = False,
    progress: Progress = True,
    called: str = PHOTOS,
    spans: Sequence[range] | None = None,
) -> Batches:
    """Iterate over the images of a source as batches for the network, in order.

    Images are decoded and preprocessed in threads, about two batches ahead, so that a script
    needs no ``if __name__ == "__main__"``. One that cannot be decoded, or comes out with NaN, is
    skipped (its place in the batch goes to the next) and named in one warning at the end.

    Parameters
    ----------
    source
        The images.
    preprocess
        From an upright RGB image to the network's input (C_in, H_in, W_in) and the frame (2, 2)
        that maps network pixels to the image's unit square: ``unit = frame[:, 0] + frame[:, 1] *
        px``.
        Called from several threads.
    batch_size
        B; the last batch may be smaller.
    workers
        Threads; None: one for each usable core, at most 8.
    strict
        Raise for the first image that would be skipped.
    progress
        Show on standard error how far it is, see `explgraph.base.progress.watched`; or a function
        that is called with the number of images decoded and their total.
    called
        What this stage of the run is called there.
    spans
        Which images, by index in the source, rising. Batches begin anew in each span, so that what
        is made of one does not depend on the others. Then nothing is said of what is skipped, and
        it may be all: see `Skipped.report`. None: all images, as one span.

    Returns
    -------
    An iterator of `Batch`, with the `Skipped` images so far as its attribute ``skipped``. Use it in
    a ``with`` block where an exception may leave the loop and be kept.

    Raises
    ------
    ExplGraphError
        If no image at all can be used; with `strict`, at the first that cannot.
    """
    require(batch_size >= 1, f"batch_size must be at least 1, got {batch_size}")
    require(workers is None or workers >= 1, f"workers must be at least 1, got {workers}")
    threads = _usable_cores() if workers is None else workers

    parts = (range(len(source)),) if spans is None else spans
    indices = list(chain.from_iterable(parts))
    ends = {part.stop - 1 for part in parts}

    def generate(skipped: Skipped) -> Generator[Batch]:
        told = progress if callable(progress) else _tell_nobody
        with (
            _thread_pool(threads) as pool,
            watched(progress),
            stage(called, len(indices)) as shown,
        ):
            task = partial(_prepare, source, preprocess)
            results = _in_order(pool, task, indices, ahead=max(2 * batch_size, threads))
            ready: list[_Ready] = []
            for count, (index, result) in enumerate(zip(indices, results, strict=True), 1):
                told(count, len(indices))
                if isinstance(result, _Ready):
                    ready.append(result)
                elif strict:
                    raise result
                else:
                    skipped.add(result)
                if len(ready) == batch_size or (ready and index in ends):
                    batch, ready = _batch(ready), []
                    yield batch
                    shown.reach(count)  # now that the next is asked for
            shown.reach(len(indices))
        if spans is None:
            skipped.report(len(source))

    return Batches(generate)


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return min(_MAX_WORKERS, len(os.sched_getaffinity(0)))
    return min(_MAX_WORKERS, os.cpu_count() or 1)


@contextmanager
def _thread_pool(threads: int) -> Iterator[ThreadPoolExecutor]:
    pool = ThreadPoolExecutor(threads, thread_name_prefix="explgraph-images")
    try:
        yield pool
    finally:
        # Unlike the executor's own ``with``: after Ctrl-C the images in the queue are not decoded.
        pool.shutdown(wait=True, cancel_futures=True)


def _tell_nobody(_done: int, _total: int) -> None:
    pass


def _in_order(
    pool: ThreadPoolExecutor, task: _Task, indices: Sequence[int], ahead: int
) -> Iterator[_Ready | UnreadableImageError]:
    """Run a task for each index, never more than ``ahead`` before the one that is taken."""
    todo = iter(indices)
    pending = deque(pool.submit(task, index) for index in islice(todo, ahead))
    while pending:
        result = pending.popleft().result()
        pending.extend(pool.submit(task, index) for index in islice(todo, 1))
        yield result


def is_usable(source: ImageSource, preprocess: PreprocessFunction, index: int) -> bool:
    """Return whether an image can be decoded and preprocessed, so that it is not skipped."""
    return isinstance(_prepare(source, preprocess, index), _Ready)


def _prepare(
    source: ImageSource, preprocess: PreprocessFunction, index: int
) -> _Ready | UnreadableImageError:
    """Decode and preprocess one image; an unusable one is returned as the error that names it."""
    try:
        loaded = source.load(index)
    except UnreadableImageError as error:
        return error
    try:
        tensor, inner = preprocess(loaded.image)
        # NumPy, here and in `_batch`: torch would start its own threads inside of ours.
        pixels = tensor.detach().float().numpy()
    except MemoryError:
        with reading(source.items[index].name):
            raise
    if not np.isfinite(pixels).all():
        return UnreadableImageError(source.items[index].name, "preprocessing gives NaN or infinity")
    # Network pixels -> cut-out by inner -> photo by the item's own frame.
    return _Ready(index, pixels, composed(loaded.frame, inner), loaded.photo_size)


def _batch(ready: list[_Ready]) -> Batch:
    shapes = {item.pixels.shape for item in ready}
    require(
        len(shapes) == 1, f"preprocess must give every image the same shape, got {sorted(shapes)}"
    )
    return Batch(
        indices=[item.index for item in ready],
        tensor=torch.from_numpy(np.stack([item.pixels for item in ready])),
        frames=np.stack([item.frame for item in ready]),
        photo_size=np.array([item.photo_size for item in ready], dtype=np.int32),
    )
