"""The same benchmark on a Slurm: same bits, right devices, and what goes wrong on clusters."""

import re
import signal
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from records.result import DELTA_FILE, PREDICTIONS_FILE, Result
from records.specification import Specification
from tests.slurm.cluster import Cluster, wait_for
from tests.slurm.conftest import Place

OUTCOME = ("spec", "state", "metrics", "parameters", "losses", "gradients")
SECONDS = 600.0
"""How long a job may take to start and to load its libraries on a busy machine."""
DEVICES = """
rule all:
    input:
        "two", "one", "another", "none"

rule devices:
    output:
        "{name}"
    resources:
        gpu=lambda wildcards: {"two": 2, "none": 0}.get(wildcards.name, 1)
    shell:
        "echo $SLURMD_NODENAME ${{CUDA_VISIBLE_DEVICES:-}} > {output}; "
        "until [ $(ls one another 2> /dev/null | wc -l) = 2 ]; do sleep 0.2; done"
"""


@pytest.fixture
def held(place: Place) -> Place:
    """A place whose runs stop in the middle until the file `hold` is gone."""
    inside = Path(__file__).parent / "inside"
    place.environment |= {
        "PYTHONPATH": f"{place.source}:{inside}",
        "FINEGRID_TEST_FOLDER": str(place.folder),
        "WANDB_MODE": "disabled",
    }
    (place.folder / "trained").touch()
    (place.folder / "hold").touch()
    return place


def trained(place: Place) -> list[tuple[str, str]]:
    """Which job did what, in order of time."""
    lines = (place.folder / "trained").read_text().splitlines()
    return [(line.partition(" ")[0], line.partition(" ")[2]) for line in lines]


def wait_for_the_middle(place: Place) -> str:
    """The number of the job that is in the middle of its run."""
    middle = "is in the middle"
    wait_for(lambda: any(what == middle for _, what in trained(place)), middle, SECONDS)
    return next(job for job, what in trained(place) if what == middle)


def release(place: Place) -> None:
    (place.folder / "hold").unlink()


def assert_same_bits(spec: Specification, local: Place, place: Place) -> Result:
    """Everything but times is as without Slurm; returns the record."""
    here, there = local.result(spec.run), place.result(spec.run)
    expected, found = Result.read(here), Result.read(there)
    for part in OUTCOME:
        assert getattr(found, part) == getattr(expected, part), part
    assert here.with_name(DELTA_FILE).read_bytes() == there.with_name(DELTA_FILE).read_bytes()
    tables = [pq.read_table(one.with_name(PREDICTIONS_FILE)) for one in (here, there)]
    assert tables[0].equals(tables[1])
    return found


def assert_one_at_a_time(place: Place) -> None:
    """No process began to train before the last one had ended."""
    events = [what for _, what in trained(place) if what != "is in the middle"]
    assert events == ["begins", "ends"] * (len(events) // 2), trained(place)


def test_a_job_gets_the_devices_that_it_asks_for(cluster: Cluster, empty: Place) -> None:
    empty.snakefile = empty.folder / "Snakefile"
    empty.snakefile.write_text(DEVICES)
    empty.run()
    seen = {
        name: (empty.folder / name).read_text().split()
        for name in ("two", "one", "another", "none")
    }
    assert [word for words in seen.values() for word in words[1:]] != []
    assert seen["two"][1:] == ["0,1"], "both on one node"
    assert len(seen["none"]) == 1
    assert {len(seen[name][1].split(",")) for name in ("one", "another")} == {1}
    assert seen["one"] != seen["another"], "no device is given twice"


def test_a_cancelled_run_goes_on_where_it_was(
    cluster: Cluster, local: Place, held: Place, runs: dict[str, Specification]
) -> None:
    spec = runs["full"]
    head = held.start(str(held.result(spec.run).relative_to(held.folder)))
    job = wait_for_the_middle(held)
    cluster.cancel(job)
    release(held)
    output, _ = head.communicate()
    assert head.returncode == 0, output + held.logs()
    resumed = assert_same_bits(spec, local, held).resumed_at_steps
    assert len(resumed) == 1
    assert resumed[0] > 0
    assert_one_at_a_time(held)


def test_a_run_that_was_out_of_memory_gets_more(
    cluster: Cluster, local: Place, held: Place, runs: dict[str, Specification]
) -> None:
    spec = runs["lora"]
    release(held)
    held.environment["FINEGRID_TEST_FIRST_ATTEMPT"] = "out-of-memory"
    before = set(cluster.jobs())
    held.run(str(held.result(spec.run).relative_to(held.folder)))
    jobs = sorted(set(cluster.jobs()) - before, key=int)
    asked = [int(cluster.job(job)["MinMemoryNode"].removesuffix("M")) for job in jobs]
    assert len(asked) == 2
    assert asked[1] == 2 * asked[0]
    assert_same_bits(spec, local, held)


def test_a_head_that_is_killed_loses_no_run_and_runs_none_twice_at_once(
    cluster: Cluster, local: Place, held: Place, runs: dict[str, Specification]
) -> None:
    spec = runs["full"]
    target = str(held.result(spec.run).relative_to(held.folder))
    head = held.start(target)
    job = wait_for_the_middle(held)
    head.send_signal(signal.SIGKILL)
    head.communicate()
    held.run("--unlock")
    head = held.start(target)
    wait_for(lambda: "another process works on this run" in held.logs(), "a refusal", SECONDS)
    assert cluster.job(job)["JobState"] == "RUNNING"
    release(held)
    output, _ = head.communicate()
    assert head.returncode == 0, output + held.logs()
    assert_same_bits(spec, local, held)
    assert_one_at_a_time(held)


def test_a_lost_node_is_survived(
    cluster: Cluster, local: Place, held: Place, runs: dict[str, Specification]
) -> None:
    spec = runs["full"]
    head = held.start(str(held.result(spec.run).relative_to(held.folder)))
    job = wait_for_the_middle(held)
    node = cluster.job(job)["BatchHost"]
    cluster.lose_node(node)
    release(held)
    try:
        cluster.start_at_once(job)
        output, _ = head.communicate()
    finally:
        cluster.start_node(node)
    assert head.returncode == 0, output + held.logs()
    assert_same_bits(spec, local, held)
    jobs = [number for number, what in trained(held) if what == "begins"]
    assert len(jobs) == 2
    assert cluster.job(jobs[1])["BatchHost"] != node


def test_the_benchmark_gives_the_same_bits_as_without_slurm(
    cluster: Cluster, local: Place, place: Place, runs: dict[str, Specification]
) -> None:
    before = set(cluster.jobs())
    output = place.run()
    submitted = len(set(cluster.jobs()) - before)
    steps = re.search(r"^total +(\d+)$", output, re.MULTILINE)
    assert steps
    assert submitted == int(steps[1]) - 1, "every job but `all` runs on a node"
    for spec in runs.values():
        tracking = assert_same_bits(spec, local, place).tracking
        assert tracking
        assert tracking.mode == "offline"
    assert (place.results / "reports" / "cluster.html").exists()
