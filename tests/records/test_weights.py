"""The headers of files of weights, and names that change in them."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from finegrid.records.weights import WEIGHTS_FILE, WeightsError, rename_weights, stored_shapes
from tests.prepare.checkpoints import write_shards


def test_weights_get_other_names_and_keep_their_numbers(tmp_path: Path) -> None:
    state = {f"m.{name}": np.arange(n, dtype="float32") for n, name in enumerate("abcde", 1)}
    write_shards(tmp_path, state)
    files = {path.name: path for path in tmp_path.iterdir()}
    rename_weights(files, {name: name.removeprefix("m.") for name in state})
    assert stored_shapes(files) == {name: (n,) for n, name in enumerate("abcde", 1)}
    shards = [load_file(path) for name, path in files.items() if name.startswith("model-")]
    found = {name: values for shard in shards for name, values in shard.items()}
    assert all(np.array_equal(found[name], state[f"m.{name}"]) for name in "abcde")


def test_a_header_that_is_too_long_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / WEIGHTS_FILE
    path.write_bytes((200_000_000).to_bytes(8, "little"))
    with pytest.raises(WeightsError, match="its header has 200000000 bytes"):
        stored_shapes({WEIGHTS_FILE: path})
