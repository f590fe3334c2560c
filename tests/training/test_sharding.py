"""With `strategy: fsdp` one process loads the model, and each holds what it would have held."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from finegrid.models.discovery import blank
from finegrid.models.layers import blocks_of
from finegrid.models.live import anatomy_of
from finegrid.models.loading import base_sha256
from finegrid.prepare.model import prepare_model
from finegrid.records.prepared import MANIFEST_FILE, PreparedModel
from finegrid.records.result import FAILURE_FILE, Result
from finegrid.records.specification import RandomModel, Specification, model_key
from finegrid.records.weights import WEIGHTS_FILE
from finegrid.training import experiment
from finegrid.training.experiment import Run
from finegrid.training.measure.memory import PeakMeter, tensor_bytes
from finegrid.training.processes import sharding
from finegrid.training.processes.distributed import Group
from finegrid.training.processes.exits import EXIT_DATA
from finegrid.training.processes.launch import run_workers
from finegrid.training.processes.signals import Interruption
from methods.parameters import whole
from methods.registry import METHODS
from tests.methods.architectures import tiny
from tests.training.assets import OWN_METHODS, Assets, run_folder
from tests.training.disturbances import forked_workers

SETTINGS: dict[str, dict[str, Any]] = {
    "lg": {"residual": False},  # writes into W, too
    "peft:c3a": {"config": {"block_size": 32}},
    "peft:gralora": {"config": {"r": 8}},
    "peft:vblora": {"config": {"vector_length": 32}},
}
"""Where the defaults do not fit the tiny models."""
OTHERS: dict[str, dict[str, int]] = {
    "gpt2": {"n_embd": 256, "n_layer": 4, "n_head": 2, "n_positions": 64},
    "llama": {
        **dict.fromkeys(("hidden_size", "intermediate_size", "max_position_embeddings"), 64),
        **{"num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1},
    },
    "t5": {
        **{"d_model": 64, "d_ff": 64, "d_kv": 32, "num_layers": 2, "num_heads": 2},
        "decoder_start_token_id": 0,
    },
}
"""Models by type: one of some size, one with buffers that no file holds, one with tied weights."""
CASES: dict[str, dict[str, Any]] = {
    **{f"{model} {name}": {} for model in ("bert", "gpt2") for name in ("full", "lora", "adapter")},
    **{f"{model} {name}": {} for model in ("bert", "gpt2") for name in ("prefix", "bitfit", "lg")},
    "bert full bf16": {"weights": "bf16", "dtype": "bf16"},
    "gpt2 lora bf16": {"weights": "bf16", "dtype": "bf16"},
    "bert peft:dora": {},
    "gpt2 peft:fourierft": {},  # its constants are no buffers
    "bert peft:shira": {},  # reads numbers while it is applied
    "llama lora": {},
    "t5 full": {},
    "t5 token-embeddings": {},
    "bert token-embeddings bf16": {"weights": "bf16", "dtype": "bf16"},
    "network full": {},
}
"""Model, method and what else the run says."""
SENT_BYTES = 100_000
"""What processes tell each other of their models, at the most."""


@dataclass(frozen=True)
class Held:
    """What a process found of a run before its first step."""

    peak: int
    """Bytes that it had at a time while it loaded, applied and divided the model."""
    held: int
    """Bytes of what it keeps."""
    odd: list[str]
    """Tensors that are not those of a model that it has loaded itself."""
    sha256: str | None


@pytest.fixture(scope="module", autouse=True)
def _forked() -> Iterator[None]:
    with forked_workers():
        yield


@pytest.fixture(scope="module")
def own(assets: Assets, tmp_path_factory: pytest.TempPathFactory) -> Assets:
    """The prepared models, and others beside them."""
    root = tmp_path_factory.mktemp("own")
    prepared = root / "prepared"
    shutil.copytree(assets.prepared, prepared)
    bert = assets.models["bert"]
    assert isinstance(bert, RandomModel)
    special = dict.fromkeys(("bos_token_id", "eos_token_id"), 1)
    models = dict(assets.models)
    for name, sizes in OTHERS.items():
        words = bert.configuration["vocab_size"]
        configuration = {"model_type": name, "vocab_size": words, **special, **sizes}
        models[name] = bert.model_copy(update={"name": name, "configuration": configuration})
        folder = prepared / "models" / model_key(models[name])
        prepare_model(models[name], folder, tasks=prepared / "tasks", cache=root / "downloads")
    return Assets(prepared, assets.tasks | dict.fromkeys(OTHERS, assets.tasks["bert"]), models)


def specification(assets: Assets, case: str, options: dict[str, Any]) -> Specification:
    model, method = case.split()[:2]
    return assets.specification(method, model=model, devices=2, strategy="fsdp", **options)


@pytest.fixture(scope="module")
def found(own: Assets) -> dict[str, list[Held]]:
    """By case, what each of two processes found."""
    specs = {case: specification(own, case, options) for case, options in CASES.items()}
    training = specs["bert full"].training
    by_rank = run_workers(partial(hold, specs, own), training, 1, Interruption())
    return {case: [Held(**ranks[case]) for ranks in by_rank] for case in specs}


def hold(
    specs: dict[str, Specification], assets: Assets, group: Group, _interruption: Interruption
) -> list[dict[str, Any]]:
    """By rank and case, what each process of a group finds."""
    runs = {
        case: Run(spec, assets.prepared, Path(), lambda event: None, group=group)
        for case, spec in specs.items()
    }
    return group.gathered({case: vars(held(run, assets)) for case, run in runs.items()})


def held(run: Run, assets: Assets) -> Held:
    prepared = PreparedModel.read(run.model_folder / MANIFEST_FILE)
    task = assets.manifest(next(m for m, one in assets.models.items() if one == run.spec.model))
    with PeakMeter(torch.device("cpu")) as meter:
        model = experiment.load_base(run, prepared, task)
        sha256 = base_sha256(model) if run.has_weights else None
        model = experiment.apply(run, model).model
        run.group.spread(model, run.spec.training)
    reference = assets.applied(run.spec)
    return Held(meter.peak, tensor_bytes(tensors(model)), odd(model, reference), sha256)


def tensors(model: nn.Module) -> list[torch.Tensor]:
    return [*model.parameters(), *model.buffers()]


def odd(model: nn.Module, reference: nn.Module) -> list[str]:
    """What differs of two models, the first of which is divided: names, numbers, what is trained.

    Of it every tensor is put together again, and none is left without numbers. Parameters that
    are tied have one name in both.
    """
    once = [{name for name, _ in one.named_parameters()} for one in (model, reference)]
    found, expected = ({n: whole(t) for n, t in stated(one)} for one in (model, reference))
    if found.keys() != expected.keys() or once[0] != once[1]:
        return sorted((found.keys() ^ expected.keys()) | (once[0] ^ once[1]))
    return [
        name
        for name, tensor in found.items()
        if tensor.is_meta
        or tensor.requires_grad != expected[name].requires_grad
        or tensor.dtype != expected[name].dtype
        or not torch.equal(tensor, expected[name])
    ]


def stated(model: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    """Parameters, buffers, and the tensors that modules keep in dictionaries of their own."""
    for path, module in model.named_modules():
        for attribute, value in vars(module).items():
            for key, one in value.items() if isinstance(value, dict) else [("", value)]:
                if isinstance(one, torch.Tensor):
                    yield f"{path}.{attribute}.{key}", one


@pytest.mark.thorough("test_two_processes_train_as_one")
@pytest.mark.parametrize("case", CASES)
def test_every_process_holds_what_it_would_have_loaded(
    found: dict[str, list[Held]], own: Assets, case: str
) -> None:
    assert [one.odd for one in found[case]] == [[], []]
    expected = base_sha256(own.plain(specification(own, case, CASES[case])))
    everybody = METHODS.get(case.split()[1]).reads_weights
    assert [one.sha256 for one in found[case]] == [expected, expected if everybody else None]


@pytest.mark.thorough("test_each_device_holds_what_its_strategy_says")
@pytest.mark.parametrize("case", ["gpt2 full", "gpt2 lora", "gpt2 lora bf16"])
def test_a_process_holds_its_share_and_a_part_at_a_time(
    found: dict[str, list[Held]], own: Assets, case: str
) -> None:
    model = own.applied(specification(own, case, CASES[case]))
    everything = tensor_bytes(tensors(model))
    inside = [tensor_bytes(tensors(block)) for block in blocks_of(model)]
    added = sum(p.numel() * p.itemsize for name, p in model.named_parameters() if ".lora." in name)
    largest = max(*inside, everything - sum(inside))
    first, second = found[case]
    assert first.peak >= everything
    assert second.held == pytest.approx(everything / 2, rel=0.01)
    assert second.peak <= second.held + largest + added + SENT_BYTES
    assert second.peak < 0.8 * everything


@pytest.mark.parametrize(
    ("name", "architecture"),
    [*((name, "bert") for name in METHODS), *((name, "gpt2") for name in OWN_METHODS)],
)
def test_a_model_without_numbers_takes_the_form_of_one_that_has_them(
    name: str, architecture: str
) -> None:
    """But for a method that says that it reads them."""
    method = METHODS.build(name, SETTINGS.get(name, {}))
    loaded = tiny(architecture)
    assert method.not_applicable(anatomy_of(loaded)) is None
    unread: Any = blank(type(loaded)._from_config, loaded.config).eval()  # type: ignore[attr-defined]
    if method.reads_weights:
        with pytest.raises(RuntimeError):
            method.apply(unread, torch.Generator().manual_seed(0))
        return
    for model in (loaded, unread):
        method.apply(model, torch.Generator().manual_seed(0))
    assert sharding._parts(unread)[1] == sharding._parts(loaded)[1]


def test_a_method_that_reads_without_saying_so_is_named(
    own: Assets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = specification(own, "bert peft:shira", {})
    monkeypatch.setattr(METHODS.get("peft:shira"), "reads_weights", False)
    run = Run(spec, own.prepared, tmp_path, lambda event: None, group=Group(rank=1, size=2))
    prepared = PreparedModel.read(run.model_folder / MANIFEST_FILE)
    model = experiment.load_base(run, prepared, own.manifest("bert"))
    with pytest.raises(RuntimeError, match="peft:shira reads the base: say `reads_weights`"):
        experiment.apply(run, model)


def test_models_of_two_forms_are_told_apart() -> None:
    own, first = nn.Linear(2, 3), nn.Linear(2, 3, bias=False)
    own.weight.requires_grad = False
    lines = [sharding._line(name, name, p) for name, p in own.named_parameters()]
    others = [sharding._line(name, name, p) for name, p in first.named_parameters()]
    message = (
        r"not that of the run's first process: bias: trained float32 \(3,\); "
        r"weight: frozen float32 \(3, 2\); weight: trained float32 \(3, 2\)$"
    )
    with pytest.raises(RuntimeError, match=message):
        sharding._check_alike(lines, others)


@pytest.mark.thorough("test_a_damaged_manifest_or_tokenizer_is_damaged_data")
def test_damaged_weights_end_all_processes_with_one_message(
    own: Assets, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The first one alone reads them; the other waits for it, and is not left waiting."""
    prepared = tmp_path / "prepared"
    shutil.copytree(own.prepared, prepared)
    spec = specification(own, "bert lora", {})
    folder = prepared / "models" / model_key(spec.model)
    damaged = bytearray((folder / WEIGHTS_FILE).read_bytes())
    damaged[-1] ^= 1
    (folder / WEIGHTS_FILE).write_bytes(damaged)
    assert replace(own, prepared=prepared).main(spec, tmp_path) == EXIT_DATA
    failure = Result.read(run_folder(spec, tmp_path) / FAILURE_FILE)
    assert failure.reason is not None
    assert f"CorruptedFileError: {folder / WEIGHTS_FILE}: sha256" in failure.reason
    assert "moved to" in failure.reason
    assert not folder.exists()
    assert "Traceback" not in capfd.readouterr().err
