"""A network is pretrained on its source task, on a device of its own."""

import os
import tempfile
from pathlib import Path

import pytest
from safetensors.torch import load_file

from finegrid.models.network import LinearStack
from finegrid.prepare.model import main
from finegrid.records.specification import Network, Pretraining
from finegrid.records.training import Training
from finegrid.training import pretrain
from finegrid.training.pretrain import make_network
from finegrid.training.processes.devices import VISIBLE, leased
from finegrid.training.processes.signals import Interruption
from tests.training.assets import SIZES, WIDTHS, Assets

Patch = pytest.MonkeyPatch


class TrainsError(Exception):
    """Training would begin now; it says which devices are visible."""


def network(assets: Assets, device: str, learning_rate: float = 0.01) -> Network:
    training = Training.model_validate(
        {"learning_rate": learning_rate, "epochs": 20, "batch_size": 16, "device": device}
    )
    pretraining = Pretraining(task=assets.tasks["network"], training=training)
    return Network(kind="network", name="pretrained", layers=WIDTHS, pretraining=pretraining)


def arguments(spec: Network, assets: Assets, folder: Path) -> list[str]:
    """A command line that makes the network below the folder."""
    file = folder / "network.json"
    file.write_text(spec.model_dump_json())
    folders = {"--spec": file, "--output": folder, "--tasks": assets.prepared / "tasks"}
    return [str(part) for pair in folders.items() for part in pair]


@pytest.fixture
def _two_devices(tmp_path: Path, monkeypatch: Patch) -> None:
    """A machine with two CUDA devices, where no training on them gets further than its start."""

    def trainer(*arguments: object, **options: object) -> None:
        raise TrainsError(os.environ[VISIBLE])

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv(VISIBLE, "0,1")
    monkeypatch.setattr(pretrain, "Trainer", trainer)
    monkeypatch.setattr(LinearStack, "to", lambda self, device: self)


def test_a_pretraining_leaves_what_it_has_learned(assets: Assets, tmp_path: Path) -> None:
    spec = network(assets, "cpu")
    plain = spec.model_copy(update={"pretraining": None})
    assert make_network(plain, assets.prepared, tmp_path / "plain") is None
    reached = make_network(spec, assets.prepared, tmp_path / "trained")
    assert reached is not None
    assert (reached["task"], reached["n"]) == (assets.tasks["network"].key, SIZES["validation"])
    files = [load_file(tmp_path / name / "model.safetensors") for name in ("plain", "trained")]
    assert files[0].keys() == files[1].keys()
    assert not any(files[0][name].equal(files[1][name]) for name in files[0])


@pytest.mark.usefixtures("_two_devices")
def test_a_pretraining_takes_a_device_that_no_run_holds(
    assets: Assets, tmp_path: Path, monkeypatch: Patch
) -> None:
    spec = network(assets, "cuda")
    with pytest.raises(TrainsError, match=r"^0$"):
        make_network(spec, assets.prepared, tmp_path)
    with leased("cuda", Interruption()):
        monkeypatch.setenv(VISIBLE, "0,1")  # as another process has it
        with pytest.raises(TrainsError, match=r"^1$"):
            make_network(spec, assets.prepared, tmp_path)
    assert os.environ[VISIBLE] == "0,1"


@pytest.mark.usefixtures("_two_devices")
def test_the_command_says_that_it_is_shown_no_device(
    assets: Assets, tmp_path: Path, monkeypatch: Patch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(VISIBLE, "")
    assert main(arguments(network(assets, "cuda"), assets, tmp_path)) == os.EX_CONFIG
    expected = f"prepare_model: {VISIBLE}: '' names no device; allowed: indices or UUIDs\n"
    assert capsys.readouterr().err == expected


def test_a_pretraining_that_diverges_is_one_line(
    assets: Assets, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = network(assets, "cpu", learning_rate=1e38)
    assert main(arguments(spec, assets, tmp_path)) == os.EX_DATAERR
    assert capsys.readouterr().err == (
        "prepare_model: the pretraining of pretrained has no score: loss nan or "
        "gradient norm nan: not finite at step 2; "
        "allowed: settings under which it learns, as a lower learning_rate\n"
    )
