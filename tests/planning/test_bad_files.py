"""Names, files and whole configurations that are refused, in Python and by Snakemake."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import JsonValue

from finegrid.models.anatomies import FOLDER, Anatomies
from finegrid.planning.benchmark import (
    benchmark_from_config,
    load_yaml,
    parse_benchmark,
    read_benchmark,
)
from finegrid.planning.plan import _label, make_plan
from finegrid.planning.schema import TABLE_ENDINGS
from finegrid.problems import ConfigurationError
from workflow.pipeline import Pipeline

Problems = Callable[[Any], list[str]]
UNSAFE = ["../x", "a b", "A", "$(touch x)", "x{", "", ".hidden", "ü", "a\n", "a" * 122]


@pytest.mark.parametrize("name", UNSAFE)
@pytest.mark.parametrize("kind", ["tasks", "models", "variants"])
def test_a_name_that_is_no_safe_path_is_refused(
    small: dict[str, Any], problems: Problems, kind: str, name: str
) -> None:
    holder = small["grids"][0] if kind == "variants" else small
    holder[kind][name] = next(iter(holder[kind].values()))
    found = [line for line in problems(small) if "a letter or digit first" in line]
    place = "grids[0].variants" if kind == "variants" else kind
    assert len(found) == 1, problems(small)
    assert found[0].startswith(f"{place}.")
    assert found[0].isprintable()


@pytest.mark.parametrize("name", UNSAFE)
def test_a_benchmark_s_name_is_a_safe_path(
    small: dict[str, Any], problems: Problems, name: str
) -> None:
    assert problems(small | {"name": name})[0].startswith("name: ")


@pytest.mark.parametrize("ending", TABLE_ENDINGS)
def test_a_benchmark_is_not_named_as_the_table_of_another(
    small: dict[str, Any], problems: Problems, ending: str
) -> None:
    (problem,) = problems(small | {"name": f"other-{ending}"})
    assert problem.startswith("name: ")
    assert f"'other-{ending}'" in problem
    assert "-across-tasks, -claims, -pairs" in problem


def test_every_further_table_has_a_known_ending() -> None:
    pipeline = Pipeline.plan_from({"benchmark": "article", "results": "r"})
    tables = {Path(path).stem for path in pipeline.outputs.all if "/tables/" in path}
    further = tables - {"article", "claims"}
    endings = {name.removeprefix("article-") for name in further}
    assert endings | {"claims"} == set(TABLE_ENDINGS)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("name: &a [*a]", "found unconstructable recursive node"),
        ("tasks: &a {b: *a}", "found unconstructable recursive node"),
        ("[" * 5000, "nested too deep"),
    ],
)
def test_a_file_that_holds_itself_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    file = tmp_path / "loop.yaml"
    file.write_text(text)
    with pytest.raises(ConfigurationError, match=reason):
        read_benchmark(str(file))


def test_a_configuration_that_holds_itself_is_refused() -> None:
    content: dict[str, Any] = {"seeds": []}
    content["tasks"] = content
    with pytest.raises(ConfigurationError, match="holds itself by an anchor"):
        parse_benchmark(content)


@pytest.mark.parametrize("value", ["a\n", "../x", "{x}"])
def test_a_value_of_a_grid_cannot_lead_out_of_the_name(
    small: dict[str, Any], problems: Problems, value: str
) -> None:
    small["grids"][0]["variants"] = {
        "{activation}": {"method": "adapter", "grid": {"activation": [value]}}
    }
    assert any("a letter or digit first" in line for line in problems(small))


def test_names_that_are_too_long_together_are_refused(
    small: dict[str, Any], problems: Problems
) -> None:
    small["grids"][0]["variants"] = {"x" * 110: {"method": "full"}}
    (problem,) = problems(small)
    assert problem.startswith(f"grids[0].variants.{'x' * 110}: ")
    assert "too long" in problem


def test_a_problem_is_shown_once_however_many_cells_have_it(
    small: dict[str, Any], problems: Problems
) -> None:
    small["models"]["other"] = {"kind": "network", "layers": [784, 17, 8, 10]}
    small["grids"][0]["models"] = ["network", "other"]
    small["grids"][0]["variants"]["full"]["training"] = {"epochs": None}
    assert len(problems(small)) == 1


def test_a_local_checkpoint_has_the_configuration_that_is_expected(
    small: dict[str, Any], problems: Problems, tmp_path: Path
) -> None:
    source = {"uri": f"path:{tmp_path}"}
    small["models"]["tiny"] = {
        "kind": "checkpoint",
        "source": source,
        "configuration": {"hidden_size": 24},
    }
    (tmp_path / "config.json").write_text("{")
    assert problems(small)[0].startswith("models.tiny.source: config.json cannot be read")
    (tmp_path / "config.json").write_text('{"model_type": "bert", "hidden_size": 16}')
    lines = problems(small)
    assert "models.tiny.configuration.hidden_size: 24 is not allowed; config.json has 16" in lines


def test_a_key_written_twice_is_refused_and_a_merged_one_overridden(tmp_path: Path) -> None:
    file = tmp_path / "benchmark.yaml"
    file.write_text("a: &a {x: 1, y: 2}\nb: {<<: *a, x: 3}\n")
    assert load_yaml(file)["b"] == {"x": 3, "y": 2}
    file.write_text("name: x\ngrids:\n  - tasks: [a]\n    tasks: [b]\n")
    with pytest.raises(ConfigurationError, match=r"tasks: .* twice in the mapping .* line 3"):
        load_yaml(file)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    missing, broken = tmp_path / "missing.yaml", tmp_path / "broken.yaml"
    with pytest.raises(ConfigurationError, match=r"missing\.yaml: No such file"):
        read_benchmark(str(missing))
    broken.write_text("seeds: [0\ntasks:\n")
    with pytest.raises(ConfigurationError, match=r"broken\.yaml: no valid YAML: .*line 2"):
        read_benchmark(str(broken))
    broken.write_bytes(b"name: \xff\n")
    with pytest.raises(ConfigurationError, match=r"broken\.yaml: no valid YAML"):
        read_benchmark(str(broken))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"benchmark": "smokee"}, r"benchmark: unknown .* did you mean 'smoke'\? allowed: .*yaml"),
        ({"benchmark": "smoke", "seeds": [1]}, "benchmark: named together with .*: seeds"),
        ({"results": "a{b}"}, r'results: "a\{b\}" is not allowed; .* without braces'),
        ([1], r"the file: \[1\] is not allowed; input should be an object"),
    ],
)
def test_a_wrong_configuration_is_refused(config: Any, message: str) -> None:
    read = Pipeline.plan_from if isinstance(config, dict) else parse_benchmark
    with pytest.raises(ConfigurationError, match=message):
        read(config)


@pytest.mark.parametrize(
    ("place", "value", "lines"),
    [
        (("seeds",), ["a", "b"], 2),
        (("grids",), [1], 1),
        (("models", "network", "layers"), [784, "x"], 1),
        (("grids", 0, "tasks"), ["Digits"], 1),
        (("grids", 0, "variants", "lora-r{rank}", "settings"), {"targets": [3]}, 1),
        (("grids", 0, "variants", "lora-r{rank}", "settings"), {"targets": ["linear", 3]}, 1),
        (("grids", 0, "variants", "lora-r{rank}", "settings"), {"targets": []}, 1),
        (("grids", 0, "variants", "lora-r{rank}", "method"), "lore", 1),
        (("grids", 0, "variants", "lora-r{rank}", "grid", "rank"), [1, "x"], 1),
        (("models", "tiny"), {"kind": "checkpoint", "source": {"uri": "path:/nonexistent"}}, 1),
        (("models", "tiny", "tokenizer"), {"uri": "path:/nonexistent"}, 1),
        (("tasks", "digits", "source"), {"uri": "path:/nonexistent"}, 1),
    ],
)
def test_a_fault_is_one_line(
    small: dict[str, Any], problems: Problems, place: tuple[Any, ...], value: Any, lines: int
) -> None:
    """However many variants it is in: one bad item makes no list too short."""
    small["grids"][0]["variants"]["lora-r{rank}"]["grid"] = {"rank": [1, 2, 3]}
    *above, key = place
    holder = small
    for part in above:
        holder = holder[part]
    holder[key] = value
    assert len(problems(small)) == lines, problems(small)


@pytest.mark.parametrize(
    ("value", "label"),
    [
        (None, "null"),
        (True, "true"),
        (1e-4, "0.0001"),
        (1e-5, "1e-05"),
        (1e16, "1e16"),
        (-1, "-1"),
        ("", "empty"),
        ([], "empty"),
        (["q", None], "q-null"),
        ({"a": 1}, "a-1"),
    ],
)
def test_a_value_of_a_grid_is_a_part_of_a_name(value: Any, label: str) -> None:
    assert _label(value) == label


def test_a_null_in_a_grid_has_a_name(small: dict[str, Any]) -> None:
    small["grids"] = small["grids"][:1]
    small["grids"][0]["variants"] = {
        "head-{top_blocks}": {"method": "full", "grid": {"top_blocks": [None, 1]}}
    }
    plan = make_plan(parse_benchmark(small))
    assert [cell.variant for cell in plan.cells] == ["head-null", "head-1"]


def write(folder: Path, content: JsonValue) -> str:
    file = folder / "benchmark.yaml"
    file.write_text(yaml.safe_dump(content))
    return str(file)


def test_snakemake_shows_the_problems_and_no_traceback(
    small: dict[str, Any], problems: Problems, tmp_path: Path, snakemake: Callable[..., Any]
) -> None:
    small["grids"][0]["variants"]["full"]["method"] = "ful"
    small["training"]["max_length"] = 65
    del small["grids"][1]["training"]
    problems(small)  # what is found once is known to every later plan
    Anatomies(tmp_path / "results" / "prepared" / FOLDER).keep()
    done = snakemake("-n", "--configfile", write(tmp_path, small), folder=tmp_path)
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert lines[0] == "the benchmark has 2 problems:"
    assert lines[1].startswith(
        "  grids[0].variants.full.method: unknown method 'ful': did you mean"
    )
    assert lines[2].startswith("  grids[1].variants.adapter.training.max_length: 65 ")
    assert len(lines) == 3
    assert "Traceback" not in done.stderr + done.stdout


@pytest.mark.thorough("test_snakemake_shows_the_problems_and_no_traceback")
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: x\nname: y\n", "name: this key stands twice"),
        ("name: [x\n", "not valid JSON or YAML"),
        (None, "No such file"),
    ],
)
def test_snakemake_refuses_a_wrong_file(
    text: str | None, message: str, tmp_path: Path, snakemake: Callable[..., Any]
) -> None:
    file = tmp_path / "benchmark.yaml"
    if text is not None:
        file.write_text(text)
    done = snakemake("-n", "--configfile", str(file), folder=tmp_path)
    assert done.returncode == 1
    assert message in done.stdout + done.stderr  # Snakemake's own errors go to stdout


def test_a_file_named_by_benchmark_is_read(
    small: dict[str, Any], problems: Problems, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, small)
    monkeypatch.chdir(tmp_path)
    assert benchmark_from_config({"benchmark": "benchmark.yaml"}).name == "small"
