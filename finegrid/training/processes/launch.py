"""The workers that train one run together are started, told of signals, and waited for.

They are started by torch's elastic launcher, whose command line is `torchrun`.
"""

import logging
import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.queues import SimpleQueue
from typing import TypeVar

from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from finegrid.models.seeds import make_deterministic
from finegrid.records.base import Record
from finegrid.records.training import Training
from finegrid.training.processes.distributed import Group, joined
from finegrid.training.processes.exits import EXIT_FAILED
from finegrid.training.processes.signals import (
    Interruption,
    PreemptedError,
    die_with_parent,
    interruptible,
)
from finegrid.training.record import Ending

Returned = TypeVar("Returned")
Work = Callable[[Group, Interruption], Returned]
_POLL_SECONDS = 0.2
_GRACE_SECONDS = 2.0
_SHUTDOWN_SECONDS = 10
"""What the others get to end in when one has ended alone: they wait for it, so they are killed."""


class EndedAloneError(Exception):
    """One process ended where the others go on, and the group with it."""

    def __init__(self, ending: Ending) -> None:
        super().__init__(ending)
        self.ending = ending


class Rendezvous(Record):
    """Where the nodes of a run find each other."""

    name: str
    endpoint: str
    """A store that one of their processes holds, as host:port."""


def run_workers(
    work: Work[Returned],
    training: Training,
    threads: int,
    interruption: Interruption,
    rendezvous: Rendezvous | None = None,
) -> Returned:
    """What the first worker of this node returns for `work`, which all of the run's do.

    `work` travels to them by pickle. Raises EndedAloneError where one of them raises it or dies,
    and PreemptedError where all of them raise it.
    """
    queues = multiprocessing.get_context("spawn")
    started: SimpleQueue[int] = queues.SimpleQueue()
    endings: SimpleQueue[Ending] = queues.SimpleQueue()
    launch = elastic_launch(_configuration(training, rendezvous), _worker)
    try:
        with _passed_on(interruption, started):
            returned = launch(work, training.device, threads, started, endings)
    except ChildFailedError as error:
        # Who loses another by its death ends with an error, and it is not that of the run.
        death = _death(error)
        if death is None and not endings.empty():
            raise EndedAloneError(endings.get()) from None
        reason = death or "a process of the run ended without a word"
        raise EndedAloneError(Ending("failed", reason, exit_code=EXIT_FAILED)) from None
    found: Returned | PreemptedError = returned[min(returned)]
    if isinstance(found, PreemptedError):
        raise found
    return found


def _configuration(training: Training, rendezvous: Rendezvous | None) -> LaunchConfig:
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    os.environ |= {
        "TORCH_ELASTIC_SHUTDOWN_TIMEOUT": str(_SHUTDOWN_SECONDS),
        # Else each process warns where every parameter has a gradient.
        "TORCH_CPP_LOG_LEVEL": "ERROR",
    }
    return LaunchConfig(
        min_nodes=training.nodes,
        max_nodes=training.nodes,
        nproc_per_node=training.devices_per_node,
        run_id=rendezvous.name if rendezvous else uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint=rendezvous.endpoint if rendezvous else "localhost:0",
        rdzv_configs={"is_host": rendezvous is None},
        local_addr=socket.gethostname() if rendezvous else "localhost",
        max_restarts=0,
        # Those that end a run are this process's to receive and to pass on.
        signals_to_handle="SIGQUIT",
    )


def _worker(
    work: Work[Returned],
    device: str,
    threads: int,
    started: "SimpleQueue[int]",
    endings: "SimpleQueue[Ending]",
) -> Returned | PreemptedError:
    """One process of the group: its part of the work, or the request to end that all obeyed."""
    die_with_parent()  # it holds the locks of run and devices: without it, neither may be used
    make_deterministic(threads, device)
    with interruptible(is_last=True) as interruption:
        started.put(os.getpid())
        try:
            with joined(device) as group:
                logging.basicConfig(level=_level(group), format="%(message)s", stream=sys.stderr)
                return _done(work, group, interruption)
        except EndedAloneError as error:
            endings.put(error.ending)
            # If it was for the death of another, that one is to be found first.
            time.sleep(_GRACE_SECONDS)
            # The others may wait for this process for ever, and it for them as it leaves the group.
            os._exit(EXIT_FAILED)


def _done(
    work: Work[Returned], group: Group, interruption: Interruption
) -> Returned | PreemptedError:
    try:
        return work(group, interruption)
    except PreemptedError as error:
        return error


def _level(group: Group) -> int:
    return logging.INFO if group.is_first else logging.ERROR


@contextmanager
def _passed_on(interruption: Interruption, started: "SimpleQueue[int]") -> Iterator[None]:
    """Pass the signal that this process receives on to each that hears signals, once."""
    is_over = threading.Event()

    def pass_on() -> None:
        while not is_over.wait(_POLL_SECONDS):
            while interruption.name is not None and not started.empty():
                with suppress(ProcessLookupError):
                    os.kill(started.get(), signal.Signals[interruption.name])

    thread = threading.Thread(target=pass_on)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def _death(error: ChildFailedError) -> str | None:
    """Which process a signal has ended, if one has."""
    for rank, failure in error.failures.items():
        if failure.exitcode < 0:
            return f"process {rank} of the run ended by {failure.signal_name()}"
    return None
