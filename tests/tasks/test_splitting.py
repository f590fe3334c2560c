import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from finegrid.records.prepared import SplitName
from kinds.inputs.words import normalised
from tasks.splitting import (
    carve,
    divided,
    grouped,
    interleaved,
    order_key,
    proportional,
    shuffled,
)


def numbered(groups: list[int]) -> pd.DataFrame:
    return pd.DataFrame(
        {"id": [str(row) for row in range(len(groups))], "group": [str(g) for g in groups]}
    )


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("Yay. Another good interview.", "YAY!!  Another\tgood interview"),
        ("it 's fine", "It's fine"),
        ("STRASSE", "straße"),
        ("snake_case", "snake case"),
    ],
)
def test_texts_that_read_the_same_are_equal(first: str, second: str) -> None:
    assert normalised(first) == normalised(second)


def test_texts_with_other_words_differ() -> None:
    assert normalised("10 good men") == "10 good men" != normalised("11 good men")


def test_the_order_is_pinned() -> None:
    assert order_key("a", 0).startswith("9df3c5fab8ef8fe7")
    assert list(shuffled(numbered(list(range(8))), 0)["id"]) == [
        "7",
        "4",
        "3",
        "2",
        "6",
        "0",
        "5",
        "1",
    ]


def first_short(groups: list[str], asked: dict[SplitName, int | None]) -> SplitName | None:
    """The first split for which too few rows are left, counted along the rows one by one."""
    at = 0
    for name, size in asked.items():
        end = len(groups) if size is None else at + size
        if end > len(groups) or end == at:
            return name
        while end < len(groups) and groups[end] == groups[end - 1]:
            end += 1
        at = end
    return None


@settings(max_examples=40, deadline=None)
@given(
    groups=st.lists(st.integers(0, 12), min_size=1, max_size=40),
    sizes=st.tuples(st.integers(1, 8), st.integers(1, 8), st.integers(1, 8) | st.none()),
    seed=st.integers(0, 3),
)
def test_splits_have_their_size_and_share_no_group(
    groups: list[int], sizes: tuple[int, int, int | None], seed: int
) -> None:
    asked: dict[SplitName, int | None] = dict(
        zip(("test", "validation", "train"), sizes, strict=True)
    )
    frame = shuffled(numbered(groups), seed, "group")
    if short := first_short(list(frame["group"]), asked):
        with pytest.raises(ValueError, match=f"^{short}: .+ examples asked for"):
            carve(frame, asked, "group")
        return
    splits = carve(frame, asked, "group")
    for name, size in asked.items():
        assert len(splits[name]) == size or size is None
    seen = [set(rows["group"]) for rows in splits.values()]
    assert len(set.union(*seen)) == sum(map(len, seen))


def test_a_shortage_names_split_size_and_what_is_there() -> None:
    with pytest.raises(ValueError, match="train: 5 examples asked for, 4 available of 10 after te"):
        carve(numbered(list(range(10))), {"test": 6, "train": 5})
    with pytest.raises(ValueError, match="train: 1 examples asked for, 0 available of 3"):
        carve(numbered([1, 2, 3]), {"test": 3, "train": None})


def test_the_test_split_does_not_depend_on_the_other_sizes() -> None:
    frame = shuffled(numbered(list(range(50))), 1)
    small = carve(frame, {"test": 10, "validation": 5, "train": 5})
    large = carve(frame, {"test": 10, "validation": 5, "train": 30})
    assert list(small["test"]["id"]) == list(large["test"]["id"])
    assert list(small["train"]["id"]) == list(large["train"]["id"])[:5]


def test_shuffling_keeps_groups_together_and_depends_on_the_seed() -> None:
    frame = numbered([0, 1, 2, 3, 4, 5] * 3)
    orders = {tuple(shuffled(frame, seed, "group")["group"]) for seed in range(5)}
    assert len(orders) == 5
    for order in orders:
        assert all(len(set(order[at : at + 3])) == 1 for at in range(0, 18, 3))


def test_every_prefix_of_an_interleaved_frame_is_balanced() -> None:
    frame = interleaved(shuffled(numbered([0, 1, 2] * 20), 0), "group")
    for size in range(3, 61):
        counts = frame["group"].iloc[:size].value_counts()
        assert counts.max() - counts.min() <= 1


@given(st.lists(st.sampled_from("aab"), min_size=1, max_size=40), st.integers(0, 3))
@settings(max_examples=50)
def test_every_beginning_has_the_labels_in_proportion(labels: list[str], seed: int) -> None:
    order = proportional(labels, seed)
    assert sorted(order) == list(range(len(labels)))
    share = labels.count("a") / len(labels)
    for end in range(1, len(order) + 1):
        found = sum(labels[row] == "a" for row in order[:end])
        assert abs(found - share * end) <= 1


@given(st.lists(st.sampled_from(["a", "b", "ß", ""]), min_size=1, max_size=60), st.integers(0, 3))
@settings(max_examples=50)
def test_orders_are_those_of_their_definitions(values: list[str], seed: int) -> None:
    rows = range(len(values))
    assert grouped(values, seed) == sorted(
        rows, key=lambda row: (order_key(values[row], seed), row)
    )
    strata: dict[str, list[int]] = {}
    for row in sorted(rows, key=lambda row: order_key(str(row), seed)):
        strata.setdefault(values[row], []).append(row)
    places = {
        row: ((rank + 0.5) / len(stratum), order_key(label, seed), row)
        for label, stratum in strata.items()
        for rank, row in enumerate(stratum)
    }
    assert proportional(values, seed) == sorted(rows, key=places.__getitem__)


@given(
    st.lists(st.sampled_from("abcdefgh"), min_size=8, max_size=40),
    st.integers(0, 3),
    st.sampled_from([{"test": 0.2}, {"test": 0.3, "validation": 0.2}]),
)
@settings(max_examples=50)
def test_a_group_is_never_divided(
    groups: list[str], seed: int, shares: dict[SplitName, float]
) -> None:
    order = grouped(groups, seed)
    assert sorted(order) == list(range(len(groups)))
    try:
        parts = divided(order, shares, groups)
    except ValueError:  # large groups may leave a split without rows
        assume(False)
    assert len({(group, part) for group, part in zip(groups, parts, strict=True)}) == len(
        set(groups)
    )
    for name, share in shares.items():
        assert parts.count(name) >= round(share * len(groups))


def test_a_split_without_rows_is_named() -> None:
    assert divided([1, 0, 2, 3], {"test": 0.25}) == ["train", "test", "train", "train"]
    with pytest.raises(ValueError, match=r"validation: a share of 0\.1 of 4 rows is none"):
        divided([0, 1, 2, 3], {"validation": 0.1})
    with pytest.raises(ValueError, match="nothing is left to train on of 4 rows"):
        divided([0, 1, 2, 3], {"test": 0.5, "validation": 0.5})
