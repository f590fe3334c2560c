"""What the rule that makes a base model asks for. Loads no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from finegrid.models.anatomies import Anatomies
from finegrid.models.anatomy import Anatomy
from finegrid.models.blueprint import Purpose
from finegrid.planning.estimate import FETCHING_MINUTES, making_megabytes, training_minutes
from finegrid.records.identity import canonical_json
from finegrid.records.specification import Model, Specification, model_key
from finegrid.training.processes.devices import PARTS
from tasks.registry import kind_of
from workflow import digests
from workflow.planned import Planned
from workflow.sizes import Sizes


class BaseModels:
    """The base models of a plan by their keys."""

    def __init__(self, specs: Sequence[Specification], anatomies: Anatomies, sizes: Sizes) -> None:
        """Those of one run of each cell."""
        by_name = {spec.model.name: spec.model for spec in specs}
        self.keys: Mapping[str, str] = {name: model_key(model) for name, model in by_name.items()}
        """Name -> key: hashed once, for thousands of runs have few models."""
        self.models: Mapping[str, Model] = Planned(
            {self.keys[name]: model for name, model in by_name.items()}
        )
        self._purposes = self._taken_for(specs)
        self._anatomies, self._sizes = anatomies, sizes

    def json(self, key: str) -> str:
        """A model's record."""
        return canonical_json(self.models[key])

    def digest(self, key: str) -> str:
        """The digest of the source that decides the model's weights."""
        return digests.of_model(self.models[key])

    def threads(self, key: str) -> int:
        """The threads that its pretraining asks for."""
        pretraining = self.models[key].pretraining
        return pretraining.training.threads if pretraining else 1

    def gpus(self, key: str) -> int:
        """The GPUs that its pretraining asks for."""
        pretraining = self.models[key].pretraining
        return int(pretraining is not None and pretraining.training.device == "cuda")

    def gpu_parts(self, key: str) -> int:
        """All parts of these GPUs."""
        return PARTS * self.gpus(key)

    @property
    def most_gpus(self) -> int:
        """The most that a pretraining asks for."""
        return max(map(self.gpus, self.models), default=0)

    def memory(self, key: str, attempt: int) -> int:
        """The megabytes of memory that it takes to make."""
        return attempt * making_megabytes(self.models[key], self._anatomy(key))

    def minutes(self, key: str, attempt: int) -> int:
        """The minutes that it takes to make.

        Raises FileNotFoundError for the manifest of its pretraining's task, which Snakemake takes
        for: not yet known.
        """
        model = self.models[key]
        if (pretraining := model.pretraining) is None:
            return attempt * FETCHING_MINUTES
        data, training = self._sizes.of(pretraining.task.key), pretraining.training
        minutes = training_minutes(model, self._anatomy(key), training, trains_base=True, data=data)
        return attempt * minutes

    def loaders(self, key: str) -> list[str]:
        """The auto classes by which runs load the model, for the job that holds it against them."""
        return [purpose.loader for purpose in self._purposes[key] if purpose.loader is not None]

    def _taken_for(self, specs: Sequence[Specification]) -> dict[str, list[Purpose]]:
        """Key of a model -> what its tasks take it for."""
        found: dict[str, dict[Purpose, None]] = {key: {} for key in self.models}
        for spec in specs:
            found[self.keys[spec.model.name]][kind_of(spec.task).purpose] = None
        return {key: sorted(purposes, key=str) for key, purposes in found.items()}

    def _anatomy(self, key: str) -> Anatomy:
        """The anatomy of a model for the first of its kinds."""
        return self._anatomies.of(self.models[key], self._purposes[key][0])
