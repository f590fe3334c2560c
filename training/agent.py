"""`python -m training.member`: one node's processes of a run over several nodes.

Its share is a line of JSON on stdin, its report one on stdout. Exit codes: 0 its processes ended
together, 1 one of them ended alone, 78 the devices that it needs are not visible.
"""

import logging
import sys
from functools import partial

from training.devices import NoDeviceError, leased
from training.exits import EXIT_CONFIGURATION, EXIT_FAILED
from training.job import Job, Share, take_part
from training.launch import together
from training.nodes import Report
from training.run import prepare_environment
from training.signals import Interruption, interruptible


def main() -> int:
    """Read the share, do it, and report."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    share = Share.model_validate_json(sys.stdin.read())
    prepare_environment(share.origin.threads)
    training = share.planned.training
    with interruptible() as interruption:
        try:
            with leased(training.device, interruption, training.devices // training.nodes):
                report = Report.of(partial(_perform, share, interruption))
        except NoDeviceError as error:
            logging.error("%s: %s", share.planned.run, error)
            return EXIT_CONFIGURATION
    sys.stdout.write(report.model_dump_json() + "\n")
    sys.stdout.flush()
    return EXIT_FAILED if report.ending else 0


def _perform(share: Share, interruption: Interruption) -> int | None:
    work = partial(take_part, Job.of(share, interruption), share.micro_batch_size)
    training, threads = share.planned.training, share.origin.threads
    return together(work, training, threads, interruption, share.meeting)


if __name__ == "__main__":
    sys.exit(main())
