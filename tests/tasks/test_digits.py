import gzip
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from tasks.digits import Digits

small = partial(Digits, train=20, validation=10, test=10)


def stacked(splits: dict[Any, pd.DataFrame]) -> NDArray[Any]:
    return np.stack(list(pd.concat(splits.values()).sort_values("id")["pixels"]))


def ids(splits: dict[Any, pd.DataFrame]) -> set[str]:
    return {name for rows in splits.values() for name in rows["id"]}


def images(splits: dict[Any, pd.DataFrame]) -> set[bytes]:
    return {np.asarray(p).tobytes() for rows in splits.values() for p in rows["pixels"]}


def test_pixels_are_the_files_and_the_label_is_the_last_column(tmp_path: Path) -> None:
    lines = [
        ",".join([*(str((row + at) % 256) for at in range(784)), str(row)]) for row in range(10)
    ]
    (tmp_path / "mnist_5k.csv.gz").write_bytes(gzip.compress("\n".join(lines).encode()))
    splits = Digits(train=6, validation=2, test=2).read(tmp_path)
    rows = pd.concat(splits.values()).sort_values("id")
    assert list(rows["label"]) == list(range(10))
    np.testing.assert_allclose(
        np.stack(list(rows["pixels"])),
        [[(row + at) % 256 / 255 for at in range(784)] for row in range(10)],
        rtol=1e-6,
    )
    assert rows["pixels"].iloc[0].dtype == np.float32
    assert Digits.input_size == 784


def test_a_file_of_another_shape_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mnist_5k.csv.gz").write_bytes(gzip.compress(b"1,2,3\n"))
    with pytest.raises(ValueError, match="3 columns, expected 785"):
        Digits().read(tmp_path)


@pytest.mark.parametrize("seed", [0, 7])
def test_source_and_target_share_no_image(mnist: Path, seed: int) -> None:
    source = Digits(
        part="source", source_size=3000, train=2000, validation=500, test=500, split_seed=seed
    ).read(mnist)
    target = Digits(
        part="target", source_size=3000, train=1000, validation=500, test=500, split_seed=seed
    ).read(mnist)
    assert len(ids(source)) == 3000
    assert len(ids(target)) == 2000
    assert not ids(source) & ids(target)
    assert not images(source) & images(target)


def test_parts_stay_disjoint_with_other_options(mnist: Path) -> None:
    source = Digits(part="source", source_size=2500).read(mnist)
    target = small(
        part="target", source_size=2500, classes=(3, 8), rotation=90, inverted=True
    ).read(mnist)
    assert not ids(source) & ids(target)


def test_every_split_is_balanced_over_the_digits(mnist: Path) -> None:
    for part, size in (("all", None), ("source", 2500), ("target", 2500)):
        splits = Digits(part=part, source_size=size).read(mnist)  # type: ignore[arg-type]
        for rows in splits.values():
            counts = rows["label"].value_counts()
            assert len(counts) == 10
            assert counts.max() - counts.min() <= 1


def test_turns_and_inversion_move_values_only(mnist: Path) -> None:
    upright = stacked(small().read(mnist)).reshape(-1, 28, 28)
    turned = stacked(small(rotation=90).read(mnist)).reshape(-1, 28, 28)
    inverted = stacked(small(inverted=True).read(mnist)).reshape(-1, 28, 28)
    # Counter-clockwise: the columns, from the right one to the left one, are the rows.
    np.testing.assert_array_equal(turned, upright.transpose(0, 2, 1)[:, ::-1, :])
    np.testing.assert_array_equal(inverted, 1 - upright)
    assert upright.min() == 0
    assert upright.max() == 1


def test_classes_are_numbered_in_their_order(mnist: Path) -> None:
    task = small(classes=(8, 3))
    chosen = pd.concat(task.read(mnist).values()).set_index("id")["label"]
    full = pd.concat(Digits(train=3500).read(mnist).values()).set_index("id")["label"]
    assert task.labels == ("8", "3")
    assert chosen.map({0: 8, 1: 3}).equals(full.loc[chosen.index])


@pytest.mark.parametrize(
    ("task", "message"),
    [
        (Digits(train=4000), "train: 4000 examples asked for, 3500 available of 5000"),
        (Digits(part="source", source_size=5001), "source_size: 5001 images asked for, 5000"),
        (Digits(part="target", source_size=4500), "test: 1000 examples asked for, 500 available"),
    ],
)
def test_too_few_images_name_the_option(mnist: Path, task: Digits, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        task.read(mnist)
