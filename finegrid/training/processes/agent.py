"""`python -m finegrid.training.processes.agent`: one node's workers of a run over several nodes.

Its assignment is JSON on stdin, its report one line of JSON on stdout. Exit codes: 0 its workers
ended together, 1 one of them ended alone, 78 the devices that they need are not visible.
"""

import logging
import os
import sys
from functools import partial
from typing import TextIO

from finegrid.training.job import Assignment, Job, take_part
from finegrid.training.processes.devices import leased
from finegrid.training.processes.exits import EXIT_CONFIGURATION, EXIT_FAILED
from finegrid.training.processes.launch import run_workers
from finegrid.training.processes.nodes import Report
from finegrid.training.processes.signals import Interruption, interruptible
from finegrid.training.run import prepare_environment


def main() -> int:
    """Read the assignment, carry it out, and report."""
    reports = _reserved_stdout()
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    assignment = Assignment.model_validate_json(sys.stdin.read())
    prepare_environment(assignment.origin.threads)
    with interruptible(is_last=True) as interruption:
        report = Report.of(partial(_perform, assignment, interruption))
    with reports:
        reports.write(report.model_dump_json() + "\n")
    if report.lacking:
        return EXIT_CONFIGURATION
    return EXIT_FAILED if report.ending else 0


def _reserved_stdout() -> TextIO:
    """The process's stdout, for the report alone: what a library prints goes to stderr."""
    reserved = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return reserved


def _perform(assignment: Assignment, interruption: Interruption) -> int | None:
    job = Job.of(assignment, interruption)
    work = partial(take_part, job, assignment.training)
    training, threads = assignment.planned.training, assignment.origin.threads
    with leased(training.device, interruption, training.devices_per_node):
        return run_workers(work, training, threads, interruption, assignment.rendezvous)


if __name__ == "__main__":
    sys.exit(main())
