"""A process that is killed while it saves leaves whole files, and loses nothing it had saved."""

import multiprocessing
import random
import time
from itertools import count
from multiprocessing.connection import Connection
from pathlib import Path

import torch

from records import result as module
from records.identity import file_sha256
from records.result import RESULT_FILE, Result
from tests.faults.saves import IDENTITY, past, tensors
from training.checkpoint import CHECKPOINT_FOLDER, QUARANTINE_FOLDER, Checkpoints
from training.record import write_result

KILLS = 50
"""At the least."""
KILLS_IN_A_SAVE = 6
MOST_KILLS = 500
LONGEST_SECONDS = 0.05
"""From a save to the kill: the time of several saves."""
REFERENCE = Path(module.__file__).parents[1] / "results" / "reference" / "runs"


def save_on_and_on(run_folder: Path, begin: int, saved: "Connection[int, int]") -> None:
    """Save one state after the other, each as a checkpoint and a result, and say so after each."""
    checkpoints = Checkpoints(run_folder, IDENTITY)
    result = Result.read(min(REFERENCE.glob(f"*/{RESULT_FILE}")))
    for number in count(begin):
        checkpoints.save(tensors(number), past(number))
        write_result(result.model_copy(update={"failed_step": number}), run_folder)
        saved.send(number)


def killed_while_it_saves(run_folder: Path, begin: int, seconds: float) -> int:
    """The number of the last save that a process spoke of before it was killed."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    heard, saved = context.Pipe(duplex=False)
    process = context.Process(target=save_on_and_on, args=(run_folder, begin, saved))
    process.start()
    saved.close()
    last = heard.recv()
    time.sleep(seconds)
    process.kill()
    process.join()
    while True:
        try:
            last = heard.recv()
        except EOFError:
            return int(last)


def assert_nothing_torn(run_folder: Path, last: int) -> int:
    """Each file is whole, and what is found is the last save that was spoken of, or the next.

    Returns the number of that save.
    """
    folder = run_folder / CHECKPOINT_FOLDER
    whole = [path for path in folder.iterdir() if not path.name.startswith(".")]
    assert [path for path in whole if file_sha256(path) != path.stem] == []
    kept = Checkpoints(run_folder, IDENTITY).latest()
    assert kept is not None
    latest = len(kept.past.history)
    assert last <= latest <= last + 1
    expected = tensors(latest)
    assert all(torch.equal(tensor, expected[name]) for name, tensor in kept.tensors().items())
    assert Result.read(run_folder / RESULT_FILE).failed_step in (latest - 1, latest)
    return latest


def test_fifty_kills_tear_no_file_and_lose_no_save(tmp_path: Path) -> None:
    draw = random.Random(5)  # noqa: S311 - moments, no secrets
    latest = in_a_save = 0
    for kills in count(1):
        seconds = draw.uniform(0, LONGEST_SECONDS)
        last = killed_while_it_saves(tmp_path, latest + 1, seconds)
        in_a_save += any((tmp_path / CHECKPOINT_FOLDER).glob(".*"))
        latest = assert_nothing_torn(tmp_path, last)
        if kills >= KILLS and in_a_save >= KILLS_IN_A_SAVE:
            break
        assert kills < MOST_KILLS, f"only {in_a_save} kills came in the middle of a save"
    assert not (tmp_path / QUARANTINE_FOLDER).exists()
