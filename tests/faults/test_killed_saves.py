"""A process that is killed while it saves leaves whole files, and loses nothing it had saved."""

import multiprocessing
import random
import time
from collections import Counter
from pathlib import Path

import torch

from finegrid.records.identity import file_sha256
from finegrid.records.quarantine import QUARANTINE_FOLDER
from finegrid.records.result import RESULT_FILE, Result
from finegrid.training.state.checkpoint import CHECKPOINT_FOLDER, Checkpoints
from tests.faults import saves
from tests.faults.saves import CHECKPOINT, IDENTITY, NOTHING, RESULT, save_on_and_on, tensors

KILLS = 25
"""Inside of a save of each kind, at the least; a kill that comes between two is none of them."""
MOST_KILLS = 500


def killed_while_it_saves(
    run_folder: Path, begin: int, aim: int, fraction: float
) -> tuple[int, int]:
    """The last save that a process spoke of before it was killed, and what it was inside of then.

    The kill comes when that fraction of the time that a save of the kind takes has passed since one
    began.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([saves.__name__])
    inside = context.RawValue("i", NOTHING)
    heard, saved = context.Pipe(duplex=False)
    process = context.Process(target=save_on_and_on, args=(run_folder, begin, inside, saved))
    process.start()
    saved.close()
    last, seconds = heard.recv()
    while inside.value != aim and process.is_alive():
        pass
    time.sleep(fraction * seconds[aim])
    process.kill()
    process.join()
    while True:
        try:
            last, _ = heard.recv()
        except EOFError:
            return last, inside.value


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


def test_fifty_kills_inside_a_save_tear_no_file_and_lose_no_save(tmp_path: Path) -> None:
    draw = random.Random(5)  # noqa: S311 - moments, no secrets
    hit, begun, latest = Counter[int](), 0, 0
    while min(hit[CHECKPOINT], hit[RESULT]) < KILLS:
        aim = min(CHECKPOINT, RESULT, key=hit.__getitem__)
        last, kind = killed_while_it_saves(tmp_path, latest + 1, aim, draw.uniform(0, 1))
        hit[kind] += 1
        begun += any((tmp_path / CHECKPOINT_FOLDER).glob(".*"))
        latest = assert_nothing_torn(tmp_path, last)
        assert hit.total() < MOST_KILLS, f"of a checkpoint, a result and neither: {hit}"
    assert begun > 0
    assert any(tmp_path.glob(f".{RESULT_FILE}.*"))
    assert not (tmp_path / QUARANTINE_FOLDER).exists()
