"""A transformers classifier with the weights of a checkpoint: what fits, and what does not."""

import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from finegrid.models.discovery import blank
from finegrid.models.family import family_of
from finegrid.models.head import add_to_head, head_modules
from finegrid.models.live import anatomy_of
from finegrid.models.padding import set_padding
from finegrid.models.pooling import NoClassifierError, attention_implementation, classifier_class
from finegrid.models.precision import holding
from finegrid.models.wrappers import unwrapped
from finegrid.records.specification import Pooling
from finegrid.records.training import Weights
from finegrid.records.weights import Shape, WeightsError, rename_weights, stored_shapes

_NAMED = 5
"""Names that a message holds before it counts the others."""
_CONSTANTS = re.compile(r"(^|\.)(position_ids|token_type_ids|masked_bias|inv_freq)$")
"""Buffers that older versions of the library stored, and that a configuration decides."""
_HEADS = frozenset(
    {
        *("classification_head", "classifier", "cls", "final_logits_bias", "lm_head"),
        *("pooler", "qa_outputs", "score"),
    }
)
"""What the library calls the heads of tasks. Where a file names the weights of the body with the
library's prefix, all that stands beside it is a head; elsewhere it is known by these names."""


@dataclass(frozen=True)
class Report:
    """How the names and shapes of a checkpoint and of a model differ."""

    missing: frozenset[str]
    """Names of the model that the checkpoint lacks."""
    unexpected: frozenset[str]
    """Names of the checkpoint that the model lacks."""
    mismatched: dict[str, tuple[Shape, Shape]]
    """Name -> its shapes in the checkpoint and in the model."""
    prefixed: bool
    """Whether the checkpoint names the weights of the body with the library's prefix."""

    @property
    def unread(self) -> set[str]:
        """Names of the model that got no value from the checkpoint."""
        return {*self.missing, *self.mismatched}


class Fit(NamedTuple):
    """A checkpoint that fits its model."""

    stripped: tuple[str, ...]
    """Words of wrappers that were taken off the names in the files."""
    drawn: tuple[str, ...]
    """Modules that the checkpoint lacks and that belong to the head."""
    passed_over: tuple[str, ...]
    """Names of weights in the files that no run begins with: of heads, and constants."""
    model: nn.Module
    """With the checkpoint's weights."""


def fit(folder: Path, loader: str, pooling: Pooling | None = None, *, keeps_head: bool) -> Fit:
    """Hold the weights in a folder against their model, the one of the auto class `loader`.

    Raises WeightsError, which names them, for weights of the body that are missing, of another
    shape, not the model's or no finite numbers; and so for those of a head that is to be kept.
    Raises ValueError for an id of padding that is none.
    """
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    set_padding(config, folder)
    stripped = _unwrap(folder, config, loader, pooling)
    model, report = read_weights(folder, config, loader, pooling)
    drawn = _lacking(model, report)
    add_to_head(model, drawn)
    check_body(model, report)
    if keeps_head:
        check_head(model, report)
    _check_finite(model, with_head=keeps_head)
    begun = set() if keeps_head else _head_names(model) - report.missing
    return Fit(stripped, drawn, tuple(sorted(report.unexpected | begun)), model)


def _unwrap(folder: Path, config: Any, loader: str, pooling: Pooling | None) -> tuple[str, ...]:
    files = {path.name: path for path in folder.iterdir()}
    names, words = unwrapped(stored_shapes(files), _known_names(config, loader, pooling))
    if words:
        rename_weights(files, names)
    return tuple(words)


def read_weights(
    folder: Path,
    config: Any,
    loader: str,
    pooling: Pooling | None = None,
    weights: Weights = "fp32",
) -> tuple[nn.Module, Report]:
    """The model that an auto class has for a configuration, with the weights in a folder.

    Beside it stands how the two fit. `weights` says in which type the base's are held.

    Raises WeightsError where the library has no such model for the configuration, or cannot
    convert the weights.
    """
    listen()
    kind = holding(_classifier(config, loader, pooling), weights)
    try:
        model, found = kind.from_pretrained(
            folder,
            config=config,
            dtype=torch.float32,
            attn_implementation=attention_implementation(kind),
            trust_remote_code=False,
            use_safetensors=True,
            local_files_only=True,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
        )
    except RuntimeError as error:
        raise WeightsError(f"the library cannot convert the weights: {error}") from error
    leave_inputs(model)
    shapes = {name: (tuple(file), tuple(own)) for name, file, own in found["mismatched_keys"]}
    missing, unexpected = found["missing_keys"], found["unexpected_keys"]
    stored = stored_shapes({path.name: path for path in folder.iterdir()})
    prefixed = any(name.startswith(_prefix(model)) for name in stored.keys() & _own(model))
    return model, Report(frozenset(missing), frozenset(unexpected), shapes, prefixed)


def unread_weights(
    config: Any, loader: str, pooling: Pooling | None, weights: Weights
) -> nn.Module:
    """The model that `read_weights` makes, on the meta device: no weight is read."""
    kind = holding(_classifier(config, loader, pooling), weights)
    attention = attention_implementation(kind)
    make = partial(kind._from_config, dtype=torch.float32, attn_implementation=attention)
    model = blank(make, config)
    leave_inputs(model)
    return model.eval()  # as what is read


def leave_inputs(model: nn.Module) -> None:
    """Let no gradient be asked for of the samples of recordings.

    The library's encoders of waveforms ask for it in training, for its older way of checkpointing:
    a step would go back through all convolutions, also where nothing in them is trained.
    """
    for module in model.modules():
        if getattr(module, "_requires_grad", False) is True:
            module._requires_grad = False  # type: ignore[assignment]  # the library's own switch


def listen() -> None:
    """Let the library's warnings through, and leave out the report that `Report` has as data."""
    from transformers import logging as library

    library.set_verbosity_warning()
    library.disable_progress_bar()
    logging.getLogger("transformers.modeling_utils").addFilter(_is_no_report)


def _is_no_report(record: logging.LogRecord) -> bool:
    text = record.getMessage()
    return "LOAD REPORT" not in text or "CONVERSION" in text


def _lacking(model: nn.Module, report: Report) -> tuple[str, ...]:
    """The modules of which the checkpoint has nothing, though pretraining may have seen them."""
    return tuple(
        path
        for path in anatomy_of(model).optional
        if (names := _names(model, path)) and names <= report.missing
    )


def check_body(model: nn.Module, report: Report) -> None:
    """Raise WeightsError, which names them, for weights outside the head that do not fit."""
    of_head = _head_names(model)
    missing = sorted(report.missing - of_head)
    shapes = [
        f"{name} is {file}, config.json asks for {own}"
        for name, (file, own) in sorted(report.mismatched.items())
        if name not in of_head
    ]
    foreign = sorted(name for name in report.unexpected if _is_of_body(model, name, report))
    said = [
        *_said("missing", missing),
        *_said("of another shape", shapes),
        *_said("not of the model", foreign),
    ]
    if said:
        raise WeightsError(
            f"the weights are not those of the model that config.json describes: "
            f"{'; '.join(said)}; allowed: all weights of its body, and heads of other tasks"
        )


def check_head(model: nn.Module, report: Report) -> None:
    """Raise WeightsError where the checkpoint lacks a part of the head, which is to be kept."""
    if unread := sorted(report.unread & _head_names(model)):
        raise WeightsError(
            f"head: keep, and the checkpoint has no head for the task: {_listed(unread)} is "
            "missing or of another shape; allowed: head: new, which draws one"
        )


def _check_finite(model: nn.Module, *, with_head: bool) -> None:
    """Raise WeightsError for a weight that holds NaN or an infinity; of the head if it is kept."""
    passed_over = set() if with_head else _head_names(model)
    wrong = [
        name
        for name, parameter in model.named_parameters()
        if name not in passed_over and not torch.isfinite(parameter).all()
    ]
    if wrong:
        raise WeightsError(f"weights that are no finite numbers: {_listed(wrong)}")


@torch.no_grad()
def draw_head(model: nn.Module) -> None:
    """Draw every value of the head anew from torch's global generator, as the library does.

    What a checkpoint holds of the head has no part in it: the anatomy's own modules come
    first, so that their values are the same whatever else is drawn.
    """
    initialise: Any = model._init_weights
    for root in head_modules(model):
        for module in reversed(list(root.modules())):
            for parameter in module.parameters(recurse=False):
                # the library's mark of what it has read, which its initialisers leave as it is
                parameter._is_hf_initialized = False  # type: ignore[attr-defined]
            initialise(module)


def _known_names(config: Any, loader: str, pooling: Pooling | None) -> set[str]:
    """The names that the library knows the body's weights by: with and without its prefix."""
    model: Any = blank(_classifier(config, loader, pooling)._from_config, config)
    names = set(model.base_model.state_dict())
    return names | {_prefix(model) + name for name in names}


def _classifier(config: Any, loader: str, pooling: Pooling | None) -> Any:
    """The class of a classifier. Raises WeightsError where there is none."""
    try:
        return classifier_class(config, loader, pooling)
    except NoClassifierError as error:
        raise WeightsError(str(error)) from error


def _prefix(model: Any) -> str:
    return f"{model.base_model_prefix}."


def _own(model: nn.Module) -> set[str]:
    return {name for name, _ in model.named_parameters()}


def _names(model: nn.Module, path: str) -> set[str]:
    return {name for name in _own(model) if name.startswith(f"{path}.")}


def _head_names(model: nn.Module) -> set[str]:
    heads = {id(module) for module in head_modules(model)}
    paths = [path for path, module in model.named_modules() if id(module) in heads]
    return {name for path in paths for name in _names(model, path)}


def _is_of_body(model: Any, name: str, report: Report) -> bool:
    """Whether a name that the model lacks is no head's, but a part of another body."""
    inner = name.removeprefix(_prefix(model))
    first = inner.split(".")[0]
    aside = family_of(model.config.model_type).aside
    if _CONSTANTS.search(name) or first in ("pooler", *aside):
        return False
    if inner != name or first in dict(model.base_model.named_children()):
        return True
    if _ends_as_a_block_s(model, name):
        return True
    return not report.prefixed and first not in _HEADS


def _ends_as_a_block_s(model: nn.Module, name: str) -> bool:
    """Whether the name ends as that of a weight in one of the model's blocks does."""
    own = (key.removeprefix(_prefix(model)) for key in _own(model))
    return any(name.endswith(f".{key}") for key in own if re.search(r"\.\d+\.", key))


def _said(what: str, names: list[str]) -> Iterator[str]:
    if names:
        yield f"{what}: {_listed(names)}"


def _listed(names: list[str]) -> str:
    others = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {others} more" if others > 0 else "")
