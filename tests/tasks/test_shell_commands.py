from itertools import pairwise
from pathlib import Path

import pandas as pd
import pytest

from finegrid.prepare.sources import fetch
from finegrid.prepare.task import prepare_task
from finegrid.records.prepared import PreparedTask
from finegrid.records.specification import Source, Task
from kinds.registry import kind_named
from tasks.shell_commands import ShellCommands

EG = Source(
    uri="sdist:eg==1.2.3/eg/examples/",
    sha256={"eg-1.2.3.tar.gz": "31f221b24701a9fc4b034d9593f081859d943b14bf26b2e98190509b64e2622b"},
)
TITLE = "# tr\n\ntranslate a\nto b:\n\n    tr a b\n\n"


def pages(folder: Path, **texts: str) -> Path:
    """Pages of eg, and further ones of one example each, so that every split has some."""
    known = {f"p{at}": f"do {at}\n\n    p{at} -x\n" for at in range(20)} | texts
    for name, text in known.items():
        (folder / f"{name}.md").write_text(text)
    return folder


def rows_of(task: ShellCommands, folder: Path, program: str) -> list[tuple[str, str]]:
    rows = pd.concat(task.read(folder).values())
    found = rows[rows["id"].str.startswith(f"{program}-")]
    return list(zip(found["prompt"], found["target"], strict=True))


def test_a_paragraph_describes_the_line_below_it(tmp_path: Path) -> None:
    session = "and c to d\n\n    $ tr c d\n    output\n\n"
    found = rows_of(ShellCommands(), pages(tmp_path, tr=TITLE + session), "tr")
    assert found == [
        ("Write one shell command with tr: translate a to b", "tr a b"),
        ("Write one shell command with tr: and c to d", "tr c d"),
    ]


def test_what_is_no_example_is_counted_by_its_reason(tmp_path: Path) -> None:
    text = (
        "# title\n\n    code below a title\n\n"
        "two lines\n\n    tr a b\n    tr c d\n\n"
        "two in a session\n\n    $ tr a b\n    $ tr c d\n\n"
        f"{'long ' * 50}\n\n    tr e f\n\n"
        f"{TITLE}{TITLE}"
    )
    folder = pages(tmp_path, tr=text)
    task = ShellCommands()
    assert len(rows_of(task, folder, "tr")) == 1
    assert task.dropped(folder) == {
        "code without a description": 1,
        "several lines of code": 2,
        "descriptions of more than 200 characters": 1,
        "duplicates": 1,
    }


@pytest.mark.parametrize("call", ["cat x | {}", "sudo {} x", "cd x && {}", "echo $({} x)", "{}"])
def test_no_command_of_training_calls_a_program_of_the_test_split(
    tmp_path: Path, call: str
) -> None:
    tested = ShellCommands().read(pages(tmp_path))["test"]["id"][0].rpartition("-")[0]
    trained = ShellCommands().read(tmp_path)["train"]["id"][0].rpartition("-")[0]
    line = call.format(tested)
    (tmp_path / f"{trained}.md").write_text(f"call it\n\n    {line}\n\nname it\n\n    x {tested}\n")
    splits, dropped = ShellCommands().read(tmp_path), ShellCommands().dropped(tmp_path)
    assert line not in set(splits["train"]["target"])
    assert f"x {tested}" in set(splits["train"]["target"])
    assert dropped == {"train: commands that call a program of a later split": 1}


def test_pages_without_examples_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("# nothing\n")
    with pytest.raises(ValueError, match="1 pages hold no example"):
        ShellCommands().read(tmp_path)


def test_what_is_said_of_prompts_and_writing_reaches_the_kind() -> None:
    task = ShellCommands(template="Q: {prompt}\nA: ", max_new_tokens=7)
    kind = kind_named(task.kind, task.kind_options)
    assert kind.inputs.encoding.template == "Q: {prompt}\nA: "  # type: ignore[attr-defined]
    assert kind.output.decoding.max_new_tokens == 7  # type: ignore[attr-defined]
    assert kind.output.decoding.temperature is None  # type: ignore[attr-defined]


# The real pages


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pages of eg."""
    folder = tmp_path_factory.mktemp("eg")
    fetch(EG, folder, cache=tmp_path_factory.mktemp("downloads"))
    return folder


def test_every_block_of_code_is_an_example_or_is_counted(real: Path, tmp_path: Path) -> None:
    blocks = 0
    for page in real.glob("*.md"):
        lines = ["", *page.read_text().splitlines()]
        blocks += sum(
            one.startswith("    ") and not before.strip() for before, one in pairwise(lines)
        )
    task = Task(name="eg", task="shell-commands", source=Source(uri=f"path:{real}"))
    manifest = prepare_task(task, tmp_path / "eg")
    kept = sum(split.n for split in manifest.splits.values())
    assert kept + sum(manifest.dropped.values()) == blocks
    assert PreparedTask.model_validate_json((tmp_path / "eg/manifest.json").read_text()) == manifest
    assert [one.exact for one in manifest.overlaps] == [0, 0, 0]


def test_no_program_is_in_two_splits(real: Path) -> None:
    splits = ShellCommands().read(real)
    programs = [set(rows["id"].str.rpartition("-")[0]) for rows in splits.values()]
    assert sum(map(len, programs)) == len(set.union(*programs))
    assert {name: len(rows) > 80 for name, rows in splits.items()} == dict.fromkeys(splits, True)
