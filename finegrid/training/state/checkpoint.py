"""Checkpoints of a run: one safetensors file, named by its own hash, whole or not there.

It lies in the undeclared folder `checkpoint` of its run, where Snakemake deletes nothing on a
retry, until the run has its record.
"""

import json
import logging
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import JsonValue
from safetensors import safe_open
from safetensors.torch import load_file

from finegrid.records.base import Name, Positive, Record, Sha256
from finegrid.records.costs import Count, Seconds
from finegrid.records.identity import file_sha256
from finegrid.records.quarantine import quarantine
from finegrid.records.training import Training
from finegrid.records.write import write_by_hash
from finegrid.training.state.snapshot import Tensors, TrainerState
from finegrid.training.state.tensors import write_tensors

CHECKPOINT_FOLDER = "checkpoint"
_IDENTITY, _PAST, _SUFFIX = "identity", "past", ".safetensors"
_LOGGER = logging.getLogger(__name__)


class Identity(Record):
    """What must be equal for a run to go on to the bits that it would have reached alone."""

    run: Name
    specification: Sha256
    """Of the run with its tuned values in their places."""
    source_digest: Sha256
    packages: dict[str, str]
    python: str
    device: str
    processor: str
    accelerator: str | None
    threads: Positive


class Past(Record):
    """What is no tensor in a checkpoint."""

    training: Training
    """The one in use: its micro-batches may be smaller than the specification's."""
    setup_seconds: Seconds
    """Of the first attempt: what one setup costs."""
    resumed_at_steps: tuple[Count, ...]
    history: tuple[dict[str, JsonValue], ...]
    trainer: TrainerState


@dataclass(frozen=True)
class Kept:
    """A checkpoint that this run can go on from."""

    path: Path
    past: Past

    def tensors(self) -> Tensors:
        """Its tensors, read from the file."""
        tensors: Tensors = load_file(self.path)
        del tensors[_PAST]
        return tensors


@dataclass(frozen=True)
class Checkpoints:
    """The checkpoint of a run. Only the holder of the run's lock may use it."""

    run_folder: Path
    identity: Identity

    @property
    def folder(self) -> Path:
        """Where it lies."""
        return self.run_folder / CHECKPOINT_FOLDER

    def latest(self) -> Kept | None:
        """The furthest one that is whole and this run's own. What is left of unfinished ones goes.

        There are two where a process was killed before it deleted the older one. Their times say
        nothing: a clock may go backwards. One whose bytes are not those of its name goes into
        quarantine; the log names both hashes.
        """
        for unfinished in self.folder.glob(".*"):
            unfinished.unlink()
        whole = filter(self._is_whole, sorted(self.folder.glob(f"[!.]*{_SUFFIX}")))
        found = [kept for path in whole if (kept := self._read(path))]
        return max(found, key=lambda kept: len(kept.past.history), default=None)

    def save(self, tensors: Tensors, past: Past) -> None:
        """Write a checkpoint, then delete the older one. Raises OSError where the disk does."""
        text = torch.frombuffer(bytearray(past.model_dump_json().encode()), dtype=torch.uint8)
        facts = {_IDENTITY: self.identity.model_dump_json()}
        written = write_by_hash(
            self.folder, _SUFFIX, lambda path: write_tensors(tensors | {_PAST: text}, path, facts)
        )
        for other in self.folder.iterdir():
            if other != written:
                other.unlink()

    def delete(self) -> None:
        """Remove what there is; what cannot be removed harms no later run."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _read(self, path: Path) -> Kept | None:
        """A whole checkpoint, or None for another run's."""
        with safe_open(path, framework="pt") as file:
            if not self._is_own(path, json.loads(file.metadata()[_IDENTITY])):
                return None
            text = file.get_tensor(_PAST).numpy().tobytes()
        return Kept(path, Past.model_validate_json(text))

    def _is_whole(self, path: Path) -> bool:
        found = file_sha256(path)
        if found == path.stem:
            return True
        moved = quarantine(path, self.run_folder).parent.name
        _LOGGER.warning("%s: sha256 %s, named %s; moved to %s", path, found, path.stem, moved)
        return False

    def _is_own(self, path: Path, other: dict[str, Any]) -> bool:
        """Compares plain values: another version's identity may have other keys."""
        own = self.identity.model_dump(mode="json")
        differs = [
            f"{key}: {_shown(other.get(key))}, here {_shown(own.get(key))}"
            for key in own | other
            if other.get(key) != own.get(key)
        ]
        if differs:
            _LOGGER.warning("%s: not gone on from, it has another %s", path, "; ".join(differs))
        return not differs


def _shown(value: Any) -> str:
    """A value in a line of the log; of many packages the whole list is too long for one."""
    if isinstance(value, dict):
        return " ".join(f"{name} {version}" for name, version in value.items())
    return str(value)
