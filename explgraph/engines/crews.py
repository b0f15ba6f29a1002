"""An executor and a folder that its workers see: for what they share, and what is kept."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from explgraph.base.errors import ExplGraphError, import_extra, require
from explgraph.base.files import PathLike
from explgraph.base.running.crew import Crew
from explgraph.base.running.lock import only_run
from explgraph.base.running.shared import clear_shared
from explgraph.base.temporaries import temporary_folder
from explgraph.base.writing import check_folder_writable
from explgraph.peaks.reading import ReadOptions

from .pools import process_pool
from .ray import ray_executor


class WorkOptions(ReadOptions, total=False):
    """How photos are read, and by whom.

    Attributes
    ----------
    executor
        Any `concurrent.futures.Executor`, whose workers share the work: a pool of processes
        (`explgraph.engines.process_pool`), Dask's ``Client.get_executor()``, submitit's. Results
        have the same bytes as without. Workers see the folder ``spool``; without one a temporary
        folder of this machine is taken. None: this process (None).
    """

    executor: Executor | None


class Workplace(NamedTuple):
    """Where a run keeps its work, if anywhere, and who does it, if others do."""

    folder: Path | None
    crew: Crew | None


@contextmanager
def workplace(
    executor: Executor | None, spool: PathLike | None, *, resumes: bool = False
) -> Iterator[Workplace]:
    """Prepare a run, within; no other run may use the same folder meanwhile.

    Parameters
    ----------
    executor
        Does the work; None: this process.
    spool
        The folder. With an executor and without one, it is a temporary one of this machine, which
        is removed afterwards: workers on others do not see it.
    resumes
        Whether the run could go on with what is in the folder.

    Raises
    ------
    ExplGraphError
        If it is no executor, or another run is at work in the folder.
    """
    require(
        executor is None or isinstance(executor, Executor) or hasattr(executor, "submit"),
        f"executor must be a concurrent.futures.Executor, got {type(executor).__name__}. Of Dask: "
        "Client(...).get_executor()",
    )
    with ExitStack() as stack:
        folder = None if spool is None else Path(spool)
        if folder is not None:
            check_folder_writable(folder)
            stack.enter_context(only_run(folder))
            clear_shared(folder)
        elif executor is not None:
            folder = stack.enter_context(temporary_folder())
        if executor is None or folder is None:
            yield Workplace(folder, None)
            return
        again = (
            "Run it once more with resume=True (--resume): what is done is not done again"
            if resumes and spool is not None
            else "Run it again; with a spool, mining can go on where it was"
        )
        yield Workplace(folder, Crew(executor, folder, again))


@contextmanager
def executor_of(
    workers: int | None = None,
    dask: str | None = None,
    ray: str | None = None,
    *,
    num_gpus: float = 0,
) -> Iterator[Executor | None]:
    """Open the executor that a command line asks for, if any, within.

    Parameters
    ----------
    workers
        Processes of this machine; with ``ray``, actors (None: as many as the cluster has CPUs, or
        GPUs, for).
    dask
        Address of a Dask scheduler.
    ray
        Address of a Ray cluster; "local" starts one on this machine.
    num_gpus
        That each of its actors has for itself.

    Raises
    ------
    ExplGraphError
        If two are given, or one is not installed or not there.
    """
    require(
        dask is None or (workers is None and ray is None),
        "give one of --workers, --dask and --ray; --workers with --ray",
    )
    if ray is not None:
        with (
            _ray_cluster(ray, num_gpus) as most,
            ray_executor(workers or most, num_gpus=num_gpus) as executor,
        ):
            yield executor
    elif workers is not None:
        pool = process_pool(workers)
        try:
            yield pool
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
    elif dask is not None:
        distributed = import_extra("distributed", "dask")
        try:
            client = distributed.Client(dask)
        except OSError as error:
            raise ExplGraphError(f"there is no Dask scheduler at {dask}: {error}") from error
        with client:
            yield client.get_executor()
    else:
        yield None


@contextmanager
def _ray_cluster(address: str, num_gpus: float) -> Iterator[int]:
    """Join a cluster, or start one, within; return how many actors it has room for."""
    ray = import_extra("ray", "ray")
    try:
        if address == "local":
            ray.init("local", include_dashboard=False, log_to_driver=False)
        else:
            ray.init(address, log_to_driver=False)
    except (ConnectionError, OSError, ValueError) as error:
        raise ExplGraphError(f"there is no Ray cluster at {address}: {error}") from error
    try:
        has = ray.cluster_resources()
        yield max(1, int(has.get("GPU", 1) / num_gpus if num_gpus else has.get("CPU", 1)))
    finally:
        ray.shutdown()
