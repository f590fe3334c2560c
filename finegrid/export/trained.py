"""The model of a run as its training left it, made again of the base and the stored delta."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from safetensors.torch import load_file
from torch import nn

from finegrid.models.quantised import dequantise
from finegrid.models.seeds import generator
from finegrid.records.base import Record
from finegrid.records.damage import CorruptedFileError, read_manifest
from finegrid.records.prepared import PreparedModel, PreparedTask
from finegrid.records.result import DELTA_FILE, Result
from finegrid.records.training import is_quantised
from finegrid.records.tuning import effective
from finegrid.records.weights import WeightsError
from finegrid.training.experiment import Run, load_base
from kinds.contract import Batch, Kind
from kinds.registry import kind_named
from methods.contract import Method
from methods.registry import METHODS

R = TypeVar("R", bound=Record)
_EXAMPLES = 8
"""On which an exported model is held against the run's own."""


class ExportError(Exception):
    """A run that cannot be exported, or not in that format: one line with what is allowed."""


@dataclass(frozen=True)
class TrainedRun:
    """A finished run with its folder, and the folder of what was prepared for it."""

    result: Result
    folder: Path
    prepared: Path

    @classmethod
    def checked(cls, result: Result, folder: Path, prepared: Path) -> TrainedRun:
        """The run. Raises ExportError where it has no trained weights, or damaged ones."""
        if DELTA_FILE not in result.files:
            raise ExportError(f"{result.run}: it ended {result.state} and stored no weights")
        if damage := result.damaged_files(folder, [DELTA_FILE]):
            raise ExportError(f"{result.run}: {damage[0]}")
        return cls(result, folder, prepared)

    @cached_property
    def run(self) -> Run:
        """The run with its tuned values in their places, on the CPU."""
        spec = effective(self.result)
        return Run(spec, self.prepared, self.folder, mirror=lambda event: None)

    @cached_property
    def task(self) -> PreparedTask:
        """The prepared task. Raises ExportError where it is not there."""
        return self._manifest(PreparedTask, self.run.task_folder)

    @cached_property
    def prepared_model(self) -> PreparedModel:
        """The prepared base. Raises ExportError where it is not there."""
        return self._manifest(PreparedModel, self.run.model_folder)

    @property
    def kind(self) -> Kind:
        """The kind of the task."""
        return kind_named(self.task.kind, self.task.kind_options)

    @property
    def method(self) -> Method:
        """The method with the run's settings."""
        variant = self.run.spec.variant
        return METHODS.build(variant.method, variant.settings)

    def base(self, *, plain: bool = False) -> nn.Module:
        """The base model with the head that the run drew, as before the method.

        With `plain`, its numbers are in fp32 however the run held them: those that were quantised
        are de-quantised, those of a half type are as they were rounded to it.
        """
        model = self._loaded(self.run)
        if not plain:
            return model
        dequantise(model)
        if not self.is_half:
            return model
        training = self.run.spec.training.model_copy(update={"weights": "fp32"})
        spec = self.run.spec.model_copy(update={"training": training})
        whole = self._loaded(replace(self.run, spec=spec))
        whole.load_state_dict(model.state_dict())
        return whole

    @property
    def is_half(self) -> bool:
        """Whether the run held the base in a half type, which computes with autocast alone."""
        weights = self.run.spec.training.weights
        return weights != "fp32" and not is_quantised(weights)

    def model(self, *, plain: bool = False) -> nn.Module:
        """The model as it was scored on test. Raises ExportError where the delta does not fit."""
        model, method = self.base(plain=plain), self.method
        method.apply(model, generator(self.run.spec.seed, "method"))
        method.finish(model)
        delta = load_file(self.folder / DELTA_FILE)
        try:
            odd = model.load_state_dict(delta, strict=False).unexpected_keys
        except RuntimeError as error:
            raise ExportError(f"{DELTA_FILE}: {str(error).splitlines()[-1].strip()}") from error
        if odd:
            raise ExportError(f"{DELTA_FILE}: the model has no {odd[0]}")
        return model.eval()

    def examples(self) -> Batch:
        """The first examples of validation. Raises ExportError where they are not there."""
        try:
            found = self.run.read(self.task, "validation")["validation"]
        except (CorruptedFileError, OSError) as error:
            raise ExportError(f"{self.result.run}: {error}") from error
        return found.batch(range(min(_EXAMPLES, len(found))))

    def _loaded(self, run: Run) -> nn.Module:
        try:
            return load_base(run, self.prepared_model, self.task)
        except (CorruptedFileError, WeightsError, OSError, ImportError) as error:
            raise ExportError(f"{self.result.run}: {error}") from error

    def _manifest(self, kind: type[R], folder: Path) -> R:
        try:
            return read_manifest(kind, folder)
        except (CorruptedFileError, OSError) as error:
            raise ExportError(f"{self.result.run}: it needs what was prepared: {error}") from error
