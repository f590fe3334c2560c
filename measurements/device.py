"""Whether every method trains on a device as on the CPU, goes on to the same bits, and fits.

python -m measurements.device [--device cuda] [--methods lora ...] [--output FILE.md]

It needs no network, no Snakemake and no downloaded model: a tiny encoder and its texts are made on
the spot. It ends with 1 where a check fails.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import chdir
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any
from unittest import mock

import torch
import yaml
from tokenizers import Tokenizer, pre_tokenizers, processors, trainers
from tokenizers.models import WordLevel

from finegrid.models.seeds import make_deterministic
from finegrid.prepare.encode import encode_task
from finegrid.prepare.model import prepare_model
from finegrid.prepare.task import prepare_task
from finegrid.records.result import HISTORY_FILE, PREDICTIONS_FILE
from finegrid.records.specification import Specification, model_key
from finegrid.records.write import write_text
from finegrid.training.encoding import encoded_folder, encoding_of
from finegrid.training.experiment import Run, stages
from finegrid.training.loop import Trainer
from finegrid.training.processes.exits import EXIT_TRY_AGAIN
from finegrid.training.run import main as make_run
from finegrid.training.run import prepare_environment
from measurements.clock import name_of
from measurements.measure import machine
from measurements.reviews import write_reviews
from methods.registry import training_methods
from tasks.registry import kind_of
from workflow.pipeline import Pipeline
from workflow.surroundings import shut_out_working_folder

TEMPLATE = Path(__file__).with_suffix(".yaml")
ROWS, VOCABULARY = 160, 2000
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
PREPARED = Path("results") / "prepared"
WITHIN = {"fp32": 1e-3, "bf16": 5e-2}
"""How far the loss of a step may be from that of the CPU in fp32: bf16 tells 1 from 1.008."""
MEMORY_WITHIN = 0.02
INTERRUPTED_AT = 5
NOTES = f"""
- fp32, bf16: the largest distance of a step's loss from the CPU's in fp32, over all steps, without
  dropout; allowed {WITHIN["fp32"]:g} and {WITHIN["bf16"]:g}.
- goes on: whether a run with dropout that is interrupted before step {INTERRUPTED_AT}, and goes on
  from its checkpoint, has the losses and predictions of one that is not, bit for bit.
- memory: the predicted peak of a step over the measured one, less 1.
- A BERT of two blocks of width 256, batches of 16 texts in micro-batches of 8, two epochs.
"""


@dataclass(frozen=True)
class Checked:
    """What was found of a method; what is missing could not be found, and the reason says why."""

    method: str
    seconds: float
    distances: Mapping[str, float]
    """Type of computation -> the largest distance of a loss from the CPU's."""
    goes_on: bool | None
    memory: float | None
    reason: str = ""

    @property
    def fails(self) -> bool:
        """Whether the method does not do what it should; a step that no trace follows is none."""
        far = any(not found <= WITHIN[dtype] for dtype, found in self.distances.items())
        off = self.memory is not None and abs(self.memory) > MEMORY_WITHIN
        return far or off or not self.goes_on or len(self.distances) < len(WITHIN)

    def row(self) -> str:
        """A row of the table."""
        losses = [f"{self.distances[one]:.1e}" if one in self.distances else "-" for one in WITHIN]
        memory = "-" if self.memory is None else f"{100 * self.memory:+.2f} %"
        goes_on = {None: "-", True: "yes", False: "no"}[self.goes_on]
        cells = [self.method, *losses, goes_on, memory, f"{self.seconds:.1f} s", self.reason]
        return f"| {' | '.join(cells)} |"


@dataclass(frozen=True)
class Checks:
    """The checks of one method, each a run of its own."""

    spec: Specification
    device: str

    def found(self) -> Checked:
        """All of them; an error ends them, and is the reason."""
        start, distances, memory, reason = time.perf_counter(), dict[str, float](), None, ""
        goes_on = None
        try:
            expected, _ = self._trained(device="cpu")
            for dtype in WITHIN:
                losses, error = self._trained(device=self.device, dtype=dtype)
                distances[dtype] = max(abs(a - b) for a, b in zip(losses, expected, strict=True))
                memory = error if memory is None else memory
            goes_on = self._goes_on()
        except Exception as error:  # whatever the run would end with
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
        seconds = time.perf_counter() - start
        return Checked(self.spec.variant.name, seconds, distances, goes_on, memory, reason)

    def _trained(self, **changes: Any) -> tuple[list[float], float | None]:
        """The losses of the steps, and how far the predicted memory is off, if it is predicted."""
        events: list[dict[str, Any]] = []
        spec = self._changed(dropout=0.0, **changes)
        make_deterministic(threads=1, device=spec.training.device)
        folder = _folder(spec, Path("results"))
        folder.mkdir(parents=True, exist_ok=True)
        error = None
        for part in stages(Run(spec, PREPARED, folder, events.append)):
            if memory := part.get("memory"):
                predicted = memory.predicted_peak_bytes
                error = predicted and predicted / memory.peak_training_bytes - 1
                break
        return [event["loss"] for event in events if "loss" in event], error

    def _goes_on(self) -> bool:
        """Whether an interrupted run ends in the bits of one that is not."""
        spec = self._changed(device=self.device, role="trial")
        whole, other = Path("whole"), Path("interrupted")
        codes = [_made(spec, whole), _made(spec, other, INTERRUPTED_AT), _made(spec, other)]
        if codes != [0, EXIT_TRY_AGAIN, 0]:
            raise RuntimeError(f"runs ended with {codes}")
        return _outcome(spec, whole) == _outcome(spec, other)

    def _changed(self, role: str = "run", **training: Any) -> Specification:
        plain = self.spec.model_dump(mode="json")
        return Specification.model_validate_json(
            json.dumps(plain | {"role": role, "training": plain["training"] | training})
        )


def _folder(spec: Specification, results: Path) -> Path:
    return results / "runs" / spec.run


def _made(spec: Specification, results: Path, interrupted_at: int | None = None) -> int:
    """The exit code of the run, which is asked to end in the middle of that step."""
    plain, calls, file = Trainer.step, count(1), Path("specification.json")

    def step(self: Trainer, number: int, batch: list[int]) -> None:
        if next(calls) == interrupted_at:
            os.kill(os.getpid(), signal.SIGTERM)
        plain(self, number, batch)

    spec.write(file)
    folders = ["--results", str(results), "--prepared", str(PREPARED)]
    with mock.patch.object(Trainer, "step", step):
        return make_run(["--spec", str(file), *folders])


def _outcome(spec: Specification, results: Path) -> tuple[list[Any], bytes]:
    """The losses of the steps, and the predictions."""
    folder = _folder(spec, results)
    lines = (folder / HISTORY_FILE).read_text(encoding="utf-8").splitlines()
    losses = [event["loss"] for event in map(json.loads, lines) if "loss" in event]
    return losses, (folder / PREDICTIONS_FILE).read_bytes()


def benchmark(methods: Sequence[str]) -> dict[str, Any]:
    """These methods on the same texts, with the settings of the file or else their defaults."""
    content: dict[str, Any] = yaml.safe_load(TEMPLATE.read_text(encoding="utf-8"))
    (grid,) = content["grids"]
    known = grid["variants"]
    names = {name: name.replace(":", "-") for name in methods}
    grid["variants"] = {new: known.get(new, {"method": name}) for name, new in names.items()}
    return content


def write_tokens(folder: Path, texts: Sequence[str]) -> None:
    """A tokenizer of the most frequent words of the texts."""
    folder.mkdir()
    tokenizer = Tokenizer(WordLevel(unk_token=SPECIAL[1]))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    trainer = trainers.WordLevelTrainer(vocab_size=VOCABULARY, special_tokens=list(SPECIAL))
    tokenizer.train_from_iterator(texts, trainer)
    places = [(token, tokenizer.token_to_id(token)) for token in SPECIAL[2:]]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=places
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    names = ("pad_token", "unk_token", "cls_token", "sep_token")
    options = {"tokenizer_class": "PreTrainedTokenizerFast"} | dict(
        zip(names, SPECIAL, strict=True)
    )
    (folder / "tokenizer_config.json").write_text(json.dumps(options))


def planned(methods: Sequence[str]) -> list[Specification]:
    """The runs of the methods, in a folder in which all that they need is prepared."""
    write_reviews(Path("reviews.csv"), ROWS)
    write_tokens(Path("tokens"), Path("reviews.csv").read_text(encoding="utf-8").splitlines())
    Path("device.yaml").write_text(json.dumps(benchmark(methods)), encoding="utf-8")
    plan = Pipeline.plan_from({"benchmark": "device.yaml"}).plan
    for cell in plan.cells:
        if cell.not_applicable:
            sys.stderr.write(f"{cell.variant}: not applicable: {cell.not_applicable}\n")
    specs = list(plan.runs.values())
    _prepare(specs[0])
    return specs


def _prepare(spec: Specification) -> None:
    """What Snakemake's rules prepare, in this process: of all runs the same."""
    tasks, key, kind = PREPARED / "tasks", model_key(spec.model), kind_of(spec.task)
    prepare_task(spec.task, tasks / spec.task.key, Path("downloads"))
    loaders = [kind.loader] if kind.loader else []
    prepare_model(spec.model, PREPARED / "models" / key, tasks, Path("downloads"), loaders)
    encoding = encoding_of(kind, spec.task, spec.model, spec.training.max_length)
    encode_task(encoding, encoded_folder(PREPARED, encoding), PREPARED, key)


def document(device: str, found: Sequence[Checked], asked: int, minutes: float) -> Iterator[str]:
    """The table, and how it was made, as Markdown."""
    failed = sum(one.fails for one in found)
    left = f", and {asked - len(found)} were not reached" if asked > len(found) else ""
    yield f"# Every method on {device}"
    yield ""
    yield (
        f"Made by `python -m measurements.device --device {device}` on "
        f"{datetime.now(UTC):%Y-%m-%d} in {minutes:.1f} min; {failed} of {len(found)} methods fail "
        f"a check{left}. {machine(('torch', 'transformers', 'peft'))}{name_of(device)}."
    )
    yield from ("", "| method | fp32 | bf16 | goes on | memory | | reason |")
    yield from ("|---|---:|---:|---|---:|---:|---|", *(one.row() for one in found), NOTES)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m measurements.device", description=__doc__)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda")
    methods = training_methods()
    parser.add_argument("--methods", nargs="+", choices=methods, default=methods)
    parser.add_argument("--output", type=Path, help="the table, Markdown")
    options = parser.parse_args(arguments)
    if options.device == "cuda" and not torch.cuda.is_available():
        sys.stderr.write("no CUDA device is here: nothing is measured\n")
        return os.EX_UNAVAILABLE
    table = options.output or Path(__file__).with_name(f"device-{options.device}.md")
    os.environ["WANDB_MODE"] = "disabled"
    shut_out_working_folder()
    prepare_environment(threads=1)
    start, found, table = time.perf_counter(), [], table.absolute()
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        specs = planned(options.methods)
        for spec in specs:
            found.append(Checks(spec, options.device).found())
            sys.stderr.write(f"{found[-1].row()}\n")
            minutes = (time.perf_counter() - start) / 60
            lines = document(options.device, found, len(specs), minutes)
            write_text(table, "\n".join(lines))  # what was found stays when the time is over
    return int(any(one.fails for one in found))


if __name__ == "__main__":
    sys.exit(main())
