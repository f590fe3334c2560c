"""Each measurement makes its table, in its smallest form."""

from pathlib import Path

import pytest

from measurements import device, inference, packing
from methods.registry import training_methods


def test_a_device_s_table_says_what_each_method_does_there(tmp_path: Path) -> None:
    table = tmp_path / "device.md"
    assert device.main(["--device", "cpu", "--methods", "lora", "--output", str(table)]) == 0
    (row,) = [line for line in table.read_text().splitlines() if line.startswith("| lora ")]
    _, _, fp32, bf16, goes_on, memory, *_ = (cell.strip() for cell in row.split("|"))
    assert float(fp32) == 0.0
    assert 0.0 < float(bf16) < 0.05
    assert goes_on == "yes"
    assert abs(float(memory.removesuffix(" %"))) < 2


@pytest.mark.usefixtures("quiet_process")
def test_every_method_is_tried_on_a_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert [
        spec.variant.method for spec in device.planned(training_methods())
    ] == training_methods()


def test_a_pass_is_held_against_the_plain_base(tmp_path: Path) -> None:
    table = tmp_path / "inference.md"
    smallest = ["--minutes", "0", "--batches", "1", "--dtypes", "fp32"]
    inference.main([*smallest, "--cases", "LoRA 8, all", "head", "--output", str(table)])
    rows = [line.split("|") for line in table.read_text().splitlines() if " ms |" in line]
    assert [row[1].strip() for row in rows] == ["head", "LoRA 8, all"]
    ratios = [[float(cell.split()[0]) for cell in row[3:-1] if "(" in cell] for row in rows]
    assert [len(one) for one in ratios] == [1, 2]
    assert all(0.2 < ratio < 5 for one in ratios for ratio in one)


def test_a_step_on_several_batches_is_held_against_as_many_steps(tmp_path: Path) -> None:
    table = tmp_path / "packing.md"
    smallest = ["--minutes", "0", "--batches", "2", "--tokens", "4", "--dtypes", "fp32"]
    packing.main([*smallest, "--output", str(table)])
    (row,) = [line for line in table.read_text().splitlines() if line.startswith("| 2 ")]
    _, _, _, *ratios, _ = (cell.strip() for cell in row.split("|"))
    assert len(ratios) == 3
    assert all(0 < float(ratio.split()[0]) < 3 for ratio in ratios)
