"""The shipped profiles: what they say is known to Snakemake, and explained."""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from snakemake.cli import get_argument_parser

from finegrid.planning.estimate import FETCHING_MINUTES
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
{}
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
SAVING = """
import pathlib, signal, sys, time

def save(number, frame):
    time.sleep(1)
    pathlib.Path("saved").write_text(signal.Signals(number).name)
    sys.exit(75)

signal.signal(signal.SIGTERM, save)
pathlib.Path("begun").touch()
time.sleep(60)
sys.exit("no signal has come")
"""
"""What takes its time to leave a checkpoint when it is asked to end."""
SNAKEFILE = f"rule:\n    output: 'out'\n    shell: '{sys.executable} saving.py'\n"
CALLS = {
    "itself": (shlex.join([sys.executable, "saving.py"]), 75),
    "by a shell": (f"/bin/sh -c '{sys.executable} saving.py; exit'", 128 + signal.SIGTERM),
    "by Snakemake": (shlex.join([sys.executable, "-m", "snakemake", "--cores=1", "out"]), 1),
}
"""How a script starts what saves -> its exit code after a signal. Shells die of one at once."""
FIRST = ["unshare", "--fork", "--pid", "--mount-proc", "setsid"]
"""Makes a command the first process of a place of its own, as a container does."""
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


def rules_with_a_gpu() -> set[str]:
    """The rules whose jobs may ask for a GPU."""
    found = set()
    for path in (PROFILES.parent / "rules").glob("*.smk"):
        for text in path.read_text().split("\nrule ")[1:]:
            if "gpu=" in text:
                found.add(text.partition(":")[0])
    return found


@pytest.mark.parametrize("name", ["lsf", "htcondor"])
def test_where_the_plug_in_knows_no_gpu_every_rule_that_asks_for_one_is_named(name: str) -> None:
    lines = (PROFILES / name / "config.yaml").read_text().splitlines()
    given = [line.removeprefix("# ") for line in lines]
    begin = given.index("set-resources:")
    end = next(n for n, line in enumerate(given[begin + 1 :], begin + 1) if line[:1] != " ")
    named = yaml.safe_load("\n".join(given[begin:end]))["set-resources"]
    assert named.keys() == rules_with_a_gpu() >= {"run"}
    option = {"lsf": "lsf_extra", "htcondor": "request_gpus"}[name]
    assert all(option in resources for resources in named.values())


@pytest.mark.parametrize("name", sorted(NAMES - {"local", "htcondor"}))
def test_a_model_that_is_fetched_has_the_time_of_a_profile_s_short_jobs(name: str) -> None:
    assert f"runtime={FETCHING_MINUTES}" in settings(name)["default-resources"]


@pytest.mark.parametrize(
    "name",
    [
        "local",
        pytest.param("slurm", marks=pytest.mark.thorough("test_a_profile_plans_a_benchmark")),
    ],
)
def test_a_profile_plans_a_benchmark(
    name: str, tmp_path: Path, snakemake: Any, small: dict[str, Any]
) -> None:
    if name == "slurm":
        pytest.importorskip("snakemake_executor_plugin_slurm")
    # The network alone: a transformer's anatomy would be looked for by a process with torch.
    small["grids"] = small["grids"][:1]
    del small["models"]["tiny"]
    file = tmp_path / "benchmark.yaml"
    file.write_text(yaml.safe_dump(small))
    arguments = ("--dry-run", "--configfile", str(file), "--profile", str(PROFILES / name))
    done = snakemake(*arguments, folder=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    # A rule of no run names no nodes itself.
    (job,) = (text for text in done.stdout.split("rule ") if text.startswith("plan:"))
    assert ("nodes=1" in job) == (name == "slurm")


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


def write_script(folder: Path, line: str) -> Path:
    """As Snakemake writes it for a job that is started by that line."""
    path = folder / "script.sh"
    path.write_text(SCRIPT.format(json.dumps(PROPERTIES), line))
    return path


@pytest.fixture
def script(tmp_path: Path) -> Path:
    return write_script(tmp_path, "cd /shared/here && python -m snakemake")


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
    start = (PROFILES / "kubernetes" / "start").read_text()
    assert pod["containers"][0]["command"] == ["/bin/sh", "-c", start, str(script)]
    assert pod["terminationGracePeriodSeconds"] >= 120
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
    start = (PROFILES / "aws-batch" / "start").read_text()
    assert overrides["command"] == ["/bin/sh", "-c", start, str(script)]
    assert len(options["container-overrides"]) < 8192  # what AWS Batch allows
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


@pytest.fixture(params=["kubernetes", "aws-batch"])
def command(request: pytest.FixtureRequest, stand_in: Stand, script: Path) -> list[str]:
    """What a container is to start with for that script."""
    program = stand_in("kubectl" if request.param == "kubernetes" else "aws")
    (program / "answer").write_text("name\n")
    call(PROFILES / request.param / "submit", script)
    if request.param == "kubernetes":
        job = json.loads((program / "input").read_text())
        handed: list[str] = job["spec"]["template"]["spec"]["containers"][0]["command"]
        return handed
    lines = (program / "arguments").read_text().split("--container-overrides=", 1)[1]
    overrides, _ = json.JSONDecoder().raw_decode(lines)
    return list(overrides["command"])


def is_permitted(line: list[str]) -> bool:
    if shutil.which(line[0]) is None:
        return False
    return subprocess.call([*line, "true"], stderr=subprocess.DEVNULL) == 0


def begun(line: list[str], folder: Path) -> "subprocess.Popen[bytes]":
    """The command, once the process that can save is there."""
    process = subprocess.Popen(line, cwd=folder, start_new_session=True)
    while not (folder / "begun").exists():
        assert process.poll() is None
        time.sleep(0.02)
    return process


@pytest.mark.thorough("test_a_container_ends_as_its_script_does")
@pytest.mark.parametrize("place", [[], FIRST], ids=["a session", "process 1"])
@pytest.mark.parametrize("how", CALLS)
def test_a_container_passes_sigterm_on_and_waits_until_all_is_saved(
    tmp_path: Path, command: list[str], place: list[str], how: str
) -> None:
    if place and not is_permitted(place):
        pytest.skip("no process 1 can be made here")
    line, code = CALLS[how]
    write_script(tmp_path, f"cd {tmp_path} && {line}")
    (tmp_path / "saving.py").write_text(SAVING)
    (tmp_path / "Snakefile").write_text(SNAKEFILE)
    process = begun([*place, *command], tmp_path)
    first = psutil.Process(process.pid).children()[0].pid if place else process.pid
    os.kill(first, signal.SIGTERM)
    assert process.wait() == code
    assert (tmp_path / "saved").read_text() == "SIGTERM"


@pytest.mark.parametrize("code", [0, 1, 75])
def test_a_container_ends_as_its_script_does(tmp_path: Path, command: list[str], code: int) -> None:
    write_script(tmp_path, f"sleep 0.1 && exit {code}")
    assert subprocess.call(command, start_new_session=True) == code


def test_what_a_container_starts_with_is_read_as_it_stands() -> None:
    texts = {(PROFILES / name / "start").read_text() for name in ("kubernetes", "aws-batch")}
    (text,) = texts
    # Kubernetes, and AWS Batch with it, would replace these.
    assert [sign for sign in ("$(", "$$", "Ref::") if sign in text] == []
