"""Where mining and matching compute: the CPU, or a GPU through CUDA."""

from __future__ import annotations

from typing import Literal, get_args

from explgraph.base.arrays import U1
from explgraph.base.errors import require, unknown_name
from explgraph.base.running.crew import Crew
from explgraph.peaks.structures import Peaks, PeakSource

from .cpu import CpuEngine, CpuPhotos
from .engine import Device, Engine, Photos
from .work.pool import PoolEngine


def usable_device(device: Device) -> Literal["cpu", "cuda"]:
    """Return where mining runs: "auto" is "cuda" where that works, else "cpu".

    Raises
    ------
    ExplGraphError
        If there is no such device, or "cuda" misses something: the message says what.
    """
    if device not in get_args(Device):
        raise unknown_name("device", str(device), get_args(Device))
    missing = "" if device == "cpu" else cuda_missing()
    require(
        device != "cuda" or not missing,
        f"mining with device='cuda' needs {missing}, which is missing. Or use device='cpu'",
    )
    return "cpu" if device == "cpu" or missing else "cuda"


def engine_for(
    device: Device, source: PeakSource, mirrored: U1, crew: Crew | None = None
) -> Engine:
    """Return the engine of a device.

    Parameters
    ----------
    device
        As for `usable_device`.
    source, mirrored
        Peaks of N photos, and (N,) 1 for those that are seen mirrored.
    crew
        Workers that share the work of the CPU; a GPU works by itself.

    Raises
    ------
    ExplGraphError
        As `usable_device`.
    """
    if usable_device(device) == "cpu":
        own = CpuEngine(source, mirrored)
        return own if crew is None else PoolEngine(own, crew)
    from .cuda import CudaEngine

    return CudaEngine(source, mirrored)


def photos_on(device: Device, peaks: tuple[Peaks, ...], input_size: tuple[int, int]) -> Photos:
    """Return N photos, to look for nodes in them on a device.

    Parameters
    ----------
    device
        As for `usable_device`.
    peaks, input_size
        Of L layers, each photo one way; (H_in, W_in), pixels.
    """
    if usable_device(device) == "cpu" or len(peaks[0]) == 0:
        return CpuPhotos(peaks, input_size)
    from .cuda import CudaPhotos

    return CudaPhotos.of(peaks, input_size)


def cuda_missing() -> str:
    """Return what mining on a GPU lacks here; "" if nothing."""
    from .cuda import missing

    return missing()
