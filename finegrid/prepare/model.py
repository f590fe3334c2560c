"""Prepare a base model: fetched, made on the spot, or pretrained; the manifest is written last."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import JsonValue, TypeAdapter, ValidationError

from finegrid.models.anatomy import Anatomy, Reads
from finegrid.models.blueprint import Blueprint, Purpose
from finegrid.models.processing import (
    FILE,
    NESTED_FILE,
    PARTS,
    ProcessorError,
    processor_settings,
)
from finegrid.prepare import onnx_checkpoint
from finegrid.prepare.checkpoint_files import check_files
from finegrid.prepare.configuration import check_tokenizer, unfit_configuration
from finegrid.prepare.gguf_file import gguf_name
from finegrid.prepare.onnx_file import onnx_name
from finegrid.prepare.sources import DOWNLOADS, DownloadError, SourceError, fetch, local_files
from finegrid.prepare.tokenizer_file import check_reading
from finegrid.records.damage import CorruptedFileError, set_aside
from finegrid.records.identity import file_sha256
from finegrid.records.prepared import MANIFEST_FILE, PreparedModel
from finegrid.records.specification import (
    ONNX_END,
    Checkpoint,
    Model,
    Network,
    RandomModel,
    Source,
    keeps_head,
    model_key,
)
from finegrid.records.weights import INDEX_FILE, WEIGHTS_FILE, WeightsError, shards, weight_files
from finegrid.training.processes.devices import NoDeviceError

CONFIGURATION_FILE = "config.json"
BESIDE = (
    *("tokenizer.json", "tokenizer_config.json", FILE, NESTED_FILE),
    *("chat_template.jinja", "generation_config.json"),
)
"""What is taken, beside configuration and weights, of a hub repository whose source lists no files,
where it is there: how inputs are processed, and texts generated. A tokenizer is a fast one."""
SAFETENSORS = ".safetensors"
TAKEN = (".json", SAFETENSORS, ".txt", ".model", ".jinja")
"""Endings of what is taken of a folder whose source lists no files. Where it has no safetensors, an
ONNX file is taken too."""


@dataclass(frozen=True)
class Fitted:
    """How the weights of a checkpoint were made to fit, and what they lack."""

    drawn_modules: tuple[str, ...] = ()
    stripped: tuple[str, ...] = ()
    dequantised: str | None = None
    """What the weights were de-quantised from, where their file held them in few bits."""


def prepare_model(
    model: Model, destination: Path, tasks: Path, cache: Path, loaders: Sequence[str] = ()
) -> PreparedModel:
    """Write the model's files to `destination`, and its manifest.

    The weights are held against the models of the auto classes `loaders`, one for each kind of task
    that the model is for; without any, against that of the library's first that has one.

    `tasks` holds the prepared tasks, for a network's pretraining, and lies beside their encodings;
    `cache` keeps downloads. Raises CorruptedFileError for a damaged task or encoding, SourceError,
    OSError, WeightsError for weights that are no safetensors or do not fit the model, ValueError
    where a configuration is not the one that was planned, and NoDeviceError where a pretraining's
    device is missing.
    """
    (destination / MANIFEST_FILE).unlink(missing_ok=True)
    # The library would find what an earlier attempt has left, such as one file beside the shards.
    shutil.rmtree(destination, ignore_errors=True)
    destination.mkdir(parents=True)
    pretraining: dict[str, JsonValue] | None = None
    fitted = Fitted()
    if isinstance(model, Checkpoint):
        fitted = _fetch_checkpoint(model, destination, cache, loaders)
    elif isinstance(model, RandomModel):
        fitted = _make_random(model, destination, cache, loaders)
    else:
        pretraining = _make_network(model, tasks, destination)
    # A repository may hold a file of that name, which no model is loaded from.
    (destination / MANIFEST_FILE).unlink(missing_ok=True)
    files = {path.name: file_sha256(path) for path in sorted(destination.iterdir())}
    manifest = PreparedModel(
        key=model_key(model),
        spec=model,
        files=files,
        pretraining=pretraining,
        drawn_modules=fitted.drawn_modules,
        stripped=fitted.stripped,
        dequantised=fitted.dequantised,
    )
    manifest.write(destination / MANIFEST_FILE)
    return manifest


def _fetch_checkpoint(
    model: Checkpoint, destination: Path, cache: Path, loaders: Sequence[str]
) -> Fitted:
    dequantised = None
    if name := gguf_name(model.source):
        dequantised = _convert(model.source, name, destination, cache)
    elif name := onnx_name(model.source):
        dequantised = _convert_onnx(model, name, destination, cache)
    else:
        _fetch_layout(model.source, destination, cache)
    found = json.loads((destination / CONFIGURATION_FILE).read_text(encoding="utf-8"))
    for key, value in model.configuration.items():
        if found.get(key) != value:
            raise ValueError(
                f"configuration.{key}: {value!r} was planned, {CONFIGURATION_FILE} has "
                f"{found.get(key)!r}"
            )
    for key, reason in unfit_configuration(found):
        raise ValueError(f"configuration.{key}: {reason}")
    whole = Blueprint(configuration=found, pooling=model.pooling, written=False)
    reads = [_anatomy(whole.model_copy(update={"loader": one})).reads for one in loaders or (None,)]
    _check_weights(model.source, destination, found)
    _check_files(model, destination, found, reads)
    fitted = _fit(model, destination, loaders or (_default_loader(destination),))
    return replace(fitted, dequantised=dequantised)


def _convert(source: Source, name: str, destination: Path, cache: Path) -> str | None:
    """Convert the GGUF file of a source; returns what its weights were de-quantised from."""
    from finegrid.prepare.gguf_checkpoint import convert

    with tempfile.TemporaryDirectory(dir=destination.parent) as scratch:
        fetch(source, Path(scratch), (name,), cache=cache, repo_type="model")
        said = convert(Path(scratch) / name, destination)
    if said:
        _say(f"the weights were {said}")
    return said


def _convert_onnx(model: Checkpoint, name: str, destination: Path, cache: Path) -> str | None:
    """Convert the ONNX file of a source; returns what its weights were de-quantised from."""
    source = model.source
    with tempfile.TemporaryDirectory(dir=destination.parent) as scratch:
        folder = Path(scratch)
        fetch(source, folder, _taken(source, (name,)), cache=cache, repo_type="model")
        onnx_checkpoint.lay_out(folder, destination, model.configuration)
        found = json.loads((destination / CONFIGURATION_FILE).read_text(encoding="utf-8"))
        anatomy = _anatomy(Blueprint(configuration=found, written=False))
        said = onnx_checkpoint.convert(folder / name, destination, model, anatomy)
    if said:
        _say(f"the weights were {said}")
    return said


def _fetch_layout(source: Source, destination: Path, cache: Path) -> None:
    """Fetch a model in the transformers layout."""
    files = _taken(source, (CONFIGURATION_FILE,))
    fetch(source, destination, files, cache=cache, repo_type="model")
    if files == (CONFIGURATION_FILE,):
        _fetch_beside(source, destination, cache)
        _fetch_weights(source, destination, cache)


def _check_files(
    model: Checkpoint | RandomModel,
    folder: Path,
    configuration: Mapping[str, Any],
    reads: Sequence[Reads],
) -> None:
    """Refuse a tokenizer that the model cannot use, and a processor that was not planned.

    Raises ValueError.
    """
    files = {path.name: path for path in folder.iterdir()}
    if "text" in reads:
        check_tokenizer(files, configuration)
        check_reading(folder)
    if model.processor and model.processor not in _settings(files):
        raise ValueError("processor: the files say something else than what was planned")


def _settings(files: Mapping[str, Path]) -> Iterator[dict[str, Any]]:
    """What the files say of each part of a processor."""
    for part in PARTS:
        with suppress(ProcessorError):
            yield processor_settings(files, part)


def _default_loader(folder: Path) -> str:
    """The first auto class of the library that has the model in a folder."""
    from transformers import AutoConfig

    from finegrid.models.discovery import default_loader

    return default_loader(
        AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    )


def _anatomy(blueprint: Blueprint) -> Anatomy:
    """The anatomy of the whole configuration. Raises ValueError where it is refused."""
    from finegrid.models.describe import describe

    found = describe(blueprint)
    if found.anatomy is None:
        place = ".".join(filter(None, ("configuration", found.key)))
        raise ValueError(f"{place}: {found.problem}")
    return found.anatomy


def _fetch_beside(source: Source, destination: Path, cache: Path) -> None:
    """Fetch what a hub repository has of the files that not every model has."""
    for name in BESIDE:
        _has_fetched(source, name, destination, cache)


def _fetch_weights(source: Source, destination: Path, cache: Path) -> None:
    """Fetch the weights of a hub repository: one file, or the shards that its index names."""
    if _has_fetched(source, WEIGHTS_FILE, destination, cache):
        return
    if _has_fetched(source, INDEX_FILE, destination, cache):
        names = tuple(shards(destination / INDEX_FILE))
        fetch(source, destination, names, cache=cache, repo_type="model")


def _has_fetched(source: Source, name: str, destination: Path, cache: Path) -> bool:
    """Fetch a file of a hub repository; False where it has no such file."""
    try:
        fetch(source, destination, (name,), cache=cache, repo_type="model")
    except DownloadError:
        raise
    except SourceError:
        return False
    return True


def _fit(model: Checkpoint | RandomModel, folder: Path, loaders: Sequence[str]) -> Fitted:
    """Hold the weights against each model; a wrapper's words are taken off their names."""
    from finegrid.models.alone import check_alone
    from finegrid.models.pretrained import fit

    stripped, drawn, passed = dict[str, None](), dict[str, None](), dict[str, None]()
    for loader in loaders:
        found = fit(folder, loader, model.pooling, keeps_head=keeps_head(model))
        check_alone(found.model, folder)
        stripped |= dict.fromkeys(found.stripped)
        drawn |= dict.fromkeys(found.drawn)
        passed |= dict.fromkeys(found.passed_over)
    if passed:
        _say(f"{', '.join(passed)} of the file passed over: they are no weights of the body")
    if stripped:
        _say(f"{', '.join(stripped)} taken off the names of the weights")
    if drawn:
        _say(f"the weights lack {', '.join(drawn)}, which is drawn with the head")
    return Fitted(drawn_modules=tuple(drawn), stripped=tuple(stripped))


def _make_random(
    model: RandomModel, destination: Path, cache: Path, loaders: Sequence[str]
) -> Fitted:
    from transformers import AutoConfig

    from finegrid.models.pooling import attention_implementation, random_class
    from finegrid.models.seeds import seed_global, weights_stream

    asked = (Blueprint.of(model, Purpose(one)) for one in loaders or (None,))
    reads = [_anatomy(one).reads for one in asked]
    options = dict(model.configuration)
    seed_global(model.seed, weights_stream(model.name))
    config = AutoConfig.for_model(str(options.pop("model_type")), **options)
    files = _taken(model.tokenizer, ())
    if files == ():
        _fetch_beside(model.tokenizer, destination, cache)
    else:
        fetch(model.tokenizer, destination, files, cache=cache, repo_type="model")
    kind = random_class(config, loaders)
    made = kind._from_config(config, attn_implementation=attention_implementation(kind))
    made.save_pretrained(destination)
    _check_weights(model.tokenizer, destination, model.configuration)
    _check_files(model, destination, config.to_dict(), reads)
    return _fit(model, destination, loaders or (_default_loader(destination),))


def _taken(source: Source, of_hub: tuple[str, ...]) -> tuple[str, ...] | None:
    """The files to fetch; None for those that the source lists, or for the one that it is."""
    if source.uri.startswith("hub:") and not source.sha256:
        return of_hub
    return taken_of_folder(source)


def taken_of_folder(source: Source) -> tuple[str, ...] | None:
    """The files of a model that are taken of a local source; None for those listed, or for all.

    Raises SourceError and OSError.
    """
    if source.sha256:
        return None
    files = local_files(source)
    names = [name for name in files if _is_taken(name)]
    if not any(name.endswith(SAFETENSORS) for name in names):
        names += [name for name in files if name.endswith(ONNX_END) and "/" not in name]
    return tuple(sorted(names)) or None


def _is_taken(name: str) -> bool:
    return name.endswith(TAKEN) and "/" not in name


def _check_weights(source: Source, folder: Path, configuration: Mapping[str, Any]) -> None:
    """Refuse a model without safetensors, and one whose folder adds other weights."""
    files = {path.name: path for path in folder.iterdir()}
    try:
        check_files(files, configuration)
        weight_files(files)
    except WeightsError as error:
        raise SourceError(f"{source.uri}: {error}") from error


def _make_network(model: Network, tasks: Path, destination: Path) -> dict[str, JsonValue] | None:
    """Raises ValueError where the pretraining diverges, or predicts what has no score."""
    from finegrid.training.evaluation import UndefinedScoreError
    from finegrid.training.loop import DivergedError
    from finegrid.training.pretrain import make_network

    try:
        return make_network(model, tasks.parent, destination)
    except (DivergedError, UndefinedScoreError) as error:
        raise ValueError(
            f"the pretraining of {model.name} has no score: {error}; allowed: settings under which "
            "it learns, as a lower learning_rate"
        ) from error


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line.

    Returns 0, 65 for wrong data, 74 where reading or writing fails, or 78 where there is no device.
    """
    options = _parser().parse_args(arguments)
    try:
        text = sys.stdin.read() if options.spec == "-" else Path(options.spec).read_text("utf-8")
        model: Model = TypeAdapter(Model).validate_json(text)
        prepare_model(model, options.output, options.tasks, options.cache, options.loaders)
    except CorruptedFileError as error:
        return _fail(os.EX_DATAERR, f"{error}; {set_aside(error.folder)}")
    except OSError as error:
        return _fail(os.EX_IOERR, str(error))
    except (SourceError, ValidationError, ValueError) as error:
        return _fail(os.EX_DATAERR, str(error))
    except NoDeviceError as error:
        return _fail(os.EX_CONFIG, str(error))
    return os.EX_OK


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m finegrid.prepare.model", description=__doc__)
    parser.add_argument("--spec", required=True, help="the model as JSON: a file, or - for stdin")
    parser.add_argument("--output", required=True, type=Path, help="folder to write")
    parser.add_argument("--tasks", required=True, type=Path, help="folder of prepared tasks")
    parser.add_argument("--cache", type=Path, default=DOWNLOADS, help="folder of downloads")
    parser.add_argument("--loaders", nargs="*", default=(), help="auto classes of transformers")
    return parser


def _fail(code: int, message: str) -> int:
    _say(message)
    return code


def _say(message: str) -> None:
    sys.stderr.write(f"prepare_model: {' '.join(message.split())}\n")


if __name__ == "__main__":
    sys.exit(main())
