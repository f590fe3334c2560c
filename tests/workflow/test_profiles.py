"""The shipped profiles: what they say is known to Snakemake, and explained."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from snakemake.cli import get_argument_parser

from workflow.forecast.profile import device_memory_gb

PROFILES = Path(__file__).parents[2] / "workflow" / "profiles"
NAMES = {"local", "slurm", "kubernetes", "lsf", "htcondor", "aws-batch"}
OPTIONS = {
    "slurm": {"status-command", "init-seconds-before-status-checks", "no-account"},
    "lsf": set(),
    "htcondor": {"jobdir", "shared-fs-prefixes", "held-timeout"},
    "cluster-generic": {"submit-cmd", "status-cmd", "cancel-cmd", "cancel-nargs", "sidecar-cmd"},
}
"""Executor -> the options that its plug-in documents: slurm 2.8.0 (three of them), lsf 0.3.3,
htcondor 0.3.0, cluster-generic 1.0.9."""
SCRIPT = """#!/bin/sh
# properties = {}
cd /shared/here && python -m snakemake
"""
PROPERTIES = {
    "rule": "prepare_task",
    "threads": 3,
    "resources": {
        "mem_mb": 4000,
        "runtime": 90,
        "gpu": 2,
        "batch_queue": "queue",
        "batch_definition": "finegrid:4",
    },
}
Stand = Callable[[str], Path]


def settings(name: str) -> dict[str, Any]:
    content = yaml.safe_load((PROFILES / name / "config.yaml").read_text())
    assert isinstance(content, dict)
    return content


def test_the_profiles_are_those_that_the_documentation_lists() -> None:
    # One named default would be loaded by itself, and override what the command line names.
    assert {path.name for path in PROFILES.iterdir()} == NAMES
    page = (PROFILES.parents[1] / "docs" / "clusters.md").read_text()
    assert [name for name in sorted(NAMES) if f"| `{name}` |" not in page] == []


@pytest.mark.parametrize("name", sorted(NAMES))
def test_a_profile_s_settings_are_known(name: str) -> None:
    content = settings(name)
    executor = content.get("executor", "local")
    prefix = f"{executor}-"
    known = {
        option.removeprefix("--")
        for action in get_argument_parser()._actions
        for option in action.option_strings
    }
    own = {key.removeprefix(prefix) for key in content if key.startswith(prefix)}
    assert {key for key in content if not key.startswith(prefix)} - known == set()
    assert own - OPTIONS.get(executor, set()) == set()


@pytest.mark.parametrize("name", sorted(NAMES))
def test_each_line_of_a_profile_has_a_comment_above_it(name: str) -> None:
    above = ""
    for line in (PROFILES / name / "config.yaml").read_text().splitlines():
        if line.strip() and not line.lstrip().startswith("#"):
            assert above.lstrip().startswith("# "), line
        above = line


@pytest.mark.parametrize("name", sorted(NAMES - {"local"}))
def test_a_profile_of_a_cluster_tries_again_and_names_its_device(name: str) -> None:
    content = settings(name)
    assert content["retries"] >= 1
    assert content["keep-going"] is True
    assert content["rerun-incomplete"] is True
    assert content["latency-wait"] >= 30
    assert device_memory_gb(PROFILES / name) == 80


@pytest.mark.parametrize("name", ["local", "slurm"])
def test_a_profile_plans_a_benchmark(
    name: str, tmp_path: Path, snakemake: Any, small: dict[str, Any]
) -> None:
    if name == "slurm":
        pytest.importorskip("snakemake_executor_plugin_slurm")
    file = tmp_path / "benchmark.yaml"
    file.write_text(yaml.safe_dump(small))
    arguments = ("--dry-run", "--configfile", str(file), "--profile", str(PROFILES / name))
    done = snakemake(*arguments, folder=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert ("nodes=1" in done.stdout) == (name == "slurm")


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stand:
    """A program of that name, which keeps what it is told and answers with a file's content."""

    def make(program: str) -> Path:
        folder = tmp_path / program
        folder.mkdir()
        path = folder / program
        path.write_text(
            f"#!/bin/sh\nprintf '%s\\n' \"$@\" > {folder}/arguments\n"
            f"[ -p /dev/stdin ] && cat > {folder}/input\ncat {folder}/answer\n"
        )
        path.chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
        return folder

    return make


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "script.sh"
    path.write_text(SCRIPT.format(json.dumps(PROPERTIES)))
    return path


def call(*command: str | Path) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_a_job_is_submitted_to_kubernetes_with_what_it_asks_for(
    stand_in: Stand, script: Path
) -> None:
    kubectl = stand_in("kubectl")
    (kubectl / "answer").write_text("job.batch/finegrid-x\n")
    assert call(PROFILES / "kubernetes" / "submit", script) == "default/finegrid-x"
    job = json.loads((kubectl / "input").read_text())
    pod = job["spec"]["template"]["spec"]
    amounts = {"cpu": "3", "memory": "4000M", "nvidia.com/gpu": "2"}
    # Kubernetes takes GPUs only where the limit is given and equals the request.
    assert pod["containers"][0]["resources"] == {"requests": amounts, "limits": amounts}
    assert pod["containers"][0]["command"] == ["/bin/sh", str(script)]
    assert pod["restartPolicy"] == "Never"
    assert job["spec"]["activeDeadlineSeconds"] == 90 * 60
    assert job["metadata"]["name"].startswith("finegrid-prepare-task-")


def test_a_job_is_submitted_to_aws_batch_with_what_it_asks_for(
    stand_in: Stand, script: Path
) -> None:
    aws = stand_in("aws")
    (aws / "answer").write_text("6f2a\n")
    assert call(PROFILES / "aws-batch" / "submit", script) == "6f2a"
    lines = (aws / "arguments").read_text().splitlines()
    assert lines[:2] == ["batch", "submit-job"]
    options = dict(line.removeprefix("--").split("=", 1) for line in lines[2:])
    overrides = json.loads(options["container-overrides"])
    needs = {need["type"]: need["value"] for need in overrides["resourceRequirements"]}
    assert needs == {"VCPU": "3", "MEMORY": "4000", "GPU": "2"}
    assert overrides["command"] == ["/bin/sh", str(script)]
    assert (options["job-queue"], options["job-definition"]) == ("queue", "finegrid:4")
    assert options["timeout"] == "attemptDurationSeconds=5400"


@pytest.mark.parametrize(
    ("profile", "program", "answer", "state"),
    [
        ("kubernetes", "kubectl", "job,,", "running"),
        ("kubernetes", "kubectl", "job,1,", "success"),
        ("kubernetes", "kubectl", "job,,1", "failed"),
        ("kubernetes", "kubectl", "", "failed"),
        ("aws-batch", "aws", "RUNNABLE", "running"),
        ("aws-batch", "aws", "RUNNING", "running"),
        ("aws-batch", "aws", "SUCCEEDED", "success"),
        ("aws-batch", "aws", "FAILED", "failed"),
        ("aws-batch", "aws", "None", "failed"),
    ],
)
def test_a_job_s_state_is_told_in_snakemake_s_words(
    stand_in: Stand, profile: str, program: str, answer: str, state: str
) -> None:
    (stand_in(program) / "answer").write_text(answer)
    assert call(PROFILES / profile / "status", "default/finegrid-x") == state
