"""The folders of an exported model: an adapter of peft, a whole model, or the delta alone."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from finegrid.export.trained import ExportError, TrainedRun
from finegrid.models.head import head_modules
from finegrid.records.result import DELTA_FILE, SPECIFICATION_FILE
from methods.contract import Method
from methods.peft_form import ADAPTER, NoPeftFormError, PeftForm

Write = Callable[[TrainedRun, Path], None]
_TASKS: Mapping[str | None, str] = {
    "AutoModelForSequenceClassification": "SEQ_CLS",
    "AutoModelForTokenClassification": "TOKEN_CLS",
    "AutoModelForCausalLM": "CAUSAL_LM",
    "AutoModelForSeq2SeqLM": "SEQ_2_SEQ_LM",
}
"""Auto class of transformers -> what peft calls its task; for others peft needs no name, and its
class for answers in a context leaves out which of the two texts a token is of."""
_NEAR = 1e-4
"""How far the logits of an exported model may be from the run's: sums are taken in other orders."""
_OF_PLACES = 3
"""Dimensions of logits of each place of a sequence."""
_WEIGHTS = (".safetensors", ".safetensors.index.json")
_CONFIGURATION, _GENERATION = "config.json", "generation_config.json"


def write_peft(trained: TrainedRun, folder: Path) -> None:
    """An adapter that `PeftModel.from_pretrained` puts on the base.

    Raises ExportError where peft has not what the run did.
    """
    model = trained.model(plain=True)
    base = _library_model(trained, trained.base(plain=True))
    base.name_or_path = base_name(trained)
    try:
        source = getattr(trained.run.spec.model, "source", None)
        revision = source.revision if source else None
        wrapped = adapted(base, model, trained.method, trained.kind.loader, revision)
    except NoPeftFormError as error:
        raise _refused(trained, "peft", str(error)) from error
    _check(trained, model, wrapped)
    wrapped.save_pretrained(str(folder), save_embedding_layers=False)


def write_merged(trained: TrainedRun, folder: Path) -> None:
    """A model of transformers with the update inside its weights, and what reads its inputs.

    It has the names of the labels, and its weights are fp32: those that the run held quantised are
    de-quantised. A text ends where the base's own file says, and at what the run has learnt to end
    it with.
    Raises ExportError where the update cannot be inside them.
    """
    model = trained.model(plain=trained.is_half)
    whole = trained.model(plain=True)
    if whole.state_dict().keys() != trained.base(plain=True).state_dict().keys():
        try:
            trained.method.merge(whole)
        except NotImplementedError as error:
            raise _refused(trained, "merged", str(error)) from error
    merged = _library_model(trained, whole)
    _check(trained, model, merged)
    merged.save_pretrained(folder)
    for name in trained.prepared_model.files:
        if not name.endswith(_WEIGHTS) and name != _CONFIGURATION:
            shutil.copyfile(trained.run.model_folder / name, folder / name)
    _end_texts(trained, folder / _GENERATION)


def write_delta(trained: TrainedRun, folder: Path) -> None:
    """The tensors that the run stored, and the specification that says how to apply them."""
    save_file(load_file(trained.folder / DELTA_FILE), folder / DELTA_FILE)
    trained.run.spec.write(folder / SPECIFICATION_FILE)


def adapted(
    base: Any, model: nn.Module, method: Method, loader: str | None, revision: str | None = None
) -> Any:
    """The base under peft, with what the method and the head of the model were trained to.

    `revision` is the base's commit on the Hub. Raises NoPeftFormError where peft has not what the
    method did.
    """
    from peft import PeftConfig, get_peft_model

    form = method.peft_form(model)
    whole = _heads(model) | {path: model.get_submodule(path) for path in form.saved}
    added = {
        "task_type": _TASKS.get(loader),
        "modules_to_save": [*whole],
        "revision": revision,
    }
    config = PeftConfig.from_peft_type(**dict(form.config) | added)
    wrapped = get_peft_model(base, config, autocast_adapter_dtype=False)
    _fill(wrapped, form, whole)
    return wrapped


FORMATS: Mapping[str, Write] = {"peft": write_peft, "merged": write_merged, "delta": write_delta}


def base_name(trained: TrainedRun) -> str:
    """Where the base is: its name on the Hub, or the folder in which it was prepared."""
    source = getattr(trained.run.spec.model, "source", None)
    uri = source.uri if source else ""
    return uri.removeprefix("hub:") if uri.startswith("hub:") else str(trained.run.model_folder)


def _refused(trained: TrainedRun, name: str, reason: str) -> ExportError:
    allowed = ", ".join(other for other in FORMATS if other != name)
    variant = trained.run.spec.variant
    return ExportError(f"--format {name}: {variant.method}: {reason}; allowed: {allowed}")


def _library_model(trained: TrainedRun, model: nn.Module) -> Any:
    """The library's own class for the task, with the weights of a model without additions."""
    import transformers

    loader, spec = trained.kind.loader, trained.run.spec
    if loader is None or spec.model.widths is not None:
        raise ExportError(f"{spec.model.name} is no model of transformers; allowed: delta")
    if spec.model.pooling is not None:
        raise ExportError(
            f"{spec.model.name} has pooling: {spec.model.pooling}, which {loader} knows nothing "
            "of; allowed: delta"
        )
    config: Any = copy.deepcopy(model.config)
    labels = trained.task.labels
    if labels and config.num_labels == len(labels):
        config.id2label = dict(enumerate(labels))
        config.label2id = {label: number for number, label in enumerate(labels)}
    plain = getattr(transformers, loader).from_config(config, dtype=torch.float32)
    plain.load_state_dict(model.state_dict())
    return plain.eval()


def _end_texts(trained: TrainedRun, file: Path) -> None:
    """Let texts of the exported model end at what the run has learnt to end them with, too."""
    kind = trained.kind
    if not kind.output.written or not file.exists():
        return
    said = json.loads(file.read_text(encoding="utf-8"))
    given = said.get("eos_token_id")
    known = given if isinstance(given, list) else [given]
    ends = kind.inputs.processor(trained.run.model_folder).ends
    found = list(dict.fromkeys(one for one in (*known, *ends) if one is not None))
    said["eos_token_id"] = found if len(found) > 1 else found[0]
    file.write_text(json.dumps(said, indent=2) + "\n", encoding="utf-8")


def _heads(model: nn.Module) -> dict[str, nn.Module]:
    """Path -> module of the task's head."""
    heads = {id(module) for module in head_modules(model)}
    return {path: module for path, module in model.named_modules() if id(module) in heads}


def _fill(wrapped: nn.Module, form: PeftForm, whole: Mapping[str, nn.Module]) -> None:
    """Put what was trained in its places; NoPeftFormError where one is not there, or is left."""
    places = {
        **dict(wrapped.named_buffers(remove_duplicate=False)),
        **dict(wrapped.named_parameters(remove_duplicate=False)),
    }
    filled = set()
    for name, tensor in _values(places, form, whole):
        place = places.get(name)
        if place is None or place.shape != tensor.shape:
            raise NoPeftFormError(f"peft has no {name} of shape {tuple(tensor.shape)}")
        place.data.copy_(tensor)
        filled.add(id(place))
    for name, place in wrapped.named_parameters():
        if place.requires_grad and id(place) not in filled:
            raise NoPeftFormError(f"peft trains {name}, and the run did not")


def _values(
    places: Mapping[str, Tensor], form: PeftForm, whole: Mapping[str, nn.Module]
) -> Iterator[tuple[str, Tensor]]:
    """Names of peft's model and what belongs there."""
    for name, tensor in form.tensors.items():
        yield name, tensor.detach()
    for path, module in whole.items():
        for name, parameter in module.named_parameters():
            end = f".{path}.modules_to_save.{ADAPTER}.{name}"
            found = [place for place in places if place.endswith(end)]
            yield (found[0] if found else end), parameter.detach()


def _check(trained: TrainedRun, model: nn.Module, exported: nn.Module) -> None:
    """Raise ExportError where the exported model says something else than the run's."""
    output, batch = trained.kind.output, trained.examples()
    with torch.inference_mode():
        expected, found = (output.forward(one.eval(), batch).float() for one in (model, exported))
    if expected.ndim == _OF_PLACES:  # peft gives out the places of a prompt before the tokens'
        found = found[:, found.shape[1] - expected.shape[1] :]
    if not torch.allclose(found, expected, rtol=_NEAR, atol=_NEAR):
        largest = float((found - expected).nan_to_num().abs().max())
        raise ExportError(
            f"{trained.result.run}: the exported model's logits are off by {largest:.2g}; "
            "allowed: delta"
        )
