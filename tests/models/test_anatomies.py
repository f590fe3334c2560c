"""Anatomies of planned models: found once, kept in the results, and told in one line if not."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from finegrid.models import anatomies
from finegrid.models.anatomies import FOLDER, Anatomies
from finegrid.models.anatomy import of_network
from finegrid.models.blueprint import Blueprint, Description, DescriptionError, Purpose
from finegrid.models.describe import describe
from finegrid.models.discovery import discover
from finegrid.models.live import anatomy_of
from finegrid.models.network import LinearStack
from finegrid.records.specification import RandomModel, Source
from tests.methods.architectures import tiny
from tests.warm.start import warm_python

LOADER = "AutoModelForSequenceClassification"

BERT: dict[str, Any] = {
    "model_type": "bert",
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 32,
}


def of_bert(**more: Any) -> Blueprint:
    return Blueprint(configuration=BERT | more, loader=LOADER)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Blueprint]:
    """Everything that discovery is asked for, by a process that has found nothing before."""
    asked: list[Blueprint] = []

    def find(blueprints: Sequence[Blueprint]) -> list[Description]:
        asked.extend(blueprints)
        return [describe(one) for one in blueprints]

    monkeypatch.setattr(anatomies, "discovery", find)
    monkeypatch.setattr(anatomies, "_KNOWN", {})
    return asked


@pytest.mark.parametrize("widths", [(4, 2), (4, 3, 2), (9, 8, 7, 6)])
def test_a_network_s_anatomy_follows_from_its_widths(widths: tuple[int, ...]) -> None:
    model = LinearStack(widths)
    assert of_network(widths, model.config.model_type) == discover(model)


def test_a_live_model_keeps_its_anatomy() -> None:
    model = tiny("bert")
    found = anatomy_of(model)
    model.get_submodule("bert.encoder").add_module("more", LinearStack((4, 3, 2)))
    assert anatomy_of(model) is found
    assert discover(model) != found


def test_anatomies_are_kept_where_there_are_results(
    asked: list[Blueprint], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "results" / "prepared" / FOLDER
    (first,) = Anatomies(folder)([of_bert()])
    assert not folder.exists()
    (tmp_path / "results").mkdir()
    Anatomies(folder)([of_bert(), of_bert()])
    (file,) = folder.iterdir()
    monkeypatch.setattr(anatomies, "_KNOWN", {})
    assert Anatomies(folder)([of_bert()]) == [first]
    assert asked == [of_bert()]
    monkeypatch.setattr(anatomies, "_KNOWN", {})
    file.write_text("{")
    assert Anatomies(folder)([of_bert()]) == [first]
    assert len(asked) == 2


def test_another_configuration_pooling_or_library_is_another_anatomy(
    asked: list[Blueprint], monkeypatch: pytest.MonkeyPatch
) -> None:
    pooled = Blueprint(configuration=BERT, loader=LOADER, pooling="mean")
    Anatomies()([of_bert(), of_bert(hidden_size=32), pooled])
    monkeypatch.setattr(anatomies, "version", lambda name: "0")
    Anatomies()([of_bert()])
    assert asked == [of_bert(), of_bert(hidden_size=32), pooled, of_bert()]


def test_one_process_finds_all_and_says_in_one_line_what_it_cannot() -> None:
    blueprints = [of_bert(), of_bert(num_attention_heads=3)]
    with warm_python():
        good, bad = anatomies._in_a_process(blueprints)
    assert [good, bad] == [describe(one) for one in blueprints]
    assert good.anatomy is not None
    assert bad.problem is not None
    assert "\n" not in bad.problem


@pytest.mark.parametrize(
    ("configuration", "key", "problem"),
    [
        ({}, "model_type", "this key is required"),
        ({"model_type": "bort"}, "model_type", "unknown model type 'bort': did you mean 'bert'? "),
        ({"model_type": "bert"}, "hidden_size", "this key is required"),
        (
            {"model_type": "xlnet", "d_model": 16, "n_layer": 1, "n_head": 2},
            None,
            "its classifier reads the last position, which may be padding; allowed: a pooling",
        ),
        (
            {"model_type": "mamba", "hidden_size": 16, "num_hidden_layers": 1},
            None,
            "the library has no AutoModelForSequenceClassification for mamba; allowed: a pooling",
        ),
        (
            BERT | {"model_type": "convbert"},
            None,
            "convbert reads padding as text: its convolutions run over it",
        ),
        (
            BERT | {"model_type": "fnet"},
            None,
            "fnet takes no attention_mask: it would read padding as text",
        ),
    ],
)
def test_a_model_without_an_anatomy_says_why(
    configuration: dict[str, Any], key: str | None, problem: str
) -> None:
    found = describe(Blueprint(configuration=configuration, loader=LOADER))
    assert (found.anatomy, found.key) == (None, key)
    assert str(found.problem).startswith(problem)
    model = RandomModel(
        kind="random", name="m", configuration=configuration, tokenizer=Source(uri="path:none")
    )
    with pytest.raises(DescriptionError, match=r"^model 'm': "):
        Anatomies().of(model, Purpose(LOADER))


def test_a_pooling_serves_a_body_without_a_classifier() -> None:
    mamba: Any = {"model_type": "mamba", "hidden_size": 16, "num_hidden_layers": 1}
    found = describe(Blueprint(configuration=mamba, loader=LOADER, pooling="last"))
    assert found.anatomy is not None
    assert (found.anatomy.head, found.anatomy.poolings) == (("score",), ("mean", "last"))
