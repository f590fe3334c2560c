"""The card of an exported model: its result, what it compares with, and where it comes from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from statistics import mean, stdev

from finegrid.records.result import Metrics, Result, Score
from finegrid.records.training import Training, is_quantised

_NORMAL_95 = 1.959963984540054
"""The 97.5th percentile of the standard normal distribution."""


def card(
    result: Result, base: str, labels: Sequence[str], name: str, others: Iterable[Result]
) -> str:
    """`README.md` of an export in the format `name`, with the runs of other variants beside it."""
    spec = result.spec
    lines = [
        *("---", f"base_model: {base}", f"library_name: {_LIBRARIES[name]}", "tags:"),
        *("- finegrid", f"- {spec.variant.method}", "---", ""),
        *(f"# {spec.task.name}, {spec.model.name}, {spec.variant.name}", ""),
        f"Run `{result.run}`: {spec.variant.method} on {base}, exported as {_WORDS[name]}",
        *_held(spec.training, name),
        *_named(labels),
        *("", "## Result", *_scores(result.metrics), ""),
        *("## Beside other variants", *_comparison(result, others), ""),
        *("## Provenance", *_provenance(result), ""),
    ]
    return "\n".join(lines)


_LIBRARIES: Mapping[str, str] = {"peft": "peft", "merged": "transformers", "delta": "finegrid"}
_WORDS: Mapping[str, str] = {
    "peft": "an adapter: `PeftModel.from_pretrained(base, folder)`.",
    "merged": "a whole model: `from_pretrained(folder)`.",
    "delta": "the trained tensors, to be put on the base as `specification.json` says.",
}


def _held(training: Training, name: str) -> Iterator[str]:
    """What became of a base that the run did not hold in fp32."""
    if training.weights == "fp32":
        return
    double = ", its constants quantised too" if training.double_quantisation else ""
    what = "the base's linear layers" if is_quantised(training.weights) else "the base"
    held = f"The run held {what} in {training.weights}{double}."
    now = "de-quantised, to fp32" if is_quantised(training.weights) else "the same numbers in fp32"
    yield ""
    if name == "merged":
        yield f"{held} Here they are {now}, with the update inside."
    else:
        yield f"{held} On a base that is held in another way the model says something else."


def _named(labels: Sequence[str]) -> Iterator[str]:
    """The names of the outputs, which an adapter of peft has no place for."""
    if labels:
        yield from ("", f"Labels, by number from 0 on: {', '.join(map(repr, labels))}.")


def _scores(metrics: Metrics | None) -> Iterator[str]:
    """A table of the scores on test, each with the interval that its items give."""
    if metrics is None:
        yield "None: the run has no score."
        return
    yield "On the test split, one seed; intervals of 95 % come of its examples alone."
    yield from ("", "| metric | score | interval | examples | trivial |", "|---|---|---|---|---|")
    trivial = metrics.trivial.test if metrics.trivial else {}
    for name, score in metrics.test.items():
        known = trivial.get(name)
        floor = f"{known.value:.4f}" if known else "-"
        yield f"| {name} | {score.value:.4f} | {_interval(score)} | {score.n} | {floor} |"


def _interval(score: Score) -> str:
    if score.standard_error is None:
        return "-"
    half = _NORMAL_95 * score.standard_error
    return f"{score.value - half:.4f} to {score.value + half:.4f}"


def _comparison(result: Result, others: Iterable[Result]) -> Iterator[str]:
    """The mean over seeds of every variant that was run on the same task and model."""
    if result.metrics is None:
        return
    metric = result.metrics.primary
    cells: dict[str, list[Result]] = {}
    for other in others:
        if other.metrics and metric in other.metrics.test:
            cells.setdefault(other.spec.variant.name, []).append(other)
    yield f"The runs on the same task and model that lay beside this one: {metric} on test."
    yield from (
        "",
        "| variant | mean | spread over seeds | seeds | trained |",
        "|---|---|---|---|---|",
    )
    for variant, runs in sorted(cells.items()):
        values = [run.metrics.test[metric].value for run in runs if run.metrics]
        spread = f"{stdev(values):.4f}" if len(values) > 1 else "-"
        trained = f"{runs[0].parameters.trainable:,}" if runs[0].parameters else "-"
        yield f"| {variant} | {mean(values):.4f} | {spread} | {len(values)} | {trained} |"


def _provenance(result: Result) -> Iterator[str]:
    """What it takes to make the model again."""
    origin, spec = result.provenance, result.spec
    source = getattr(spec.model, "source", None)
    facts = {
        "run": result.run,
        "record": result.record_sha256,
        "seed": spec.seed,
        "base": source and f"{source.uri} {source.revision or ''}".strip(),
        "base weights": origin.model_sha256,
        "base weights were": origin.dequantised,
        "data": origin.data_sha256,
        "settings": spec.variant.settings,
        "training": spec.training.model_dump(mode="json", exclude_defaults=True),
        "tuned": result.tuning and result.tuning.chosen,
        "source": origin.git_commit or origin.source_digest,
        "packages": origin.packages,
        "machine": f"{origin.machine.processor}, {origin.device}, {origin.started_at}",
    }
    for key, value in facts.items():
        if value:
            yield f"- {key}: `{value}`"
