"""Mining on a GPU: Numba's kernels, and PyTorch's memory and matrix products.

Peaks of a layer's filters stay on the GPU while there is room. Nothing of the size of nodes times
photos travels, but where the surest nodes are, for the layer below.

Results are those of the CPU up to the rounding of float32: after a few EM steps means agree within
0.001 pixels, shares within 1e-5, and the objective within 1e-5 of itself or a millionth of the
filter's response. Of what is equally good up to that, such as two parents, either may be chosen.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from numba import cuda
from numba.core import config
from numpy.typing import NDArray
from torch import Tensor

from explgraph.base.arrays import F4, F8, I4, I8, U1
from explgraph.peaks.structures import PeakSource

from . import _cuda
from .em import Fit, Mixture
from .engine import Kernels
from .guides import Block, Guide, Placed
from .parents import Companions
from .pose import MOST_WEIGHT, Regressions, Ridge

T = TypeVar("T")

_Kernel = Any  # of Numba, which tells no types

_NODE_BYTES = 128  # that a node takes in each photo while it is worked on
_FILTER_BYTES = 256  # that a filter's peaks take in each photo while they are brought
_WORK, _PEAKS = 0.25, 0.5  # of the free memory, for these and for peaks that stay
_TINY = float(np.finfo(np.float64).tiny)
_SIMULATED_BYTES = 1 << 28
_IS_SIMULATED = bool(vars(config).get("ENABLE_CUDASIM"))  # then its memory is the host's


def missing() -> str:
    """Return what this engine lacks here, with what to do about it; "" if nothing."""
    if _IS_SIMULATED:
        return ""
    if not torch.cuda.is_available():
        return "a GPU that PyTorch finds"
    if find_spec("numba_cuda") is None:
        return "Numba's CUDA target: pip install 'explgraph[cuda]'"
    return ""


class _Peaks(NamedTuple):
    """`em.PeakColumns`, and all that follows, on the GPU."""

    weight: Tensor
    yx: Tensor

    @property
    def n_images(self) -> int:
        """N."""
        return self.weight.shape[2]


class _Prior(NamedTuple):
    shift: Tensor
    half_precision: Tensor
    kappa: Tensor


class _Placed(NamedTuple):
    displacement: Tensor
    score: Tensor


class _Companions(NamedTuple):
    weight: Tensor
    moments: Tensor


class CudaEngine:
    """See `mining.engine.Engine`.

    Everything runs in PyTorch's and CUDA's default stream, one step after the other.
    """

    def __init__(self, source: PeakSource, mirrored: U1) -> None:
        free = _free_bytes()
        self._source = source
        self._mirrored = _upload(mirrored).bool()
        self._work, self._left = _WORK * free, _PEAKS * free
        self._kept: dict[tuple[int, int, int], _Peaks] = {}
        self._above: tuple[Placed, Tensor] | None = None
        self._upper: tuple[Companions, _Companions] | None = None

    def by_filters(
        self, layer: int, mixture: Mixture, task: Callable[[int, int, Kernels], T]
    ) -> list[T]:
        """Run the task, one after the other, on as many filters at a time as memory is for."""
        return [
            task(first, last, _CudaKernels(self, self._peaks(layer, first, last)))
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

    def _peaks(self, layer: int, first: int, last: int) -> _Peaks:
        """Return filters' peaks, photos facing one way."""
        key = layer, first, last
        if key in self._kept:
            return self._kept[key]
        block = self._source.block(layer, first, last)
        own = slice(first - block.first, last - block.first)
        weight = self._facing(block.weight, block.mirrored_weight, own).permute(1, 2, 0)
        yx = self._facing(block.yx, block.mirrored_yx, own).permute(1, 3, 2, 0)
        peaks = _Peaks(weight.contiguous(), yx.contiguous())
        size = sum(tensor.nbytes for tensor in peaks)
        if size <= self._left:
            self._left -= size
            self._kept[key] = peaks
        return peaks

    def _facing(self, given: F4, mirrored: F4, filters: slice) -> Tensor:
        """Take each photo's values (N, C, ...) of some filters, as given or mirrored."""
        values = _upload(given[:, filters])
        if mirrored is given:
            return values
        flip = self._mirrored.view(-1, *[1] * (values.ndim - 1))
        return torch.where(flip, _upload(mirrored[:, filters]), values)

    def prior(self, guide: Guide) -> _Prior:
        """Do as `guides.Guide.prior`."""
        n_nodes, n = len(guide.parent), len(self._source)
        shift, kappa = _zeros((n_nodes, 2, n)), _zeros((n_nodes, n)) + 1
        half_precision = _zeros((n_nodes,)) + 0.5 / guide.variance
        if guide.above is None:
            for node, pose in zip(guide.node_pose.transpose(2, 0, 1), guide.pose.T, strict=True):
                shift += _upload(node)[..., None] * _upload(pose)
        elif n_nodes:
            above = self._displacement(guide.above)
            arguments = _upload(guide.parent), above, guide.variance, shift, kappa
            _launch(_cuda.predict, n_nodes, *arguments)
        return _Prior(shift, half_precision, kappa)

    def companions(self, upper: Companions) -> _Companions:
        """Return those on the GPU; they are asked for again and again."""
        if self._upper is None or self._upper[0] is not upper:
            self._upper = upper, _Companions(*(_upload(array) for array in upper))
        return self._upper[1]

    def _displacement(self, above: Placed) -> Tensor:
        """Return where the nodes above are, likewise."""
        if self._above is None or self._above[0] is not above:
            self._above = above, _upload(above.displacement)
        return self._above[1]


@dataclass(frozen=True, eq=False, slots=True)
class _CudaKernels:
    """See `mining.engine.Kernels`."""

    engine: CudaEngine
    peaks: _Peaks

    def fit(self, block: Block, *, max_iter: int, tol: float, closing: bool) -> Fit:
        nodes = _upload_nodes(block.mixture)
        channels = len(block.mixture.noise)
        found = tuple(
            _zeros(shape, torch.float64)
            for shape in ((len(block.mixture), 5), (channels, 2), (channels, max_iter + 1))
        )
        self._run(_cuda.fit, block, nodes, max_iter, tol, int(closing), found)
        mixture = Mixture(*(_download(array) for array in nodes))
        return Fit(mixture, *(_download(array) for array in found))

    def held_out_gain(self, block: Block, sums: F8) -> F8:
        totals = _upload(sums), _zeros((len(block.mixture),), torch.float64)
        self._run(_cuda.held_out_gain, block, _upload_nodes(block.mixture), totals)
        return _download(totals[1] / self.peaks.n_images)

    def score(self, block: Block) -> F8:
        return _download(self._all(block, pull=1).score.mean(dim=1, dtype=torch.float64))

    def place(self, block: Block, pull: float, nodes: I8) -> Placed:
        chosen = _upload(nodes)
        return Placed(*(_download(array[chosen]) for array in self._all(block, pull)))

    def regress(self, block: Block, code: F8, penalty: float) -> Regressions:
        displacement, score = self._all(block, pull=1)
        ridge = Ridge.of(code, penalty)
        design = _upload(ridge.design)
        share = score.mean(dim=1, dtype=torch.float64)
        weight = (score / share.clamp(min=_TINY)[:, None]).clamp(max=MOST_WEIGHT)
        terms = design.shape[1]
        normal = _zeros((len(share), terms, terms), torch.float64)
        down, right = np.tril_indices(terms)
        normal[:, down, right] = weight @ _upload(ridge.outer) + _upload(ridge.penalty)
        target = torch.stack([(weight * displacement[:, i]) @ design for i in (0, 1)], dim=2)
        fitted = torch.cholesky_solve(target, torch.linalg.cholesky(normal))
        return Regressions(*(_download(array) for array in (fitted[:, :-1], fitted[:, -1], share)))

    def choose_parents(self, block: Block, upper: Companions, pull: float, n_parents: int) -> I4:
        m = min(n_parents, len(upper.weight))
        if m == len(upper.weight):
            return np.tile(np.arange(m, dtype=np.int32), (len(block.mixture), 1))
        displacement, score = self._all(block, pull)
        y, x = displacement[:, 0], displacement[:, 1]
        own = torch.cat([score * (y * y + x * x), score, -2 * score * y, -2 * score * x], dim=1)
        companions = self.engine.companions(upper)
        with _full_precision():
            square = own @ companions.moments.T
            weight = score @ companions.weight.T
        cost = torch.where(weight > 0, square / weight, torch.inf)  # inf: no photo shows both
        chosen = cost.sort(dim=1, stable=True).indices[:, :m]  # of equals the first
        return _download(chosen.sort(dim=1).values.int())

    def _run(self, kernel: _Kernel, block: Block, nodes: tuple[Tensor, ...], *rest: object) -> None:
        """Launch a kernel with one block of threads for each filter."""
        channels, _, n = self.peaks.weight.shape
        sums = (_zeros((channels, n)) for _ in range(3))
        room = _cuda.Room(torch.empty_like(self.peaks.weight), *sums)
        prior = self.engine.prior(block.guide)
        _launch(kernel, channels, self.peaks, nodes, prior, room, self.engine.area, *rest)

    def _all(self, block: Block, pull: float) -> _Placed:
        """Find all nodes; they stay on the GPU."""
        shape = len(block.mixture), self.peaks.n_images
        score = _zeros(shape)
        predicted, found = (_zeros((shape[0], 2, shape[1])) for _ in range(2))
        result = _zeros(shape, torch.int8), score, predicted, found
        self._run(_cuda.infer, block, _upload_nodes(block.mixture), result)
        mu = _upload(block.mixture.mu.astype(np.float32))[..., None]
        return _Placed(predicted + pull * (found - predicted) - mu, score)


def _device() -> torch.device:
    return torch.device("cpu" if _IS_SIMULATED else "cuda")


def _free_bytes() -> int:
    if _IS_SIMULATED:
        return _SIMULATED_BYTES
    torch.cuda.empty_cache()  # what the network's run has left
    return int(torch.cuda.mem_get_info()[0])


def _upload(array: NDArray[Any]) -> Tensor:
    """Copy an array to the GPU."""
    return torch.tensor(array, device=_device())


def _download(tensor: Tensor) -> NDArray[Any]:
    """Copy a tensor to the host."""
    array: NDArray[Any] = tensor.cpu().numpy()
    return array


def _upload_nodes(mixture: Mixture) -> tuple[Tensor, ...]:
    return tuple(_upload(array) for array in mixture.nodes)


def _zeros(shape: tuple[int, ...], kind: torch.dtype = torch.float32) -> Tensor:
    return torch.zeros(shape, dtype=kind, device=_device())


def _launch(kernel: _Kernel, blocks: int, *arguments: object) -> None:
    """Run a kernel on tensors and numbers."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Grid size")  # few filters are few blocks
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
