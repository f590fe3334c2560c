"""The bounds that are asked of a scheduler: closed forms by hand, and what runs really took."""

import math
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from finegrid.models.anatomies import Anatomies
from finegrid.models.anatomy import Anatomy
from finegrid.models.blueprint import Purpose
from finegrid.planning import estimate
from finegrid.planning.estimate import (
    Data,
    base_parameters,
    computed_parameters,
    device_bytes,
    memory_megabytes,
    read_data,
    runtime_minutes,
)
from finegrid.records import result as module
from finegrid.records.costs import Memory
from finegrid.records.result import RESULT_FILE, Result
from finegrid.records.specification import Model, Network, RandomModel, Source, Specification, Task
from finegrid.records.tuning import effective
from kinds.registry import kind_named
from methods.registry import METHODS
from tasks.registry import kind_of
from tests.workflow.forecast.place import SIZES, Place
from workflow.pipeline import Pipeline

REFERENCE = Path(module.__file__).parents[2] / "results" / "reference" / "runs"
SMALL = Data(
    kind_named("text-classification"),
    {"train": 1000, "validation": 500, "test": 1500},
    {"train": 90_000, "validation": 50_000, "test": 140_000},
)
"""The sizes of the default benchmark's tasks, its files rounded up."""
TOO_MUCH = 6
"""A bound may be this many times what was taken, and no more."""
LITTLE_BYTES = 20_000_000
"""A bound below that is nothing beside the process."""
# Published: table 1 of arXiv:1810.04805, section 5 of arXiv:1907.11692.
PUBLISHED = {
    "bert-base": ({"vocab_size": 30522, "max_position_embeddings": 512}, 110e6),
    "roberta-base": ({"vocab_size": 50265, "max_position_embeddings": 514}, 125e6),
}
BASE = {
    "model_type": "bert",
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
}
HIGH_WATER_MODEL = "minilm-l6"
HIGH_WATER_MEGABYTES = {"full": 1387, "lora": 1153}
"""VmHWM of a run of the default benchmark's encoder, in a process of its own."""


def transformer(**configuration: Any) -> RandomModel:
    tokens = Source(uri="path:tokens")
    return RandomModel(kind="random", name="x", configuration=configuration, tokenizer=tokens)


def anatomy_of(model: Model) -> Anatomy:
    """That of a classifier of texts, or of a plain stack."""
    return Anatomies().of(model, Purpose("AutoModelForSequenceClassification", "text"))


@cache
def committed() -> list[tuple[Specification, Result, Memory]]:
    """The committed records that have a measured peak, with what they really did."""
    records = [Result.read(path) for path in sorted(REFERENCE.glob(f"*/{RESULT_FILE}"))]
    return [(effective(one), one, one.memory) for one in records if one.memory is not None]


def sizes(spec: Specification) -> Data:
    """The examples that a committed run's task was asked for, in texts of one long sentence."""
    options: dict[str, Any] = dict(spec.task.options)
    points = len(options.get("x", ()))  # that stand in the options are in every split
    examples = {name: int(options.get(name, points)) for name in SMALL.examples}
    return Data(kind_of(spec.task), examples, {name: 200 * n for name, n in examples.items()})


def trains_base(spec: Specification) -> bool:
    return METHODS.get(spec.variant.method).trains_base


@pytest.fixture
def network(place: Place) -> Specification:
    """A run of the small benchmark on a network of 4-3-2 in batches of 5, full or not."""
    spec = next(iter(place.pipeline().runs.values()))
    model = Network(kind="network", name="network", layers=(4, 3, 2))
    changes = {"batch_size": 5, "evaluation_batch_size": 5}
    training = spec.training.model_copy(update=changes)
    return spec.model_copy(update={"model": model, "training": training})


def test_a_network_has_its_weights_and_biases() -> None:
    # The article's: 784 x 256 + 256 + 256 x 128 + 128 + 128 x 10 + 10.
    model = Network(kind="network", name="network", layers=(784, 256, 128, 10))
    anatomy = anatomy_of(model)
    assert base_parameters(model, anatomy) == computed_parameters(model, anatomy) == 235_146


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_transformer_has_about_its_published_parameters(name: str) -> None:
    configuration, published = PUBLISHED[name]
    model = transformer(**BASE, **configuration)
    assert base_parameters(model, anatomy_of(model)) == pytest.approx(published, rel=0.02)


def test_a_model_without_its_vocabulary_is_bounded_by_the_largest() -> None:
    known = transformer(**BASE, vocab_size=250_000)
    unknown = transformer(**BASE)
    sizes = [base_parameters(model, anatomy_of(model)) for model in (unknown, known)]
    assert sizes[0] > sizes[1]


def test_tensors_of_a_network_by_hand(network: Specification) -> None:
    parameters = 4 * 3 + 3 + 3 * 2 + 2
    # Each layer keeps its input, its output and what ReLU makes of it; half as much for a method.
    activations = 1.5 * 5 * ((4 + 2 * 3) + (3 + 2 * 2))
    # Weights; a gradient and two states of AdamW of each trained number.
    full = parameters + 3 * parameters
    added = parameters + 3 * 500_000
    assert device_bytes(network, anatomy_of(network.model), trains_base=True) == pytest.approx(
        4 * (full + activations), abs=1
    )
    assert device_bytes(network, anatomy_of(network.model), trains_base=False) == pytest.approx(
        4 * (added + activations), abs=1
    )


def test_a_frozen_base_of_some_size_leaves_a_method_a_quarter_of_it(
    network: Specification,
) -> None:
    model = Network(kind="network", name="network", layers=(3000, 1000, 1))
    large = network.model_copy(update={"model": model})
    parameters = 3001 * 1000 + 1001
    activations = 1.5 * 5 * ((3000 + 2 * 1000) + (1000 + 2 * 1))
    expected = 4 * (parameters * 1.75 + activations)
    assert device_bytes(large, anatomy_of(large.model), trains_base=False) == pytest.approx(
        expected, abs=1
    )


def test_the_best_state_is_kept_on_the_host(network: Specification) -> None:
    """Two copies of it, of 4 bytes a number: the kept one, and the one that takes its place."""
    model = Network(kind="network", name="network", layers=(3000, 1000, 1))
    parameters = 3001 * 1000 + 1001
    wide = network.model_copy(update={"model": model})
    cuda = wide.training.model_copy(update={"device": "cuda"})
    on_device = wide.model_copy(update={"training": cuda})
    assert device_bytes(on_device, anatomy_of(on_device.model), trains_base=True) == device_bytes(
        wide, anatomy_of(wide.model), trains_base=True
    )
    asked = [
        memory_megabytes(on_device, anatomy_of(on_device.model), trains_base=t, data=SMALL)
        for t in (True, False)
    ]
    # A frozen base of that size leaves a quarter to train.
    assert asked[0] - asked[1] == pytest.approx(1.5 * 2 * 4 * 0.75 * parameters / 1e6, abs=1)


@pytest.mark.parametrize(
    ("method", "strategy", "copies"),
    [("lora", "ddp", 2), ("lora", "fsdp", 1), ("peft:shira", "fsdp", 2), ("full", "fsdp", 2)],
)
def test_a_divided_model_is_loaded_once_on_a_node(
    network: Specification, method: str, strategy: str, copies: int
) -> None:
    """Of 8 bytes a number: the file and the model. A checkpoint of all of it takes 16."""
    model = Network(kind="network", name="network", layers=(3000, 1000, 1))
    parameters = 3001 * 1000 + 1001
    options = {"device": "cuda", "devices": 2, "batch_size": 6, "strategy": strategy}
    training = network.training.model_copy(update=options)
    variant = network.variant.model_copy(update={"method": method})
    spec = network.model_copy(update={"model": model, "training": training, "variant": variant})
    trained = parameters * (1 if trains_base(spec) else 0.25)
    kept = 1.5 * 2 * 4 * trained * (2 if strategy == "ddp" else 1)
    expected = 3 * 4000 + (copies * 8 * parameters + kept) / 1e6
    none = dict.fromkeys(SMALL.examples, 0)
    data = Data(SMALL.kind, examples=none, file_bytes=none)
    found = memory_megabytes(spec, anatomy_of(spec.model), trains_base=trains_base(spec), data=data)
    assert found == pytest.approx(expected, abs=1)


def test_gradients_that_add_up_stand_beside_what_devices_exchange_them_in(
    network: Specification,
) -> None:
    def peak(**changes: Any) -> int:
        training = network.training.model_copy(update={"batch_size": 8} | changes)
        spec = network.model_copy(update={"training": training})
        return device_bytes(spec, anatomy_of(spec.model), trains_base=True)

    shared = {"devices": 2, "micro_batch_size": 4}
    assert peak(**shared) - peak(micro_batch_size=2) == 4 * 23
    assert peak(devices=2, micro_batch_size=8) == peak(micro_batch_size=4)


def test_an_optimizer_with_less_state_takes_less(network: Specification) -> None:
    optimizer = network.training.optimizer.model_copy(update={"name": "sgd"})
    training = network.training.model_copy(update={"optimizer": optimizer})
    sgd = network.model_copy(update={"training": training})
    adamw = device_bytes(network, anatomy_of(network.model), trains_base=True)
    assert adamw - device_bytes(sgd, anatomy_of(sgd.model), trains_base=True) == 4 * 23


def test_checkpointed_gradients_take_less_and_longer_texts_more(network: Specification) -> None:
    model = transformer(**BASE, **PUBLISHED["bert-base"][0])
    task = Task(name="words", task="rated-snippets", source=Source(uri="path:none"))

    def peak(**changes: Any) -> int:
        training = network.training.model_copy(update={"max_length": 128} | changes)
        changed = {"task": task, "model": model, "training": training}
        spec = network.model_copy(update=changed)
        return device_bytes(spec, anatomy_of(spec.model), trains_base=False)

    assert peak(gradient_checkpointing=True) < peak() < peak(max_length=256) < peak(batch_size=50)
    assert peak(batch_size=50, micro_batch_size=5) == peak()
    assert peak(batch_size=50, micro_batch_units=5 * 128 + 127) == peak()
    layers = 12 * (4 * 768**2 + 2 * 768 * 3072)  # of which one is de-quantised at a time
    saved = 4 * 0.85 * layers - 8 * 768 * 3072
    assert peak() - peak(weights="nf4") == pytest.approx(saved, rel=0.001)
    assert peak(weights="nf4") < peak(weights="int8") < peak()


def test_every_committed_peak_is_below_its_bound_and_not_far_below() -> None:
    assert committed()
    for spec, one, memory in committed():
        bound = device_bytes(spec, anatomy_of(spec.model), trains_base=trains_base(spec))
        allowed = max(TOO_MUCH * memory.peak_training_bytes, LITTLE_BYTES)
        assert memory.peak_training_bytes <= bound <= allowed, one.run


def test_every_committed_run_ended_before_its_bound() -> None:
    for spec, one, _ in committed():
        assert one.time is not None
        spent = one.time.setup_seconds + one.time.train_seconds + one.time.evaluate_seconds
        minutes = runtime_minutes(
            spec, anatomy_of(spec.model), trains_base=trains_base(spec), data=sizes(spec)
        )
        assert spent / 60 <= minutes <= 60, one.run


@pytest.mark.parametrize("method", HIGH_WATER_MEGABYTES)
def test_a_process_takes_no_more_than_its_bound(method: str) -> None:
    taken = HIGH_WATER_MEGABYTES[method]
    chosen = [
        spec
        for spec, _, _ in committed()
        if (spec.model.name, spec.variant.method) == (HIGH_WATER_MODEL, method)
    ]
    assert chosen
    for spec in chosen:
        bound = memory_megabytes(
            spec, anatomy_of(spec.model), trains_base=trains_base(spec), data=SMALL
        )
        assert taken <= bound <= 2 * taken


def test_a_task_is_as_large_as_its_manifest_and_its_files_say(place: Place) -> None:
    pipeline = place.pipeline()
    manifest = Path(pipeline.run_task(next(iter(pipeline.runs))))
    place.prepare(pipeline)
    assert read_data(manifest) == Data(
        kind_named("flat-image-classification"), SIZES, dict.fromkeys(SIZES, len(b"rows"))
    )


def test_nothing_is_asked_before_a_task_is_prepared_and_more_with_each_attempt(
    place: Place,
) -> None:
    pipeline = place.pipeline(tuning={"seed": 9, "learning_rates": 2, "grow": True})
    run, key = next(iter(pipeline.runs)), next(iter(pipeline._tunings))
    asked = (
        (pipeline.run_memory, run),
        (pipeline.run_minutes, run),
        (pipeline.tuning_memory, key),
        (pipeline.tuning_minutes, key),
    )
    for ask, name in asked:
        with pytest.raises(FileNotFoundError) as caught:
            ask(name, 1)
        assert caught.value.filename == pipeline.run_task(run)
    place.prepare(pipeline)
    for ask, name in asked:
        assert ask(name, 3) == 3 * ask(name, 1)


def test_a_job_names_nodes_where_a_run_has_several(place: Place, small: dict[str, Any]) -> None:
    def run_of(wildcards: str) -> str:
        return wildcards

    assert place.pipeline().node_resources(run_of) == {}
    small["training"] |= {"batch_size": 32, "threads": 3, "devices": 8, "nodes": 2}
    pipeline = place.pipeline(training=small["training"])
    run = next(iter(pipeline.runs))
    asked = {key: ask(run) for key, ask in pipeline.node_resources(run_of).items()}
    assert asked == {"nodes": 2, "tasks": 2, "mpi": "srun"}
    assert (pipeline.run_threads(run), pipeline.run_gpus(run)) == (4 * 3, 0)


def test_a_pretraining_s_gpu_counts_among_the_most(place: Place, small: dict[str, Any]) -> None:
    assert place.pipeline().most_gpus == 0
    pipeline, _ = pretrained(place, small, device="cuda")
    assert pipeline.most_gpus == 1


def pretrained(place: Place, small: dict[str, Any], **changes: Any) -> tuple[Pipeline, str]:
    """The small benchmark, whose network is pretrained, and that network's key."""
    training = {"epochs": 3, "batch_size": 32, "learning_rate": 0.01} | changes
    network = small["models"]["network"] | {"pretraining": {"task": "digits", "training": training}}
    pipeline = place.pipeline(models=small["models"] | {"network": network})
    (key,) = pipeline.base_models.models
    return pipeline, key


@pytest.mark.parametrize(("device", "gpus", "threads"), [("cpu", 0, 1), ("cuda", 1, 3)])
def test_a_model_that_is_pretrained_asks_for_what_its_pretraining_needs(
    place: Place, small: dict[str, Any], device: str, gpus: int, threads: int
) -> None:
    pipeline, key = pretrained(place, small, device=device, threads=threads)
    assert (pipeline.base_models.gpus(key), pipeline.base_models.threads(key)) == (gpus, threads)
    assert pipeline.base_models.memory(key, 2) == 2 * pipeline.base_models.memory(key, 1)


def test_a_pretraining_has_the_minutes_of_a_run_that_trains_as_it_does(
    place: Place, small: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(estimate._OPERATIONS_PER_SECOND, "cpu", 1e4)
    pipeline, key = pretrained(place, small, threads=2)
    with pytest.raises(FileNotFoundError) as caught:
        pipeline.base_models.minutes(key, 1)
    assert caught.value.filename == pipeline.model_inputs(key)[0]
    place.prepare(pipeline)
    # 3 passes forward and backward over 64 examples, one forward over 2 x 20, by hand.
    operations = (784 * 16 + 16 + 17 * 8 + 9 * 10) * (6 * 3 * 64 + 2 * (20 + 20))
    minutes = 10 + math.ceil(operations / (2 * 1e4) / 60)
    made = pipeline.base_models.minutes
    assert [made(key, attempt) for attempt in (1, 3)] == [minutes, 3 * minutes]


def test_a_model_that_is_not_pretrained_has_the_minutes_of_a_short_job(place: Place) -> None:
    pipeline = place.pipeline()
    (key,) = pipeline.base_models.models
    assert (pipeline.base_models.threads(key), pipeline.base_models.gpus(key)) == (1, 0)
    assert [pipeline.base_models.minutes(key, attempt) for attempt in (1, 3)] == [60, 180]


@pytest.mark.thorough("test_a_model_that_is_pretrained_asks_for_what_its_pretraining_needs")
def test_the_job_that_makes_a_model_asks_for_it(
    place: Place, small: dict[str, Any], snakemake: Any
) -> None:
    pretrained(place, small, threads=2)
    done = snakemake("--dry-run", f"--configfile={place.file}", folder=place.folder)
    (job,) = (text for text in done.stdout.split("rule ") if text.startswith("prepare_model:"))
    assert "    threads: 2\n" in job
    # Its minutes are known once the source task is prepared.
    assert "gpu=0, " in job
    assert "runtime=<TBD>" in job


def test_a_run_asks_for_the_most_that_its_tuning_may_choose(place: Place) -> None:
    def memory(**changes: Any) -> int:
        pipeline: Pipeline = place.pipeline(**changes)
        place.prepare(pipeline)
        return pipeline.run_memory(next(iter(pipeline.runs)), 1)

    training = {"epochs": 1, "learning_rate": 0.01, "batch_size": 8}
    tuning = {"seed": 9, "learning_rates": 2, "others": {"batch_size": [8, 40_000]}}
    large = memory(training=training | {"batch_size": 40_000})
    assert memory(training=training) < memory(training=training, tuning=tuning) == large
