"""AdaLoRA in the training loop, beside a loop by hand around peft's own wrapper."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import AdaLoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file
from torch import nn

from finegrid.models.seeds import generator, seed_global
from finegrid.records.result import DELTA_FILE
from finegrid.records.specification import Specification
from finegrid.training.batches import epoch_batches
from finegrid.training.loop import Trainer
from finegrid.training.measure.prediction import with_prediction
from finegrid.training.measure.traces import Traces
from finegrid.training.optimization import make_schedule
from finegrid.training.processes.distributed import ALONE
from finegrid.training.processes.launch import run_workers
from finegrid.training.processes.signals import Interruption
from methods.parameters import trainable_state
from methods.registry import METHODS
from tests.training.assets import Assets, Event, read_history, run_folder, steps
from tests.training.disturbances import forked_workers
from tests.training.interruptions import ask, assert_same_bits, interrupted
from tests.training.test_distributed import assert_as_one, perform

METHOD = "peft:adalora"
CONFIG: dict[str, Any] = {"target_r": 2, "init_r": 4, "orth_reg_weight": 0.3}
LAYERS = 4
"""q and v of two blocks."""
FACTORS, HEAD = LAYERS * 4 * (64 + 64 + 1), 2 * 64 + 2
"""Numbers that are trained."""
MODULES = ("query", "value")


def specification(assets: Assets, **options: Any) -> Specification:
    """20 steps, of which the first 3 and the last 10 leave the ranks as they are."""
    settings = {"config": CONFIG | options.pop("config", {}), **options.pop("settings", {})}
    defaults: dict[str, Any] = {"epochs": 5, "dropout": 0.0}
    return assets.specification(METHOD, model="bert", settings=settings, **defaults | options)


def trainer_of(assets: Assets, spec: Specification, events: list[Event]) -> Trainer:
    """The loop of a run, before its first step."""
    return Trainer(
        assets.applied(spec),
        assets.manifest("bert"),
        assets.splits("bert"),
        spec.training,
        events.append,
        beside=METHODS.build(METHOD, spec.variant.settings).steps,
    )


def trained(assets: Assets, spec: Specification) -> tuple[list[Event], nn.Module]:
    """The steps of a training in the loop, and the model that it leaves."""
    events: list[Event] = []
    trainer = trainer_of(assets, spec, events)
    seed_global(spec.seed, "dropout")
    trainer.train(generator(spec.seed, "order"))
    return steps(events), trainer.model


def by_hand(
    assets: Assets, spec: Specification, schedule: dict[str, int]
) -> tuple[list[float], list[int], dict[str, list[bool]], PeftModel]:
    """Losses, ranks and rank pattern of peft's wrapper, whose own `loss` has the penalty."""
    config = AdaLoraConfig(task_type="SEQ_CLS", target_modules=list(MODULES), **CONFIG, **schedule)
    wrapped: Any = get_peft_model(assets.plain(spec), config)
    start = {
        name.replace("classifier.", "classifier.modules_to_save.default."): tensor
        for name, tensor in trainable_state(assets.applied(spec)).items()
    }
    missing = wrapped.base_model.model.load_state_dict(start, strict=False)
    assert missing.unexpected_keys == []
    trainable = [p for p in wrapped.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trainable, lr=spec.training.rate, weight_decay=0.0)
    split = assets.splits("bert")["train"]
    order = generator(spec.seed, "order")
    plan = [
        batch
        for _ in range(spec.training.epochs)
        for batch in epoch_batches(split.sizes, spec.training.batch_size, order)
    ]
    rates = make_schedule(optimizer, spec.training, len(plan))
    losses, ranks = [], []
    wrapped.train()
    for number, indices in enumerate(plan, start=1):
        batch = split.batch(indices)
        loss = wrapped(**batch.inputs, labels=batch.targets["labels"]).loss
        loss.backward()
        nn.utils.clip_grad_norm_(trainable, 1.0)
        optimizer.step()
        rates.step()
        wrapped.base_model.update_and_allocate(number)
        optimizer.zero_grad()
        losses.append(loss.item())
        pattern = config.rank_pattern
        ranks.append(sum(map(sum, pattern.values())) if pattern else LAYERS * CONFIG["init_r"])
    return losses, ranks, dict(config.rank_pattern or {}), wrapped


def test_it_trains_as_peft_does_in_a_loop_by_hand(assets: Assets) -> None:
    spec = specification(assets)
    events, model = trained(assets, spec)
    config: Any = model.peft_config
    schedule = {key: getattr(config["default"], key) for key in ("tinit", "tfinal", "total_step")}
    assert schedule == {"tinit": 3, "tfinal": 10, "total_step": 20}
    losses, ranks, pattern, wrapped = by_hand(assets, spec, schedule)
    assert [event["loss"] for event in events] == pytest.approx(losses, abs=1e-5)
    assert [event["ranks"] for event in events] == ranks
    assert config["default"].rank_pattern == pattern
    theirs = dict(wrapped.base_model.model.named_parameters())
    for name, tensor in trainable_state(model).items():
        if "lora_" in name:
            torch.testing.assert_close(tensor, theirs[name].detach(), atol=1e-4, rtol=1e-3)


def test_the_ranks_fall_to_the_target_and_stay_there(assets: Assets) -> None:
    """16 ranks for three steps, then by the cube of what is left until 8 from step 10 on."""
    events, model = trained(assets, specification(assets))
    left = [1 - (step - 3) / 7 for step in range(4, 10)]
    expected = [16] * 3 + [int(8 * share**3 + 8) for share in left] + [8] * 11
    assert [event["ranks"] for event in events] == expected
    values = [p for name, p in model.named_parameters() if "lora_E" in name]
    assert sum(int((value != 0).sum()) for value in values) == 8


def test_the_penalty_is_that_of_the_paper(assets: Assets) -> None:
    """The mean over P and Q of the Frobenius norm of P P^T - I, times its weight."""
    spec = specification(assets)
    model, method = assets.applied(spec), METHODS.build(METHOD, spec.variant.settings)
    beside = method.steps(model, 20)
    assert beside is not None
    distances = []
    for name, factor in model.named_parameters():
        if "lora_A" in name or "lora_B" in name:
            ranks = factor if "lora_A" in name else factor.T
            distances.append((ranks @ ranks.T - torch.eye(4)).square().sum().sqrt())
    assert beside.penalty().item() == pytest.approx(0.3 * sum(d.item() for d in distances) / 8)


@pytest.mark.parametrize("micro", [4, 16])
def test_micro_batches_add_one_penalty(assets: Assets, micro: int) -> None:
    whole, _ = trained(assets, specification(assets, epochs=1))
    parts, _ = trained(assets, specification(assets, epochs=1, micro_batch_size=micro))
    losses = ([event["loss"] for event in events] for events in (whole, parts))
    assert next(losses) == pytest.approx(next(losses), abs=1e-5)


def test_a_state_with_too_many_ranks_is_not_kept(assets: Assets) -> None:
    """Of 20 evaluations those of the first nine steps cannot be the best."""
    spec = specification(assets, evaluations=20, learning_rate=1e-9)
    trainer = trainer_of(assets, spec, [])
    assert trainer.train(generator(0, "order")).best.step == 10


@pytest.mark.parametrize(("count", "expected"), [(2, (0, 0)), (3, (0, 1)), (100, (15, 50))])
def test_the_schedule_fits_the_steps(assets: Assets, count: int, expected: tuple[int, int]) -> None:
    spec = specification(assets)
    beside = METHODS.build(METHOD, spec.variant.settings).steps(assets.applied(spec), count)
    assert beside is not None
    found = {"tinit": expected[0], "tfinal": expected[1], "total_step": count}
    assert beside.derived == found


def test_one_step_is_too_few(assets: Assets) -> None:
    spec = specification(assets)
    with pytest.raises(ValueError, match=r"steps: 1 leave none .*; allowed: 2 or more"):
        METHODS.build(METHOD, spec.variant.settings).steps(assets.applied(spec), 1)


def test_two_steps_reach_the_target(assets: Assets) -> None:
    """As a rehearsal takes them."""
    events, _ = trained(assets, specification(assets, epochs=1, batch_size=32))
    assert [event["ranks"] for event in events] == [9, 8]


def test_a_run_goes_on_with_its_notes_and_ranks(assets: Assets, tmp_path: Path) -> None:
    """Interrupted before ranks are taken, while they are, and when they are settled."""
    spec = specification(assets, evaluations=3, micro_batch_size=8)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WANDB_MODE", "disabled")
        expected = assets.run(spec, whole)
        for step in (2, 4, 8):
            interrupted(assets, spec, parts, ("step", step), ask())
        assert assets.main(spec, parts) == 0
    found = assert_same_bits(spec, whole, parts)
    assert found.resumed_at_steps == (2, 6, 14)
    assert found.derived == expected.derived == {"tinit": 3, "tfinal": 10, "total_step": 20}
    assert expected.parameters is not None
    assert expected.parameters.adapter == FACTORS
    assert expected.parameters.stored == expected.parameters.trainable
    assert [event["ranks"] for event in steps(read_history(run_folder(spec, parts)))][-1] == 8


def test_its_memory_is_predicted_with_what_it_notes(assets: Assets, tmp_path: Path) -> None:
    """Three numbers of each weight beside the two of Adam, whose steps are counted as well."""
    spec = specification(assets, epochs=1)
    memory = assets.perform(spec, tmp_path)["memory"]
    assert memory is not None
    tensors, flags = 3 * LAYERS + 2, LAYERS * 4
    assert memory.optimizer_bytes == 4 * (3 * FACTORS + 2 * (FACTORS + HEAD) + tensors) + flags
    found = with_prediction(memory, spec, Traces(tmp_path))
    assert found.predicted_peak_bytes == pytest.approx(memory.peak_training_bytes, rel=0.02)


@pytest.mark.thorough("test_it_trains_as_peft_does_in_a_loop_by_hand")
def test_two_processes_train_as_one(assets: Assets, tmp_path: Path) -> None:
    spec, shared = specification(assets), specification(assets, devices=2)
    alone = perform({"one": spec}, assets.prepared, tmp_path, ALONE, Interruption())["one"]
    with forked_workers():
        work = partial(perform, {"two": shared}, assets.prepared, tmp_path)
        found = run_workers(work, shared.training, 1, Interruption())["two"]
    assert_as_one(alone, found)
    values = {name: t for name, t in found.delta.items() if "lora_E" in name}
    assert sum(int((t != 0).sum()) for t in values.values()) == 8


def test_the_stored_weights_hold_no_more_ranks_than_asked(assets: Assets, tmp_path: Path) -> None:
    spec = specification(assets, epochs=1)
    (tmp_path / "run").mkdir()
    assets.perform(spec, tmp_path / "run")
    delta = load_file(tmp_path / "run" / DELTA_FILE)
    assert sum(int((t != 0).sum()) for name, t in delta.items() if "lora_E" in name) == 8
    assert not any("ranknum" in name for name in delta)
