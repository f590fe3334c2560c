"""What is asked of Snakemake's insides, by running it: attempts, and no more GPU jobs than GPUs."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from finegrid.training.processes.devices import PARTS
from tests.warm.start import warm_python
from workflow.scheduling import count_gpus

REPOSITORY = Path(__file__).parents[2]
HEAD = f"""
import sys

sys.path.insert(0, {str(REPOSITORY)!r})
from workflow.scheduling import attempts, limit_gpus, look_when_jobs_end, tell_attempts


onstart:
    tell_attempts(workflow)
    look_when_jobs_end(workflow)
    limit_gpus(workflow, 1)

"""
ATTEMPTS = """
rule all:
    input: "shell", "run"

rule in_a_shell:
    output: "shell"
    resources:
        attempt=lambda wildcards, attempt: attempt,
        attempts=lambda wildcards: attempts(workflow),
    shell:
        "echo {resources.attempt} of {resources.attempts} >> tried; "
        "test {resources.attempt} -eq {resources.attempts}; touch {output}"

rule in_a_process_of_its_own:
    output: "run"
    resources:
        attempt=lambda wildcards, attempt: attempt,
        attempts=lambda wildcards: attempts(workflow),
    run:
        with open("told", "a") as stream:
            stream.write(f"{resources.attempt} of {resources.attempts}\\n")
        assert resources.attempt == resources.attempts
        open(output[0], "w").close()
"""
ON_GPUS = """
rule all:
    input: expand("{number}.done", number=range(4))

rule on_a_gpu:
    output: "{number}.done"
    resources: gpu=1
    shell:
        "touch {wildcards.number}.running; echo *.running | wc -w >> together; sleep 0.5; "
        "rm {wildcards.number}.running; touch {output}"
"""
LOOKS = """
from snakemake.scheduling.job_scheduler import JobScheduler

def look(scheduler, jobs, select=JobScheduler.job_selector):
    with open("looks", "a") as stream:
        stream.write("x")
    return select(scheduler, jobs)

JobScheduler.job_selector = look

rule all:
    input: expand("{number}.quick", number=range(20)), "long", "waiting"

rule quick:
    output: "{number}.quick"
    priority: 2
    shell: "touch {output}"

rule long:
    output: "long"
    priority: 1
    threads: 4
    shell:
        "for i in $(seq 8); do a=$(wc -c < looks); sleep 1; "
        "[ $a -eq $(wc -c < looks) ] && break; done; "
        "wc -c < looks > before; sleep 4; wc -c < looks > {output}"

rule waiting:
    output: "waiting"
    threads: 4
    shell: "touch {output}"
"""
"""A job that waits for the cores of another, after others have ended and that was seen."""
Snakemake = Callable[..., str]
BEYOND = pytest.mark.thorough("test_no_more_gpu_jobs_run_at_a_time_than_there_are_gpus")


def called(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Snakemake with the folder's Snakefile."""
    with warm_python():
        command = [sys.executable, "-m", "snakemake", "--cores", "4", *arguments]
        return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture
def snakemake(tmp_path: Path) -> Snakemake:
    """Run a Snakefile in an empty folder, with arguments; returns what a file then holds."""

    def call(rules: str, file: str, *arguments: str) -> str:
        (tmp_path / "Snakefile").write_text(HEAD + rules)
        done = called(tmp_path, *arguments)
        assert done.returncode == 0, done.stderr
        return (tmp_path / file).read_text()

    return call


def test_a_job_knows_its_attempt_and_how_many_there_are(
    snakemake: Snakemake, tmp_path: Path
) -> None:
    expected = "1 of 3\n2 of 3\n3 of 3\n"
    assert snakemake(ATTEMPTS, "tried", "--retries", "2") == expected
    # As on a cluster: the process of the job is another Snakemake, which retries nothing.
    assert (tmp_path / "told").read_text() == expected


def test_jobs_are_looked_at_when_one_ends(snakemake: Snakemake, tmp_path: Path) -> None:
    """Not all the time, and more often with each job that has ended, on the cores of the runs."""
    during = int(snakemake(LOOKS, "long")) - int((tmp_path / "before").read_text())
    assert during <= 2


def test_a_limit_of_jobs_a_second_that_is_asked_for_stays(
    snakemake: Snakemake, tmp_path: Path
) -> None:
    limit = ["--max-jobs-per-timespan", "10/1s"]
    during = int(snakemake(LOOKS, "long", *limit)) - int((tmp_path / "before").read_text())
    assert during > 2


@pytest.mark.thorough("test_a_job_knows_its_attempt_and_how_many_there_are")
def test_without_retries_there_is_one_attempt(snakemake: Snakemake) -> None:
    assert snakemake(ATTEMPTS, "tried") == "1 of 1\n"


@pytest.mark.parametrize(
    ("visible", "arguments", "most"),
    [
        ("0,1", (), 2),
        pytest.param("0", (), 1, marks=BEYOND),
        pytest.param("", (), 1, marks=BEYOND),
        pytest.param("0,1,2,3", ("--resources", "gpu=1"), 1, marks=BEYOND),
    ],
)
def test_no_more_gpu_jobs_run_at_a_time_than_there_are_gpus(
    snakemake: Snakemake,
    monkeypatch: pytest.MonkeyPatch,
    visible: str,
    arguments: tuple[str, ...],
    most: int,
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    together = [int(line) for line in snakemake(ON_GPUS, "together", *arguments).split()]
    assert len(together) == 4
    assert max(together) <= most


SHARED = HEAD.replace("limit_gpus(workflow, 1)", "limit_gpus(workflow, 1, shared=True)")


@pytest.mark.parametrize(
    ("visible", "arguments", "most"),
    [("0", (), 2), ("0,1", (), 4), ("0,1", ("--resources", "gpu=1"), 2)],
)
def test_runs_that_share_gpus_are_as_many_as_their_parts(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    visible: str,
    arguments: tuple[str, ...],
    most: int,
) -> None:
    """Each waits for the others that may run with it, or for a while."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    rules = ON_GPUS.replace("gpu=1", f"gpu=1, gpu_parts={PARTS // 2}").replace(
        "sleep 0.5",
        "touch {wildcards.number}.started; "
        f"timeout 100 sh -c 'until ls | grep -c started | grep -q [{most}-4]; do sleep 0.1; done'",
    )
    (tmp_path / "Snakefile").write_text(SHARED + rules)
    done = called(tmp_path, *arguments)
    assert done.returncode == 0, done.stderr
    assert max(map(int, (tmp_path / "together").read_text().split())) == most


def refusal(folder: Path, most: str, *arguments: str) -> str:
    """What Snakemake says of jobs that ask for more than there is; none of them starts."""
    rules = HEAD.replace("limit_gpus(workflow, 1)", f"limit_gpus(workflow, {most})") + ON_GPUS
    (folder / "Snakefile").write_text(rules)
    done = called(folder, *arguments)
    assert done.returncode == 1
    assert not list(folder.glob("*.done"))
    return done.stderr


@pytest.mark.parametrize(
    ("visible", "arguments"),
    [("0,1", ()), pytest.param("0,1,2,3", ("--resources", "gpu=2"), marks=BEYOND)],
)
def test_a_run_that_shares_more_gpus_than_there_are_is_refused_before_any_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, visible: str, arguments: tuple[str, ...]
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    told = refusal(tmp_path, "3", *arguments)
    assert "devices: 3 of cuda for a run; allowed: at most 2 here" in told


@pytest.mark.thorough(
    "test_a_run_that_shares_more_gpus_than_there_are_is_refused_before_any_starts"
)
def test_a_run_over_several_nodes_is_refused_where_there_is_one(tmp_path: Path) -> None:
    told = refusal(tmp_path, "1, nodes=2")
    assert "nodes: 2 for a run; allowed: 1 here, more on Slurm" in told


@pytest.mark.parametrize(
    ("visible", "count"),
    [("0", 1), ("2,5", 2), ("GPU-1a, GPU-2b ,GPU-3c", 3), ("", 0), ("-1", 0), ("1,-1,2", 1)],
)
def test_the_visible_devices_are_counted_as_the_driver_does(
    monkeypatch: pytest.MonkeyPatch, visible: str, count: int
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert count_gpus() == count


def test_without_them_the_driver_s_program_lists_the_gpus(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert count_gpus() == 0
    program = tmp_path / "nvidia-smi"
    gpus = "GPU 0: A (UUID: GPU-1)\\n  MIG 1g.5gb Device 0: (UUID: MIG-1)\\nGPU 1: A (UUID: GPU-2)"
    program.write_text(f'#!/bin/sh\n[ "$1" = -L ] && printf "{gpus}\\n"\n')
    program.chmod(0o755)
    assert count_gpus() == 2
