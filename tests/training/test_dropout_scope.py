"""`dropout_scope: trained`: dropout acts on what depends on something trained, and nowhere else."""

import re
from typing import Any

import pytest
from torch import nn

from finegrid.records.training import Training
from finegrid.training.loop import Event
from tests.training.frozen import applied, train, trainer

ANYWHERE = {
    "bert.embeddings.dropout",
    *(
        f"bert.encoder.layer.{n}.attention.{part}"
        for n in (0, 1)
        for part in ("self", "output.dropout")
    ),
    *(f"bert.encoder.layer.{n}.output.dropout" for n in (0, 1)),
    "dropout",
}
"""Where BERT has dropout: `self` drops weights of attention."""
IN_TOP = {path for path in ANYWHERE if ".1." in path} | {"dropout"}
IN_BLOCKS = ANYWHERE - {"bert.embeddings.dropout"}


def active(method: str, settings: dict[str, Any], **options: Any) -> set[str]:
    """Where a step's dropout acts."""
    model = applied("bert", method, settings)
    trainer(model, "bert", [], dropout_scope="trained", **options).enter_training()
    return {path for path, module in model.named_modules() if module.training and has_dropout(path)}


def has_dropout(path: str) -> bool:
    return bool(
        re.search(r"(?<!self\.)(?<!lora_)dropout$|dropout\.default$|attention\.self$", path)
    )


@pytest.mark.parametrize(
    ("method", "settings", "expected"),
    [
        ("head", {}, set()),
        ("full", {"top_blocks": 1}, IN_TOP),
        ("full", {"top_blocks": 2}, IN_BLOCKS),
        ("full", {}, ANYWHERE),
        ("bitfit", {}, ANYWHERE),
        ("prompt", {"length": 2}, ANYWHERE),
        ("prefix", {"length": 2}, IN_BLOCKS),
        ("lora", {"rank": 2, "targets": ["q", "v"]}, IN_BLOCKS),
        (
            "lora",
            {"rank": 2, "targets": ["down"]},
            IN_BLOCKS
            - {f"bert.encoder.layer.0.attention.{part}" for part in ("self", "output.dropout")},
        ),
    ],
)
def test_what_requires_a_gradient_decides(
    method: str, settings: dict[str, Any], expected: set[str]
) -> None:
    assert active(method, settings) == expected


def test_a_method_s_own_dropout_acts_in_the_lowest_layer_too() -> None:
    settings = {"config": {"r": 2, "lora_dropout": 0.1}, "targets": ["q"]}
    own = {f"bert.encoder.layer.{n}.attention.self.query.lora_dropout.default" for n in (0, 1)}
    assert active("peft:lora", settings) == IN_BLOCKS | own


@pytest.mark.parametrize("model_type", ["bert", "gpt2"])
def test_losses_are_those_of_a_model_without_dropout_below(model_type: str) -> None:
    """Where the probability of every dropout of the lower part is set to 0 by hand."""
    found = losses(applied(model_type, "full", {"top_blocks": 1}), model_type, "trained")
    model = applied(model_type, "full", {"top_blocks": 1})
    for path, module in model.named_modules():
        if "mbeddings" in path or re.search(r"\.(layer|h)\.0\b|\.drop$", path):
            switch_off(module)
    assert found == losses(model, model_type, "all")
    assert found != losses(applied(model_type, "full", {"top_blocks": 1}), model_type, "all")


def switch_off(module: nn.Module) -> None:
    if isinstance(module, nn.Dropout):
        module.p = 0.0
    for name in ("dropout_prob", "attention_dropout", "dropout_p"):
        if isinstance(getattr(module, name, None), float):
            setattr(module, name, 0.0)


def losses(model: nn.Module, model_type: str, scope: str) -> list[float]:
    events: list[Event] = []
    train(trainer(model, model_type, events, dropout_scope=scope))
    return [event["loss"] for event in events if "loss" in event]


def test_a_model_without_dropout_trains_as_before() -> None:
    one, other = (
        losses(applied("llama", "lora", {"rank": 2}), "llama", scope)
        for scope in ("all", "trained")
    )
    assert one == other


def test_divided_models_are_refused() -> None:
    options = {"learning_rate": 0.1, "epochs": 1, "batch_size": 8, "devices": 2, "strategy": "fsdp"}
    with pytest.raises(
        ValueError, match=r"dropout_scope: trained with strategy: fsdp.*allowed: all"
    ):
        Training.model_validate(options | {"dropout_scope": "trained"})
