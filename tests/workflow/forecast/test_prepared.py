"""What is read of a prepared model is what a run that loads it records."""

from pathlib import Path

import pytest

from finegrid.models.loading import base_sha256, load_model
from finegrid.prepare.model import prepare_model
from finegrid.records.prepared import MANIFEST_FILE, PreparedTask
from finegrid.records.specification import Network
from tests.workflow.forecast.place import Place
from workflow.forecast.prepared import model_sha256


@pytest.mark.parametrize("layers", [(784, 16, 8, 10), (784, 10), (784, *[2] * 12, 10)])
def test_the_hash_is_that_of_the_network_when_it_is_loaded(
    place: Place, tmp_path: Path, layers: tuple[int, ...]
) -> None:
    """Also of twelve layers, whose names are not in the order of their numbers."""
    pipeline, folder = place.pipeline(), tmp_path / "model"
    place.prepare(pipeline)
    task = PreparedTask.read(Path(pipeline.run_task(next(iter(pipeline.runs)))))
    network = Network(kind="network", name="network", layers=layers, seed=3)
    prepared = prepare_model(network, folder, tmp_path, tmp_path)
    loaded = load_model(folder, prepared, task, None, {}, seed=0, dropout=None)
    assert model_sha256(folder / MANIFEST_FILE) == base_sha256(loaded)
