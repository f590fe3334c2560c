"""Prepared tasks and models by the hashes that a run records of them. Loads no torch."""

from __future__ import annotations

import hashlib
from pathlib import Path

from safetensors import SafetensorError, safe_open

from analysis.reading import read_record
from finegrid.models.anatomies import FOLDER, Anatomies
from finegrid.models.blueprint import Purpose
from finegrid.prepare import checkpoint_files
from finegrid.records.prepared import MANIFEST_FILE, PreparedModel, PreparedTask
from finegrid.records.specification import Checkpoint, Model, model_key
from finegrid.records.weights import WEIGHTS_FILE, WeightsError

_HEAD = "head."
"""Beginning of the names of a network's head, which every run draws for itself."""


def data_sha256(manifest: Path) -> str:
    """The fingerprint of a prepared task. Raises AnalysisError for no manifest, or OSError."""
    return read_record(PreparedTask, manifest).sha256


def model_sha256(manifest: Path) -> str | None:
    """The hash of a prepared model, as a run has it of the loaded one: all but the head.

    None where the weights cannot be read, and for a transformer: the names that the hash is made
    of are given when it is loaded. Raises as above.
    """
    if not read_record(PreparedModel, manifest).spec.stored_as_loaded:
        return None
    try:
        return _body_sha256(manifest.with_name(WEIGHTS_FILE))
    except (OSError, SafetensorError):
        return None


def drawn_modules(model: Model, purpose: Purpose, results: Path) -> tuple[str, ...]:
    """The modules that the model's checkpoint lacks: as prepared, or by its files on this machine.

    They are those of the model for that purpose.
    None is known of before it is fetched. Raises AnalysisError for no manifest, or OSError.
    """
    manifest = results / "prepared" / "models" / model_key(model) / MANIFEST_FILE
    anatomy = Anatomies(results / "prepared" / FOLDER).of(model, purpose)
    if manifest.exists():
        known = read_record(PreparedModel, manifest).drawn_modules
        return tuple(path for path in known if path in anatomy.optional)
    try:
        return checkpoint_files.drawn_modules(model, anatomy)
    except WeightsError:
        return ()  # `check` has said so, or the source is gone by now


def is_pinned(model: Model) -> bool:
    """Whether the model's source says which bytes it has: then its key decides them."""
    return isinstance(model, Checkpoint) and bool(model.source.revision or model.source.sha256)


def _body_sha256(file: Path) -> str:
    digest = hashlib.sha256()
    with safe_open(file, framework="numpy") as weights:
        for name in sorted(weights.keys()):
            if not name.startswith(_HEAD):
                digest.update(name.encode())
                digest.update(weights.get_tensor(name).tobytes())
    return digest.hexdigest()
