"""The same benchmark on a Slurm: same bits, right devices, and what goes wrong on clusters."""

import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from finegrid.planning.benchmark import parse_benchmark
from finegrid.planning.plan import make_plan
from finegrid.records.plan import Plan
from finegrid.records.result import DELTA_FILE, PREDICTIONS_FILE, Result
from finegrid.records.specification import Specification
from finegrid.training.tracking import tracking_id
from tests.slurm.cluster import Cluster, wait_for
from tests.slurm.conftest import BENCHMARK, Place, copy_all_but_runs
from tests.training.assets import read_history
from tests.training.wandb_file import read_mirror

OUTCOME = ("spec", "state", "tuning", "metrics", "parameters", "memory", "losses", "gradients")
SECONDS = 300.0
"""How long a job may take to start and to load its libraries on a busy machine."""
MIDDLE = "is in the middle"
DEVICES = """
localrules:
    all,
    both_started

rule all:
    input:
        "two", "none", "one", "another"

rule both_started:
    output:
        touch("both")
    shell:
        "until [ -s one.started ] && [ -s another.started ]; do sleep 0.2; done"

rule two:
    input:
        "both"
    output:
        "two"
    resources:
        gpu=2
    shell:
        "echo $SLURMD_NODENAME ${{CUDA_VISIBLE_DEVICES:-}} > {output}"

rule none:
    output:
        "none"
    resources:
        gpu=0
    shell:
        "echo $SLURMD_NODENAME ${{CUDA_VISIBLE_DEVICES:-}} > {output}"

rule one_of_a_model:
    output:
        "{name}"
    wildcard_constraints:
        name="one|another"
    resources:
        gpu=1,
        gpu_model=lambda wildcards: {"one": "a100", "another": "t4"}[wildcards.name]
    shell:
        "echo $SLURMD_NODENAME > {output}.started; "
        "until squeue --noheader --format=%k | grep -q rule_two; do sleep 0.2; done; sleep 4; "
        "echo $SLURMD_NODENAME ${{CUDA_VISIBLE_DEVICES:-}} > {output}"
"""
"""Two GPUs are asked for while each node has one to spare."""
DEVICE_JOBS = ("two", "none", "one", "another")
AT_THE_SAME_TIME = """
rule all:
    input:
        "one", "another"

rule one_of_two:
    output:
        "{name}"
    wildcard_constraints:
        name="one|another"
    resources:
        gpu=1,
        gpu_model="a100"
    shell:
        "echo $SLURMD_NODENAME ${{CUDA_VISIBLE_DEVICES:-}} > {output}; "
        "until [ -s one ] && [ -s another ]; do sleep 0.2; done"
"""
"""Both have to be of one node."""


def one_run(place: Place, **training: Any) -> Specification:
    """Let the place's benchmark have one cell, which is trained so; returns a run of it."""
    given = yaml.safe_load((place.source / BENCHMARK).read_text())
    del given["tuning"]
    given["training"] |= {"dropout": 0.0} | training
    variants = {"full": {"method": "full", "learning_rate": 1.0e-3}}
    given["grids"] = [{"tasks": ["movie-reviews"], "models": ["tiny"], "variants": variants}]
    spec = next(iter(make_plan(parse_benchmark(given)).runs.values()))
    place.benchmark = place.folder / f"{spec.run}.yaml"
    place.benchmark.write_text(yaml.safe_dump(given))
    return spec


def losses_of(place: Place, spec: Specification) -> list[float]:
    """The loss of every step of the run."""
    history = read_history(place.result(spec.run).parent)
    return [event["loss"] for event in history if "loss" in event]


def hold(place: Place, *specs: Specification) -> None:
    """Let these runs wait in the middle, until they are released."""
    place.environment["FINEGRID_TEST_HOLD"] = " ".join(spec.run for spec in specs)
    (place.folder / "hold").touch()


def release(place: Place) -> None:
    (place.folder / "hold").unlink()


def noted(place: Place, spec: Specification) -> list[tuple[str, str]]:
    """Which job did what with the run, in order of time."""
    file = place.folder / "trained"
    lines = file.read_text().splitlines() if file.exists() else []
    words = [line.split(" ", 2) for line in lines]
    return [(job, what) for job, run, what in words if run == spec.run]


def wait_for_the_middle(place: Place, spec: Specification) -> str:
    """The number of the job that is in the middle of the run."""

    def found() -> list[str]:
        return [job for job, what in noted(place, spec) if what == MIDDLE]

    wait_for(found, f"{spec.run} {MIDDLE}", SECONDS)
    return found()[0]


def jobs_of(place: Place, spec: Specification) -> list[str]:
    """The jobs that had the run to themselves, in order of time."""
    return [job for job, what in noted(place, spec) if what == "begins"]


def assert_one_at_a_time(place: Place, spec: Specification) -> None:
    """No process began to work on the run before the last one had ended."""
    events = [what for _, what in noted(place, spec) if what != MIDDLE]
    assert events == ["begins", "ends"] * (len(events) // 2), noted(place, spec)


def assert_same_bits(spec: Specification, local: Place, place: Place) -> Result:
    """Everything but times is as without Slurm; returns the record."""
    here, there = local.result(spec.run), place.result(spec.run)
    expected, found = Result.read(here), Result.read(there)
    for part in OUTCOME:
        assert getattr(found, part) == getattr(expected, part), part
    assert found.files.keys() == expected.files.keys()
    assert found.damaged_files(there.parent) == []
    assert found.files.get(DELTA_FILE) == expected.files.get(DELTA_FILE)
    tables = [pq.read_table(one.with_name(PREDICTIONS_FILE)) for one in (here, there)]
    assert tables[0].equals(tables[1])
    return found


def test_a_job_gets_the_devices_that_it_asks_for(cluster: Cluster, empty: Place) -> None:
    empty.snakefile = empty.folder / "Snakefile"
    empty.snakefile.write_text(DEVICES)
    empty.run()
    seen = {name: (empty.folder / name).read_text().split() for name in DEVICE_JOBS}
    assert seen["none"] in (["n1"], ["n2"])
    assert seen["one"] in (["n1", "0"], ["n1", "1"]), "the node with that model"
    assert seen["another"] in (["n2", "0"], ["n2", "1"])
    assert seen["two"] in (["n1", "0,1"], ["n2", "0,1"]), "they are not split over two nodes"


def test_no_device_is_given_twice(cluster: Cluster, empty: Place) -> None:
    empty.snakefile = empty.folder / "Snakefile"
    empty.snakefile.write_text(AT_THE_SAME_TIME)
    empty.run()
    seen = [(empty.folder / name).read_text().split() for name in ("one", "another")]
    assert {device for _, device in seen} <= {"0", "1"}
    assert seen[0] != seen[1]


def test_a_run_over_two_nodes_is_that_of_one_and_goes_on_when_it_was_cancelled(
    cluster: Cluster, place: Place
) -> None:
    one = one_run(place)
    place.run(place.target(one), profile="local")
    two = one_run(place, devices=2, nodes=2, strategy="fsdp")
    hold(place, two)
    head = place.start(place.target(two))
    job = wait_for_the_middle(place, two)
    assert [cluster.job(job)[key] for key in ("NumNodes", "NodeList")] == ["2", "n[1-2]"]
    cluster.cancel(job)
    release(place)
    place.finish(head)
    assert len(losses_of(place, one)) == 12
    assert losses_of(place, two) == pytest.approx(losses_of(place, one), abs=1e-5)
    expected, found = (Result.read(place.result(spec.run)) for spec in (one, two))
    assert found.metrics == expected.metrics
    assert found.resumed_at_steps == (6,)
    assert found.damaged_files(place.result(two.run).parent) == []
    assert_one_at_a_time(place, two)


def test_a_run_over_two_nodes_gets_its_devices_on_both(cluster: Cluster, place: Place) -> None:
    spec = one_run(place, device="cuda", devices=4, nodes=2, threads=1)
    place.environment["FINEGRID_TEST_DEVICES"] = "no memory"
    place.run(place.target(spec))
    seen = (place.folder / "devices").read_text().splitlines()
    assert sorted(seen) == ["n1 0,1", "n2 0,1"]
    result = Result.read(place.result(spec.run))
    assert (result.state, result.reason) == ("oom", "no memory")
    (number,) = jobs_of(place, spec)
    job = cluster.job(number)
    assert (job["NumNodes"], job["NumTasks"], job["CPUs/Task"]) == ("2", "2", "2")
    assert job["TresPerJob"] == "gres:gpu:4"


@pytest.fixture(scope="module")
def troubled(
    cluster: Cluster,
    local: Place,
    source: Path,
    runs: dict[str, Specification],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Place]:
    """Two runs: one is cancelled in the middle, one is killed for its memory when it begins."""
    place = Place(tmp_path_factory.mktemp("troubled"), source, {"WANDB_MODE": "offline"})
    copy_all_but_runs(local, place)
    place.environment["FINEGRID_TEST_OUT_OF_MEMORY"] = runs["lora-r2-s0"].run
    hold(place, runs["full-s0"])
    try:
        head = place.start(*(place.target(runs[name]) for name in ("full-s0", "lora-r2-s0")))
        cluster.cancel(wait_for_the_middle(place, runs["full-s0"]))
        release(place)
        place.finish(head)
        yield place
    finally:
        place.end()


def test_a_cancelled_run_goes_on_where_it_was(
    local: Place, troubled: Place, runs: dict[str, Specification]
) -> None:
    spec = runs["full-s0"]
    assert assert_same_bits(spec, local, troubled).resumed_at_steps == (6,)
    assert_one_at_a_time(troubled, spec)


def test_a_run_of_two_attempts_has_one_mirror(
    troubled: Place, runs: dict[str, Specification]
) -> None:
    spec = runs["full-s0"]
    folder = troubled.result(spec.run).parent
    mirror = read_mirror(folder)
    assert mirror.run.run_id == tracking_id(spec)
    steps = [event["step"] for event in read_history(folder)]
    assert [row["step"] for row in mirror.history] == steps


def test_a_run_that_was_out_of_memory_gets_more(
    cluster: Cluster, local: Place, troubled: Place, runs: dict[str, Specification]
) -> None:
    spec = runs["lora-r2-s0"]
    jobs = jobs_of(troubled, spec)
    asked = [int(cluster.job(job)["MinMemoryNode"].removesuffix("M")) for job in jobs]
    assert len(asked) == 2
    assert asked[1] == 2 * asked[0]
    assert_same_bits(spec, local, troubled)


def test_a_head_that_is_killed_loses_no_run_and_runs_none_twice_at_once(
    cluster: Cluster, local: Place, tuned: Place, runs: dict[str, Specification]
) -> None:
    specs = [runs["full-s0"], runs["full-s1"]]
    targets = [tuned.target(spec) for spec in specs]
    hold(tuned, *specs)
    head = tuned.start(*targets)
    jobs = [wait_for_the_middle(tuned, spec) for spec in specs]
    head.send_signal(signal.SIGKILL)
    head.communicate()
    tuned.run("--unlock")
    head = tuned.start(*targets)
    refusals = [f"{spec.run}: another process works on this run" for spec in specs]
    wait_for(lambda: all(one in tuned.logs() for one in refusals), "two refusals", SECONDS)
    assert [cluster.job(job)["JobState"] for job in jobs] == ["RUNNING"] * 2
    release(tuned)
    tuned.finish(head)
    for spec in specs:
        assert_same_bits(spec, local, tuned)
        assert_one_at_a_time(tuned, spec)


def test_a_lost_node_is_survived(
    cluster: Cluster, local: Place, tuned: Place, runs: dict[str, Specification]
) -> None:
    spec = runs["full-s0"]
    hold(tuned, spec)
    head = tuned.start(tuned.target(spec))
    job = wait_for_the_middle(tuned, spec)
    node = cluster.job(job)["BatchHost"]
    cluster.lose_node(node)
    release(tuned)
    try:
        cluster.start_at_once(job)
        tuned.finish(head)
    finally:
        cluster.start_node(node)
    assert_same_bits(spec, local, tuned)
    assert jobs_of(tuned, spec) == [job, job], "Slurm itself starts it again"
    assert cluster.job(job)["BatchHost"] != node


def test_the_benchmark_gives_the_same_bits_as_without_slurm(
    cluster: Cluster, local: Place, place: Place, plan: Plan
) -> None:
    before = set(cluster.jobs())
    output = place.run()
    submitted = len(set(cluster.jobs()) - before)
    steps = re.search(r"^total +(\d+)$", output, re.MULTILINE)
    assert steps
    assert submitted == int(steps[1]) - 1, "every job but `all` runs on a node"
    jobs = plan.trials | plan.runs
    for spec in jobs.values():
        assert_same_bits(spec, local, place)
        assert len(jobs_of(place, spec)) == 1
    assert len(jobs) == 20
    assert (place.results / "reports" / "smoke.html").exists()
