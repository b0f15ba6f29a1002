"""Mining and matching on a GPU: Numba's kernels, and PyTorch's memory and matrix products.

Peaks of a layer's filters stay on the GPU while there is room. Nothing of the size of nodes times
photos travels, but where the surest nodes are, for the layer below.

Results are those of the CPU up to the rounding of float32: after a few EM steps means agree within
0.001 pixels, shares within 1e-5, and the objective within 1e-5 of itself or a millionth of the
filter's response. Of what is equally good up to that, such as two parents, either may be chosen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Self, TypeVar

import numpy as np
import torch
from numba import cuda
from numba.core import config
from numpy.typing import NDArray
from torch import Tensor

from explgraph.base.arrays import F4, F8, I4, I8, U1, Array, on_host
from explgraph.base.errors import installing
from explgraph.base.unwarned import unwarned
from explgraph.peaks.structures import GROUP, Peaks, PeakSource

from . import _cuda
from .em import Fit, Inference, Mixture, PeakColumns
from .engine import Kernels, Photos, enough, oriented_groups
from .filters import merge_nodes
from .guides import Block, Guide, Placed
from .parents import Companions, Prior, choose_parents, plain_prior
from .pose import PoseMap, Regressions, pose_shift, regress

T = TypeVar("T")

_Kernel = Any  # of Numba, which tells no types

_NODE_BYTES = 128  # that a node takes in each photo while it is worked on
_FILTER_BYTES = 256  # that a filter's peaks take in each photo while they are brought
_WORK, _PEAKS = 0.25, 0.5  # of the free memory, for these and for peaks that stay
_SIMULATED_BYTES = 1 << 28
_IS_SIMULATED = bool(vars(config).get("ENABLE_CUDASIM"))  # then its memory is the host's


def missing() -> str:
    """Return what this engine lacks here, with what to do about it; "" if nothing."""
    if find_spec("array_api_compat") is None:
        return f"array-api-compat: {installing('cuda')}"
    if _IS_SIMULATED:
        return ""
    if not torch.cuda.is_available():
        return "a GPU that PyTorch finds"
    if find_spec("numba_cuda") is None:
        return f"Numba's CUDA target: {installing('cuda')}"
    return ""


class CudaEngine:
    """See `mining.engine.Engine`.

    Everything runs in PyTorch's and CUDA's default stream, one step after the other.
    """

    def __init__(self, source: PeakSource, mirrored: U1) -> None:
        free = _free_bytes()
        self._source, self._mirrored, self._flip = source, mirrored, upload(mirrored).bool()
        self._work, self._left = _WORK * free, _PEAKS * free
        self._layers: dict[int, tuple[PeakColumns, U1] | None] = {}  # 1: a filter is there
        self._above: tuple[Placed, Tensor] | None = None
        self._upper: tuple[Companions, Companions] | None = None

    @property
    def source(self) -> PeakSource:
        """The photos' peaks, both ways."""
        return self._source

    @property
    def is_here(self) -> bool:
        """Yes."""
        return True

    def by_filters(
        self, layer: int, mixture: Mixture, task: Callable[[int, int, Kernels], T]
    ) -> list[T]:
        """Run the task, one after the other, on as many filters at a time as memory is for."""
        return [
            task(first, last, _CudaKernels(self, self.columns(layer, first, last)))
            for first, last in self._ranges(mixture)
        ]

    @property
    def area(self) -> float:
        """The network input's, square pixels."""
        height, width = self._source.input_size
        return float(height * width)

    def _ranges(self, mixture: Mixture) -> list[tuple[int, int]]:
        """Return ranges of filters; their sizes are powers of two, so that they come again."""
        channels, nodes = len(mixture.noise), int(np.diff(mixture.start).max(initial=0))
        one = len(self._source) * (nodes * _NODE_BYTES + _FILTER_BYTES)
        size = 1 << (max(1, int(self._work) // one).bit_length() - 1)
        return [(first, min(first + size, channels)) for first in range(0, channels, size)]

    def columns(self, layer: int, first: int, last: int) -> PeakColumns:
        """Return filters' peaks; those of a layer stay, if there is room for all of its filters."""
        if layer in self._layers and (kept := self._layers[layer]) and kept[1][first:last].all():
            return PeakColumns(*(array[first:last] for array in kept[0]))
        own = self._bring(layer, first, last)
        if layer not in self._layers:
            self._layers[layer] = self._room(own, self._source.layers[layer].channels)
        if kept := self._layers[layer]:
            for whole, part in zip(kept[0], own, strict=True):
                whole[first:last] = part
            kept[1][first:last] = 1
        return own

    def _bring(self, layer: int, first: int, last: int) -> PeakColumns:
        """Bring filters' peaks to the GPU, photos facing one way."""
        block = self._source.block(layer, first, last)
        own = slice(first - block.first, last - block.first)
        weight = self._facing(block.weight, block.mirrored_weight, own)
        return _columns(weight, self._facing(block.yx, block.mirrored_yx, own))

    def _room(self, some: PeakColumns, channels: int) -> tuple[PeakColumns, U1] | None:
        """Return room for all of a layer's filters, of which some are here; None: there is none."""
        size = sum(array.nbytes for array in some) // len(some.weight) * channels
        if size > self._left:
            return None
        self._left -= size
        whole = (array.new_zeros((channels, *array.shape[1:])) for array in some)
        return PeakColumns(*whole), np.zeros(channels, dtype=np.uint8)

    def _facing(self, given: F4, mirrored: F4, filters: slice) -> Tensor:
        """Take each photo's values (N, C, ...) of some filters, as given or mirrored."""
        values: Tensor = upload(given[:, filters])
        if mirrored is given:
            return values
        flip = self._flip.view(-1, *[1] * (values.ndim - 1))
        return torch.where(flip, upload(mirrored[:, filters]), values)

    def over_groups(self, task: Callable[[Photos], T]) -> Iterator[T]:
        """Yield ``task(photos)`` of each group."""
        return map(task, self.groups())

    def groups(self) -> Iterator[CudaPhotos]:
        """Yield all photos; their peaks are brought again where they did not stay."""
        size = self._source.input_size
        kept = [self._layers.get(layer) for layer in range(len(self._source.layers))]
        whole = [layer[0] for layer in kept if layer and layer[1].all()]
        if len(whole) < len(kept):
            for peaks in oriented_groups(self._source, self._mirrored):
                yield CudaPhotos.of(peaks, size)
            return
        for first in range(0, len(self._source), GROUP):
            photos = slice(first, first + GROUP)
            cut = ((array[..., photos].contiguous() for array in layer) for layer in whole)
            yield CudaPhotos(tuple(PeakColumns(*layer) for layer in cut), size)

    def prior(self, guide: Guide) -> Prior:
        """Do as `guides.Guide.prior`."""
        n_nodes, n_parents = guide.parent.shape
        if guide.above is None:
            shift = pose_shift(upload(guide.pose), upload(guide.node_pose))
            return plain_prior(shift, guide.variance)
        start = np.arange(n_nodes + 1, dtype=np.int64) * n_parents
        above = self._displacement(guide.above)
        return _predict(start, guide.parent.ravel(), above, guide.variance)

    def companions(self, upper: Companions) -> Companions:
        """Return those on the GPU; they are asked for again and again."""
        if self._upper is None or self._upper[0] is not upper:
            self._upper = upper, Companions(*(upload(array) for array in upper))
        return self._upper[1]

    def _displacement(self, above: Placed) -> Tensor:
        """Return where the nodes above are, likewise."""
        if self._above is None or self._above[0] is not above:
            self._above = above, upload(above.displacement)
        return self._above[1]


@dataclass(frozen=True, eq=False, slots=True)
class _CudaKernels:
    """See `mining.engine.Kernels`."""

    engine: CudaEngine
    peaks: PeakColumns

    def fit(self, block: Block, *, max_iter: int, tol: float, closing: bool) -> Fit:
        nodes = _upload_nodes(block.mixture)
        channels = len(block.mixture.noise)
        found = tuple(
            _zeros(shape, torch.float64)
            for shape in ((len(block.mixture), 5), (channels, 2), (channels, max_iter + 1))
        )
        self._run(_cuda.fit, block, nodes, max_iter, tol, int(closing), found)
        mixture = Mixture(*(on_host(array) for array in nodes))
        return Fit(mixture, *(on_host(array) for array in found))

    def merge(self, mixture: Mixture, radius: float) -> tuple[Mixture, I8]:
        return merge_nodes(mixture, radius, _absorb)

    def held_out_gain(self, block: Block, sums: F8) -> F8:
        totals = upload(sums), _zeros((len(block.mixture),), torch.float64)
        self._run(_cuda.held_out_gain, block, _upload_nodes(block.mixture), totals)
        return on_host(totals[1] / self.peaks.n_images)

    def score(self, block: Block) -> F8:
        return on_host(self._all(block, pull=1).score.mean(dim=1, dtype=torch.float64))

    def place(self, block: Block, pull: float, nodes: I8) -> Placed:
        chosen = upload(nodes)
        return Placed(*(on_host(array[chosen]) for array in self._all(block, pull)))

    def regress(self, block: Block, code: F8, penalty: float) -> Regressions:
        photos = enough(len(code))
        placed = self._all(block, pull=1).photos(photos)
        found = regress(upload(code[photos]), *placed, penalty)
        return Regressions(*(on_host(array) for array in found))

    def choose_parents(self, block: Block, upper: Companions, pull: float, n_parents: int) -> I4:
        above = self.engine.companions(upper)
        with _full_precision():
            found = self._all(block, pull).photos(enough(self.peaks.n_images))
            return choose_parents(*found, above, n_parents)

    def _run(self, kernel: _Kernel, block: Block, nodes: tuple[Tensor, ...], *rest: object) -> None:
        """Launch a kernel with one block of threads for each filter."""
        room, prior = _room(self.peaks), self.engine.prior(block.guide)
        arguments = self.peaks, nodes, prior, room, self.engine.area, *rest
        _launch(kernel, len(self.peaks.weight), *arguments)

    def _all(self, block: Block, pull: float) -> Placed:
        """Find all nodes; they stay on the GPU."""
        prior = self.engine.prior(block.guide)
        found = _infer(self.peaks, block.mixture, prior, self.engine.area)
        return Placed.of(found, block.mixture.mu, pull)


@dataclass(frozen=True, eq=False, slots=True)
class CudaPhotos:
    """See `mining.engine.Photos`; ``layers`` are their peaks, on the GPU."""

    layers: tuple[PeakColumns, ...]
    input_size: tuple[int, int]

    @classmethod
    def of(cls, peaks: tuple[Peaks, ...], input_size: tuple[int, int]) -> Self:
        """Bring photos' peaks to the GPU."""
        return cls(tuple(_columns(upload(p.weight), upload(p.yx)) for p in peaks), input_size)

    def __len__(self) -> int:
        return self.layers[0].n_images

    def columns(self, layer: int) -> PeakColumns:
        """Return a layer's peaks."""
        return self.layers[layer]

    def pose(self, pose_map: PoseMap) -> Tensor:
        """Return (N, Q) poses."""
        pose: Tensor = pose_map.of(*self.layers[-1].by_photo(slice(None)), self.input_size)
        return pose

    def predict(self, start: I8, parent: I4, displacement: Tensor, variance: float) -> Prior:
        """Say where nodes are expected."""
        return _predict(start, parent, displacement, variance)

    def infer(self, peaks: PeakColumns, mixture: Mixture, prior: Prior) -> Inference:
        """Find a layer's nodes."""
        height, width = self.input_size
        return _infer(peaks, mixture, prior, float(height * width))


def _columns(weight: Tensor, yx: Tensor) -> PeakColumns:
    """Lay out peaks (N, C, K) and (N, C, K, 2) photo beside photo."""
    columns = weight.permute(1, 2, 0), yx.permute(1, 3, 2, 0)
    return PeakColumns(*(array.contiguous() for array in columns))


def _room(peaks: PeakColumns) -> _cuda.Room:
    channels, _, n = peaks.weight.shape
    return _cuda.Room(torch.empty_like(peaks.weight), *(_zeros((channels, n)) for _ in range(3)))


def _infer(peaks: PeakColumns, mixture: Mixture, prior: Prior, area: float) -> Inference:
    """Do as `em.infer`."""
    shape, room = (len(mixture), peaks.n_images), _room(peaks)
    predicted, found = (_zeros((shape[0], 2, shape[1])) for _ in range(2))
    result = Inference(_zeros(shape, torch.int8), _zeros(shape), predicted, found, room.gain)
    arguments = peaks, _upload_nodes(mixture), prior, room, area, result
    _launch(_cuda.infer, len(mixture.noise), *arguments)
    return result


def _predict(start: I8, parent: I4, displacement: Tensor, variance: float) -> Prior:
    """Do as `parents.predict`."""
    n_nodes, n = len(start) - 1, displacement.shape[2]
    prior = plain_prior(_zeros((n_nodes, 2, n)), variance)
    if n_nodes:
        arguments = upload(start), upload(parent), displacement, float(variance)
        _launch(_cuda.predict, n_nodes, *arguments, prior.shift, prior.kappa)
    return prior


def _absorb(start: I8, mu: F8, rank: I8, square: float, kept: NDArray[Any], total: F8) -> None:
    """Do as `filters.absorb` with every filter."""
    stays, weight = _zeros(kept.shape, torch.bool), upload(total)
    nodes = tuple(upload(array) for array in (start, mu, rank))
    _launch(_cuda.merge, len(start) - 1, nodes, square, (stays, weight))
    kept[:], total[:] = on_host(stays), on_host(weight)


def _device() -> torch.device:
    return torch.device("cpu" if _IS_SIMULATED else "cuda")


def _free_bytes() -> int:
    if _IS_SIMULATED:
        return _SIMULATED_BYTES
    torch.cuda.empty_cache()  # what the network's run has left
    return int(torch.cuda.mem_get_info()[0])


def upload(array: NDArray[Any]) -> Array:
    """Copy an array to the GPU."""
    return torch.tensor(array, device=_device())


def _upload_nodes(mixture: Mixture) -> tuple[Tensor, ...]:
    return tuple(upload(array) for array in mixture.nodes)


def _zeros(shape: tuple[int, ...], kind: torch.dtype = torch.float32) -> Array:
    return torch.zeros(shape, dtype=kind, device=_device())


def _launch(kernel: _Kernel, blocks: int, *arguments: object) -> None:
    """Run a kernel on tensors and numbers."""
    with unwarned("Grid size", Warning):  # few filters are few blocks
        kernel[blocks, _cuda.THREADS](*(_for_numba(argument) for argument in arguments))


def _for_numba(value: object) -> object:
    """Show Numba a tensor, or a tuple of them, without a copy."""
    if isinstance(value, tuple):
        make = getattr(value, "_make", tuple)  # a named tuple stays one
        return make(_for_numba(item) for item in value)
    if not isinstance(value, Tensor):
        return value
    return value.numpy() if _IS_SIMULATED else cuda.as_cuda_array(value)  # type: ignore[no-untyped-call]


@contextmanager
def _full_precision() -> Iterator[None]:
    """Keep the GPU from rounding the factors of products, whatever the caller has set."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
