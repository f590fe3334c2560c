"""One byte that has changed is found: in data, encoded or not, weights, checkpoint and result.

`finegrid rescore` holds all that lies beside a result against it: tests/training/test_rescore.py.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from analysis.collect import collect
from analysis.errors import AnalysisError
from finegrid.prepare.encode import main as encode
from finegrid.records.identity import content_hash, file_sha256
from finegrid.records.prepared import MANIFEST_FILE
from finegrid.records.result import (
    FAILURE_FILE,
    HISTORY_FILE,
    PREDICTIONS_FILE,
    RESULT_FILE,
    Result,
)
from finegrid.records.specification import model_key
from finegrid.training.encoding import encoding_of
from tasks.registry import kind_of
from tests.faults.benchmarks import plan_of
from tests.faults.damage import cut, flip
from tests.faults.place import Place
from tests.training.assets import Assets, run_folder
from tests.training.interruptions import ask, assert_same_bits, checkpoints, interrupted


@pytest.mark.parametrize("name", ["train.arrow", "test.arrow", "model.safetensors"])
def test_of_encoded_data_or_weights(assets: Assets, tmp_path: Path, name: str) -> None:
    shutil.copytree(assets.prepared, tmp_path / "prepared")
    copy, spec = replace(assets, prepared=tmp_path / "prepared"), assets.specification()
    keys = {"encoded": copy.encode(spec).name, "models": model_key(spec.model)}
    room = "models" if name == "model.safetensors" else "encoded"
    path = copy.prepared / room / keys[room] / name
    before = file_sha256(path)
    flip(path)
    after = file_sha256(path)
    assert copy.main(spec, tmp_path) == os.EX_DATAERR
    folder = run_folder(spec, tmp_path)
    reason = Result.read(folder / FAILURE_FILE).reason
    assert reason is not None
    assert f"{path}: sha256 {after}, recorded {before}" in reason
    assert not (folder / RESULT_FILE).exists()
    moved = copy.prepared / room / "quarantine" / keys[room]
    assert f"moved to {moved}" in reason
    assert not path.parent.exists()
    assert file_sha256(moved / name) == after


@pytest.mark.parametrize(
    ("room", "name"), [("tasks", "validation.parquet"), ("models", "tokenizer.json")]
)
def test_of_what_is_encoded(
    assets: Assets, tmp_path: Path, capsys: pytest.CaptureFixture[str], room: str, name: str
) -> None:
    """Prepared rows and a tokenizer are read once: when they are encoded."""
    shutil.copytree(assets.prepared, tmp_path / "prepared")
    spec, prepared = assets.specification(model="bert"), tmp_path / "prepared"
    folder = prepared / room / {"tasks": spec.task.key, "models": model_key(spec.model)}[room]
    before = file_sha256(folder / name)
    flip(folder / name)
    after = file_sha256(folder / name)
    kind = kind_of(spec.task)
    encoding_of(kind, spec.task, spec.model, 32).write(tmp_path / "encoding.json")
    where = ["--output", str(tmp_path / "out"), "--prepared", str(prepared)]
    (tmp_path / "model.txt").write_text(model_key(spec.model))
    what = ["--spec", str(tmp_path / "encoding.json"), "--processor", str(tmp_path / "model.txt")]
    assert encode([*what, *where]) == os.EX_DATAERR
    said = f"{folder / name}: sha256 {after}, recorded {before}; moved to {prepared / room}"
    assert f"encode: {said}/quarantine/{folder.name}: the next call" in capsys.readouterr().err
    assert not folder.exists()
    assert not (tmp_path / "out" / MANIFEST_FILE).exists()


@pytest.mark.parametrize("damage", [flip, cut])
def test_of_a_checkpoint(
    assets: Assets,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    damage: Callable[[Path], None],
) -> None:
    """It goes into quarantine, and the run begins again."""
    spec = assets.specification(epochs=2, evaluations=3)
    assets.run(spec, tmp_path / "whole")
    assert interrupted(assets, spec, tmp_path, ("step", 4), ask()) == os.EX_TEMPFAIL
    (path,) = checkpoints(spec, tmp_path)
    (path.parent / ".new.left.safetensors").write_text("half of the n")
    damage(path)
    found = file_sha256(path)
    assert assets.main(spec, tmp_path) == 0
    assert f"{path}: sha256 {found}, named {path.stem}; moved to quarantine" in caplog.messages
    assert file_sha256(run_folder(spec, tmp_path) / "quarantine" / path.name) == found
    assert assert_same_bits(spec, tmp_path / "whole", tmp_path).resumed_at_steps == ()


def test_of_a_result(assets: Assets, tmp_path: Path) -> None:
    """The aggregate writes no table, names the file and both hashes, and sets it aside."""
    spec = assets.specification()
    result = assets.run(spec, tmp_path)
    path = run_folder(spec, tmp_path) / RESULT_FILE
    changed, count = re.subn(
        rb'("steps": )(\d+)', lambda found: found[1] + bytes([found[2][0] ^ 1]), path.read_bytes()
    )
    assert count == 1
    path.write_bytes(changed)
    damaged = file_sha256(path)
    assert result.time is not None
    steps = result.time.model_copy(update={"steps": result.time.steps ^ 1})
    plain = result.model_copy(update={"time": steps}).model_dump(
        mode="json", exclude={"record_sha256"}
    )
    plan_of([spec]).write(tmp_path / "plan.json")
    places = {"plan": "plan.json", "runs": "runs", "output": "table.csv"}
    options = [text for key, name in places.items() for text in (f"--{key}", str(tmp_path / name))]
    command = [sys.executable, "-m", "analysis.collect", *options]
    told = [
        f"{path}: the record: Value error, the record's sha256 is {content_hash(plain)}, "
        f"recorded {result.record_sha256}\n"
        f"{path}: moved to quarantine/; the next call of Snakemake makes the run again",
        # As the next attempt of the same job says: a table without the run would be another one.
        f"{path.parent}: no {RESULT_FILE}",
    ]
    for lines in told:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (1, f"error: {lines}\n")
        assert not (tmp_path / "table.csv").exists()
    assert file_sha256(path.parent / "quarantine" / RESULT_FILE) == damaged


def test_the_next_call_makes_again_what_was_damaged(prepared: Place, tmp_path: Path) -> None:
    place = prepared.copy(tmp_path)
    run = place.runs[0]
    (data,) = place.results.glob("prepared/encoded/*/train.arrow")
    before = file_sha256(data)
    flip(data)
    assert place.call(place.target(run)).returncode != 0
    assert "moved to results/prepared/encoded/quarantine/" in place.log(run)
    assert place.call(place.target(run)).returncode == 0
    assert file_sha256(data) == before
    expected = place.result(run)
    flip(place.folder / place.target(run))
    assert place.call(place.table).returncode != 0
    assert not (place.folder / place.table).exists()
    assert place.call(place.table).returncode == 0
    assert place.result(run).losses == expected.losses
    assert place.begun() == place.runs


@pytest.mark.parametrize("name", [HISTORY_FILE, PREDICTIONS_FILE])
def test_of_what_the_analysis_reads_beside_a_result(
    assets: Assets, tmp_path: Path, name: str
) -> None:
    """Curves and statistics are made of it; without it there are none."""
    spec = assets.specification()
    recorded = assets.run(spec, tmp_path).files[name]
    path = run_folder(spec, tmp_path) / name
    flip(path)
    with pytest.raises(AnalysisError) as caught:
        collect(plan_of([spec]), tmp_path / "runs")
    assert str(caught.value) == f"{path}: sha256 {file_sha256(path)}, recorded {recorded}"
    assert caught.value.damaged == (path, path.with_name(RESULT_FILE))
    path.unlink()
    assert list(collect(plan_of([spec]), tmp_path / "runs")["state"]) == ["ok"]


def test_anywhere_in_a_result_it_is_refused_by_the_aggregate(
    assets: Assets, tmp_path: Path
) -> None:
    """But where it changes nothing: the record is the same then."""
    spec = assets.specification()
    result = assets.run(spec, tmp_path)
    path, plan = run_folder(spec, tmp_path) / RESULT_FILE, plan_of([spec])
    content, refused = path.read_bytes(), 0
    for at in range(0, len(content), 41):
        path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        if is_that_of(path, result):
            continue
        refused += 1
        with pytest.raises(AnalysisError, match=re.escape(str(path))) as caught:
            collect(plan, tmp_path / "runs")
        assert caught.value.damaged == (path,)
    assert refused > 50


def is_that_of(path: Path, result: Result) -> bool:
    """Whether the file still holds that record, as where the last digit of a float has changed."""
    try:
        values = json.loads(path.read_bytes())
    except ValueError:
        return False
    return bool(values == json.loads(result.model_dump_json()))
