"""The arrows between the rooms, and that no room knows a method, task or metric by its name.

`python -m tests.test_rooms` writes the table of rooms into CONTRIBUTING.md.
"""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import finegrid
from finegrid.metrics.registry import METRICS
from finegrid.records.registry import Registry
from kinds.registry import KINDS
from methods.registry import METHODS
from tasks.registry import TASKS

ROOT = Path(finegrid.__file__).parents[1]
CONTRIBUTING = ROOT / "CONTRIBUTING.md"
_MODELS = ("finegrid.records", "finegrid.models")
_RUN = (*_MODELS, "methods", "kinds", "tasks", "finegrid.metrics")
_PREPARE = (*_RUN, "finegrid.training", "finegrid.problems")
_PLAN = (*_PREPARE, "finegrid.prepare")
_WORKFLOW = (*_PLAN, "finegrid.planning", "analysis")
MAY_IMPORT: dict[str, tuple[str, ...]] = {
    "finegrid": _RUN,
    "finegrid.records": ("finegrid",),
    "finegrid.problems": ("finegrid.records",),
    "finegrid.metrics": ("finegrid.records",),
    "finegrid.models": ("finegrid.records",),
    "methods": _MODELS,
    "kinds": _MODELS,
    "tasks": ("finegrid.records", "kinds"),
    "finegrid.training": _RUN,
    "finegrid.prepare": _PREPARE,
    "finegrid.planning": _PLAN,
    "finegrid.published_counts": (*_MODELS, "methods", "finegrid.problems"),
    "finegrid.published_memory": ("finegrid.records", "finegrid.training", "finegrid.problems"),
    "finegrid.export": (
        *("finegrid.records", "finegrid.models", "methods", "kinds", "finegrid.training"),
    ),
    "finegrid.rehearsal": _PLAN,
    "analysis": ("finegrid.records", "finegrid.metrics"),
    "workflow": _WORKFLOW,
    "finegrid.cli": (
        *(*_WORKFLOW, "finegrid.published_counts"),
        *("finegrid.published_memory", "finegrid.export", "finegrid.rehearsal", "workflow"),
    ),
    "measurements": (*_WORKFLOW, "workflow"),
}
"""Room -> the other rooms that it may import. Data flow down this list."""
HOMES = {
    **{name: METHODS.get(name).__module__ for name in METHODS},
    **{name: TASKS.get(name).__module__ for name in TASKS},
}
"""Registered name -> the module of its class."""
OTHER_MEANINGS = {
    **{
        ("head", f"finegrid/models/{name}.py"): "the modules of the task's head"
        for name in (
            *("anatomy", "body", "discovery", "family", "summary", "vectors"),
            *("families/linear_stack", "families/modernbert", "families/rt_detr"),
        )
    },
    **{
        (name, "methods/combine.py"): "the module of what may be a part"
        for name in (
            *("adapter", "bitfit", "ia3", "layernorm", "lg", "lora", "prefix", "prompt", "vera"),
            "token-embeddings",
        )
    },
    ("prompt", "methods/p_tuning.py"): "the module that it extends",
    ("p-tuning", "methods/peft_types.py"): "peft's name of its own implementation",
    ("head", "finegrid/training/optimization.py"): "the group of the task's head",
    ("head", "finegrid/planning/fits.py"): "the same",
    ("head", "finegrid/cli/anatomy.py"): "the modules of the task's head",
    ("prefix", "finegrid/cli/anatomy.py"): "whether the method of that name is possible",
    ("head", "analysis/figures/scores.py"): "the first rows of a frame",
    ("head", "finegrid/models/head.py"): "the same",
    ("head", "finegrid/rehearsal/shrink.py"): "the modules of the task's head",
    ("head", "methods/contract.py"): "the same",
    ("head", "methods/full.py"): "the same",
    ("head", "methods/peft_form.py"): "the same",
    ("head", "analysis/comparisons/pareto.py"): "the first rows of a table",
    ("head", "methods/parameters.py"): "the category of the task's head",
    ("head", "methods/prompt.py"): "the modules of the task's head",
    ("head", "finegrid/models/seeds.py"): "the stream that draws the task's head",
    ("head", "finegrid/records/result.py"): "the same category, a field of the record",
    ("head", "finegrid/records/specification.py"): "whether the checkpoint's head is kept",
    ("head", "finegrid/models/loading.py"): "the stream that the task's head is drawn from",
    ("head", "finegrid/models/network.py"): "the last layer of a network",
    ("head", "finegrid/models/pooling.py"): "the modules of the task's head",
    ("head", "finegrid/planning/catalogue.py"): "whether the checkpoint's head is kept",
    ("head", "finegrid/prepare/checkpoint_files.py"): "the modules of the task's head",
    ("head", "finegrid/planning/plan.py"): "whether the checkpoint's head is kept",
    ("head", "finegrid/planning/schema.py"): "the same",
    ("head", "finegrid/problems.py"): "the first line of a message",
    ("adapter", "methods/parameters.py"): "the category of whatever a method adds",
    ("adapter", "finegrid/records/result.py"): "the same category, a field of the record",
    ("adapter", "finegrid/records/registry.py"): "a pydantic TypeAdapter",
    ("ia3", "methods/peft.py"): "peft's name of its own implementation",
    ("lora", "methods/peft_types.py"): "the same",
    ("vera", "methods/peft_types.py"): "the same",
    ("head", "finegrid/planning/estimate.py"): "the modules of the task's head",
    **{
        ("prompt", path): "the text that another one follows"
        for path in (
            *("kinds/inputs/prompts.py", "kinds/inputs/prompted_choices.py"),
            "kinds/outputs/token_labels.py",
            *("finegrid/planning/guess_texts.py", "tasks/commonsense.py", "tasks/metamath.py"),
            *("tasks/e2e.py", "tasks/headlines.py", "tasks/shell_commands.py", "tasks/verses.py"),
        )
    },
    ("lg", "tasks/sword_texts.py"): "a group of lines in the markup of OSIS",
    ("prefix", "finegrid/cli/rehearsal.py"): "the start of a temporary folder's name",
    ("prefix", "finegrid/records/write.py"): "the start of a temporary file's name",
    ("prefix", "finegrid/problems.py"): "the start of a location",
}
"""English words that are a registered name by chance: (name, file) -> what they mean there."""


def room_of(module: str) -> str | None:
    """The room that a module lies in; `finegrid` holds the face alone."""
    parts = module.split(".")
    if parts[0] == "finegrid":
        return ".".join(parts[:2]) if ".".join(parts[:2]) in MAY_IMPORT else "finegrid"
    return parts[0] if parts[0] in (*MAY_IMPORT, "tests") else None


def sources(room: str) -> list[Path]:
    """The files of a room, which may be one file."""
    folder = ROOT.joinpath(*room.split("."))
    if room == "finegrid":
        return [folder / "__init__.py"]
    return sorted(folder.rglob("*.py")) or [folder.with_suffix(".py")]


def imported_rooms(path: Path) -> Iterator[str]:
    """The rooms of all modules that a file imports."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            module = node.module or ""
            below = [f"{module}.{alias.name}" for alias in node.names]
            names = below if module == "finegrid" else [module]
        yield from (room for name in names if (room := room_of(name)))


def table_of_rooms() -> str:
    """The table of rooms, each with the first line of its docstring, and what it may import."""
    rows = ["| room | holds | may import |", "|---|---|---|"]
    for room, allowed in MAY_IMPORT.items():
        holds = (import_module(room).__doc__ or "").split("\n")[0].rstrip(".")
        others = ", ".join(f"`{other}`" for other in allowed) or "nothing of ours"
        rows.append(f"| `{room}` | {holds} | {others} |")
    return "\n".join(rows)


def with_table(text: str) -> str:
    """The text of CONTRIBUTING.md with the table of rooms in its place."""
    return re.sub(
        r"\| room \| holds .*?\n(?=\n)", lambda _: table_of_rooms() + "\n", text, flags=re.S
    )


def words(path: Path) -> Iterator[str]:
    """The string constants and identifiers of a file, docstrings left out."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
        elif isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.arg | ast.keyword):
            yield node.arg or ""
        elif isinstance(node, ast.ClassDef | ast.FunctionDef):
            yield node.name


def allowed(name: str, path: str) -> bool:
    home = HOMES[name].replace(".", "/") + ".py"
    return path == home or (name, path) in OTHER_MEANINGS


def mentions() -> Iterator[tuple[str, str]]:
    """(registered name, file) for every word of the source that is a registered name."""
    for path in (path for room in MAY_IMPORT for path in sources(room)):
        found = {word.replace("_", "-") for word in words(path)} & set(HOMES)
        yield from ((name, path.relative_to(ROOT).as_posix()) for name in found)


def test_every_room_has_sources() -> None:
    assert all(path.is_file() for room in MAY_IMPORT for path in sources(room))
    assert len(HOMES) >= 2


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_a_room_imports_only_what_it_may(room: str) -> None:
    wrong = {
        f"{path.relative_to(ROOT)} imports {name}"
        for path in sources(room)
        for name in imported_rooms(path)
        if name not in (room, *MAY_IMPORT[room])
    }
    assert not wrong


def test_the_arrows_run_one_way() -> None:
    """No room imports one that imports it, directly or through others; the face is no room."""
    reached = {room: set(others) - {"finegrid"} for room, others in MAY_IMPORT.items()}
    for _ in reached:
        reached = {
            room: others.union(*(reached[other] for other in others))
            for room, others in reached.items()
        }
    assert [room for room, others in reached.items() if room in others] == []


def test_the_table_of_rooms_is_in_contributing() -> None:
    assert CONTRIBUTING.read_text() == with_table(CONTRIBUTING.read_text())
    assert table_of_rooms() in CONTRIBUTING.read_text()


def test_no_room_knows_a_registered_name() -> None:
    assert [f"{path}: {name}" for name, path in mentions() if not allowed(name, path)] == []


def constants(path: Path) -> Iterator[str]:
    """The string constants of a file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


@pytest.mark.parametrize(
    ("registry", "speakers"),
    [(METRICS, ("tasks", "kinds")), (KINDS, ("tasks",))],
    ids=["metrics", "kinds"],
)
def test_no_room_knows_a_metric_or_a_kind_by_its_name(
    registry: Registry[Any], speakers: tuple[str, ...]
) -> None:
    """But its own file or folder, and rooms that say what they are or are scored by."""
    homes = {name: registry.get(name).__module__.replace(".", "/") for name in registry}
    found = [
        f"{path.relative_to(ROOT)}: {name}"
        for room in MAY_IMPORT
        if room not in speakers
        for path in sources(room)
        for name in set(constants(path)) & set(homes)
        if not path.with_suffix("").is_relative_to(ROOT / homes[name])
    ]
    assert found == []


def test_every_exception_is_still_needed() -> None:
    assert set(OTHER_MEANINGS) - set(mentions()) == set()


@pytest.mark.parametrize(
    ("code", "absent"),
    [
        ("import workflow.pipeline", {"torch", "transformers", "pandas"}),
        (
            "import finegrid.models.coverage, finegrid.models.summary, finegrid.models.vocabulary; "
            "from finegrid.models.family import FAMILIES; list(FAMILIES)",
            {"torch", "transformers", "pandas"},
        ),
        ("from methods.registry import METHODS; list(METHODS)", {"torch", "transformers"}),
        (
            "from finegrid.metrics.registry import METRICS; list(METRICS)",
            {"torch", "pandas", "pyarrow", "evaluate", "sklearn"},
        ),
        ("from kinds.registry import KINDS; list(KINDS)", {"torch", "numpy", "pyarrow"}),
        ("from tasks.registry import TASKS; list(TASKS)", {"torch", "transformers", "pandas"}),
        ("import finegrid.training.run", {"torch", "transformers", "pandas"}),
        ("import finegrid.training.processes.client", {"torch", "numpy", "pydantic", "filelock"}),
    ],
)
def test_what_starts_fast_loads_nothing_heavy(code: str, absent: set[str]) -> None:
    line = f"import sys; {code}; print(sorted(sys.modules.keys() & {absent}))"
    done = subprocess.run([sys.executable, "-c", line], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


if __name__ == "__main__":
    CONTRIBUTING.write_text(with_table(CONTRIBUTING.read_text()))
