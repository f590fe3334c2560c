from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest

from finegrid.prepare.task import prepare_task
from finegrid.records.prepared import SPLITS
from finegrid.records.specification import Source, Task
from kinds.outputs.texts import Decoding
from kinds.registry import kind_named
from tasks.e2e import E2E

VAULTS = "name[The Vaults], eatType[pub], priceRange[more than £30], familyFriendly[no]"
AROMI = "name[Aromi], customer rating[5 out of 5], near[Café Adriatic]"
ROWS = [(VAULTS, "Dear."), (AROMI, "Aromi is good."), (VAULTS, " The Vaults is dear.")]


def write(folder: Path, rows: list[tuple[str, str]]) -> None:
    for name in SPLITS:
        path = folder / "default" / name / "0000.parquet"
        path.parent.mkdir(parents=True)
        columns = ["meaning_representation", "human_reference"]
        pd.DataFrame(rows, columns=columns).to_parquet(path)


def test_of_test_a_row_has_all_descriptions_of_its_slots(tmp_path: Path) -> None:
    write(tmp_path, ROWS)
    splits = E2E().read(tmp_path)
    assert [len(splits[name]) for name in SPLITS] == [3, 3, 2]
    assert splits["test"].to_dict("list") == {
        "id": ["test-0", "test-1"],
        "prompt": [
            "name : The Vaults | Type : pub | price : more than £30 | family friendly : no",
            "name : Aromi | customer rating : 5 out of 5 | near : Café Adriatic",
        ],
        "target": [[" Dear.", " The Vaults is dear."], [" Aromi is good."]],
    }
    assert list(splits["train"]["target"]) == [
        [" Dear."],
        [" Aromi is good."],
        [" The Vaults is dear."],
    ]


@pytest.mark.parametrize("slots", ["The Vaults", "name[Aromi], pub", "name[Aromi", ""])
def test_what_is_no_list_of_slots_is_named(tmp_path: Path, slots: str) -> None:
    write(tmp_path, [*ROWS, (slots, "Text.")])
    with pytest.raises(ValueError, match="is no list of slots; allowed: name"):
        E2E().read(tmp_path)


def test_a_prepared_task_keeps_the_lists(tmp_path: Path) -> None:
    write(tmp_path / "rows", ROWS)
    options: dict[str, Any] = {"decoding": Decoding(num_beams=10).model_dump(mode="json")}
    source = Source(uri=f"path:{tmp_path / 'rows'}")
    prepared = prepare_task(
        Task(name="e", task="e2e", source=source, options=options), tmp_path / "prepared"
    )
    output = kind_named(prepared.kind, prepared.kind_options).output
    assert prepared.splits["test"].n == 2
    found = pq.read_table(tmp_path / "prepared" / "test.parquet")["target"].to_pylist()
    assert found[0] == [" Dear.", " The Vaults is dear."]
    assert output.decoding.num_beams == 10  # type: ignore[attr-defined]
