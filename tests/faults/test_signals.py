"""Asked to end at any step, or gone at once, a run goes on to the bits of an uninterrupted one."""

import os
import random
import signal
import subprocess
import sys
import time
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest

from finegrid.records.result import RESULT_FILE
from finegrid.records.specification import Specification
from tests.training.assets import Assets, run_folder
from tests.training.interruptions import ask, assert_same_bits, interrupted, whole_checkpoints

TRY_AGAIN = os.EX_TEMPFAIL
STEPS = 40


def specification(assets: Assets, model: str) -> Specification:
    """40 steps in micro-batches, scored four times."""
    options: dict[str, Any] = {"epochs": 10, "evaluations": 4, "micro_batch_size": 8}
    if model == "network":
        return assets.specification(**options, optimizer={"name": "sgd", "momentum": 0.9})
    settings = {"dropout": 0.2}
    return assets.specification("lora", model="bert", settings=settings, dropout=0.3, **options)


@pytest.mark.parametrize(
    ("model", "signals", "draws"),
    [
        ("network", [signal.SIGTERM], 20),
        ("network", [signal.SIGUSR1], 20),
        ("bert", [signal.SIGTERM, signal.SIGUSR1], 10),
    ],
    ids=["network-SIGTERM", "network-SIGUSR1", "bert-in-turns"],
)
def test_random_steps_are_resumed_to_the_same_bits(
    assets: Assets, tmp_path: Path, model: str, signals: list[signal.Signals], draws: int
) -> None:
    spec, whole = specification(assets, model), tmp_path / "whole"
    assets.run(spec, whole)
    draw = random.Random(f"{model} {signals}")  # noqa: S311 - steps, no secrets
    for step, sent in zip(draw.sample(range(1, STEPS + 1), draws), cycle(signals), strict=False):
        results = tmp_path / str(step)
        assert interrupted(assets, spec, results, ("step", step), ask(sent)) == TRY_AGAIN
        assert not (run_folder(spec, results) / RESULT_FILE).exists()
        assert assets.main(spec, results) == 0
        assert assert_same_bits(spec, whole, results).resumed_at_steps == (step,)


def test_a_killed_process_goes_on_in_another_one(assets: Assets, tmp_path: Path) -> None:
    spec = assets.specification(epochs=50, evaluations=5)
    assets.run(spec, tmp_path / "whole")
    spec.write(tmp_path / "spec.json")
    results = tmp_path / "results"
    line = [sys.executable, "-m", "finegrid.training.run", "--spec", str(tmp_path / "spec.json")]
    line += ["--results", str(results), "--prepared", str(assets.prepared)]
    line += ["--checkpoint-seconds", "0"]
    for sent, code in ((signal.SIGKILL, -signal.SIGKILL), (signal.SIGTERM, TRY_AGAIN)):
        seen = whole_checkpoints(spec, results)
        process = subprocess.Popen(line, stderr=subprocess.DEVNULL)
        while whole_checkpoints(spec, results) in ([], seen) and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(sent)
        assert process.wait() == code
    assert assets.main(spec, results) == 0
    resumed = assert_same_bits(spec, tmp_path / "whole", results).resumed_at_steps
    assert 0 < resumed[0] < resumed[1] < 200
