"""Records that are gone, copied, of another version or damaged: all are listed at once.

What an edit of the source makes stale is in tests/workflow/forecast/test_status.py and, for
Snakemake, in tests/workflow/test_snakemake.py.
"""

import copy
import json
import shutil
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from analysis.collect import collect
from analysis.errors import AnalysisError
from finegrid.cli.main import app
from finegrid.records.identity import content_hash
from finegrid.records.result import RESULT_FILE
from tests.small import SMALL
from tests.workflow.forecast.place import Place
from workflow.forecast.status import Status
from workflow.pipeline import Pipeline


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A benchmark of four runs."""
    content = copy.deepcopy(SMALL)
    content["grids"] = content["grids"][:1]
    file = tmp_path / "small.yaml"
    file.write_text(yaml.safe_dump(content))
    return Place(tmp_path, file)


@pytest.fixture
def pipeline(place: Place) -> Pipeline:
    """All four are done."""
    return place.finish(place.pipeline())


def files(place: Place, pipeline: Pipeline) -> list[Path]:
    return [place.results / "runs" / run / RESULT_FILE for run in pipeline.runs]


def make_another_version(path: Path) -> None:
    """As a later version of finegrid might write it."""
    content = json.loads(path.read_text()) | {"schema_version": 3, "more": 1}
    del content["record_sha256"]
    path.write_text(json.dumps(content | {"record_sha256": content_hash(content)}))


def said_of(problems: str, path: Path) -> str:
    """The one line about a file."""
    (line,) = [line for line in problems.splitlines() if line.startswith(f"{path}: ")]
    return line.removeprefix(f"{path}: ")


def test_each_is_named_with_what_is_wrong(place: Place, pipeline: Pipeline) -> None:
    gone, copied, original, other = files(place, pipeline)
    gone.unlink()
    shutil.copy(original, copied)
    make_another_version(other)
    with pytest.raises(AnalysisError) as aggregated:
        collect(pipeline.plan, place.results / "runs")
    with pytest.raises(AnalysisError) as planned:
        _ = Status(pipeline).reasons
    assert aggregated.value.damaged == planned.value.damaged == ()
    for caught in (aggregated, planned):
        assert (
            said_of(str(caught.value), other) == "schema_version: Input should be 1 or 2, found 3"
        )
        assert len(str(caught.value).splitlines()) == 2
    run, source = copied.parent.name, original.parent.name
    assert said_of(str(aggregated.value), copied) == (
        f"its specification is not the plan's for run {run}"
    )
    assert said_of(str(planned.value), copied) == f"it is a copy of the record of {source}"
    for path in (copied, other):
        path.unlink()
    table = collect(pipeline.plan, place.results / "runs").set_index("run")
    absent = [path.parent.name for path in (gone, copied, other)]
    assert set(table.loc[absent, "state"]) == {"missing"}
    assert set(table.loc[absent, "reason"]) == {"no result.json"}
    assert table.loc[source, "state"] == "ok"
    assert Status(pipeline).reasons == dict.fromkeys(absent, "new") | {source: None}


def test_the_commands_say_the_same(place: Place, pipeline: Pipeline) -> None:
    for path in files(place, pipeline)[:2]:
        make_another_version(path)
    command = ["plan", str(place.file), "--results", str(place.results), "--no-trace"]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 1
    assert done.stderr.count("schema_version: Input should be 1 or 2, found 3\n") == 2


def test_a_copy_of_a_whole_folder_is_named(place: Place, pipeline: Pipeline) -> None:
    folder = files(place, pipeline)[0].parent
    beside = shutil.copytree(folder, folder.with_name("kept"))
    with pytest.raises(AnalysisError) as caught:
        _ = Status(pipeline).reasons
    assert said_of(str(caught.value), beside / RESULT_FILE) == (
        f"it is a copy of the record of {folder.name}"
    )
    assert set(collect(pipeline.plan, place.results / "runs")["state"]) == {"ok"}
