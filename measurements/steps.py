"""What a training step of each method takes, against its bound and against peft's same method.

python -m measurements.steps [--minutes 4] [--dtypes fp32 bf16] [--cases "LoRA 8, all" ...]
                             [--device cpu|cuda] [--batch 16] [--tokens 32] [--output FILE.md]
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any

import torch
import yaml
from torch import nn
from torch.nn import functional
from transformers import BertConfig, BertForSequenceClassification

from finegrid.models.head import head_parameters
from finegrid.models.seeds import make_deterministic
from finegrid.records.training import Training
from finegrid.training.optimization import make_optimizer
from measurements.clock import SECONDS, Page, Setting, add_setting, dtypes, spread
from methods.contract import Method
from methods.registry import METHODS

TABLE = Path(__file__).with_suffix(".md")
METHODS_FILE = Path(__file__).with_suffix(".yaml")
PACKAGES = ("torch", "transformers", "peft")
BATCH, TOKENS = 16, 32
FEWEST = 3
"""Repeats, whatever the minutes are."""
NOTES = """
- A step: forward and backward pass, clipping of the gradient, fused AdamW; of a model in the
  shape of MiniLM-L6, drawn anew, with its dropout, on a batch of {batch} texts of {tokens} tokens.
- bound: what the step cannot do without. Where the base is frozen that is the forward pass and the
  backward pass to the inputs; of the head alone, the forward pass; of full fine-tuning, the
  backward pass to all weights as well.
- of the bound, of peft: the median of the ratios side by side, with the quartiles. peft's method
  has the same settings, in the same loop; where there is none, nothing is said.
- {seconds}. Steps are taken in turns; those that a ratio compares are taken one after the other.
"""
FROZEN_START = "bert.embeddings"
"""The module below which no method's backward pass has to go, unless it trains the base."""


@dataclass(frozen=True)
class Chosen:
    """A method with settings."""

    method: str
    settings: dict[str, Any] = field(default_factory=dict)

    def build(self) -> Method:
        """The method itself."""
        return METHODS.build(self.method, self.settings)

    def applied(self) -> nn.Module:
        """A model with the method, as a run applies it."""
        model = base()
        self.build().apply(model, torch.Generator().manual_seed(0))
        return model


@dataclass(frozen=True)
class Case:
    """A method of ours, and peft's same method where there is one."""

    label: str
    ours: Chosen
    peft: Chosen | None = None

    def bound(self) -> nn.Module:
        """A model whose backward pass goes as far as that of the method must, and no further."""
        method = self.ours.build()
        trains_body = method.body_parameters(base()) > 0
        return bound(trains_base=method.trains_base, trains_body=trains_body)


@cache
def bound(*, trains_base: bool, trains_body: bool) -> nn.Module:
    """The model that trains its head; the gradient of a body reaches the weights, or the inputs."""
    model = base().requires_grad_(requires_grad=trains_base)
    for parameter in head_parameters(model):
        parameter.requires_grad_()
    if trains_body and not trains_base:
        model.get_submodule(FROZEN_START).register_forward_hook(_require_gradient)
    return model


def _require_gradient(module: nn.Module, inputs: Any, output: torch.Tensor) -> torch.Tensor:
    return output.requires_grad_()


def base() -> nn.Module:
    """A model of MiniLM-L6's shape, the same at every call."""
    torch.manual_seed(0)
    config = BertConfig(
        hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536
    )
    model: nn.Module = BertForSequenceClassification(config)
    return model


def read_cases() -> list[Case]:
    """Those of the file beside this module."""
    cases = []
    for entry in yaml.safe_load(METHODS_FILE.read_text(encoding="utf-8")):
        peft = entry.pop("peft", None)
        label = entry.pop("label")
        cases.append(Case(label, Chosen(**entry), Chosen(**peft) if peft else None))
    return cases


class Step:
    """Passes over one batch, and with an optimizer what a step does with the gradient."""

    def __init__(self, model: nn.Module, setting: Setting, *, trains: bool) -> None:
        draw = torch.Generator().manual_seed(1)
        self.setting, self.inputs = setting, setting.inputs()
        self.labels = torch.randint(2, (setting.batch,), generator=draw).to(setting.device)
        self.model = model.to(setting.device).train()
        self.trained = [p for p in model.parameters() if p.requires_grad]
        training = Training(learning_rate=1e-4, epochs=1, batch_size=setting.batch)
        self.optimizer = make_optimizer(model, training) if trains else None

    def take(self) -> float:
        """One step; its seconds."""
        start = self.setting.now()
        with self.setting.autocast():
            logits = self.model(**self.inputs).logits
        functional.cross_entropy(logits.float(), self.labels).backward()  # type: ignore[no-untyped-call]
        if self.optimizer:
            nn.utils.clip_grad_norm_(self.trained, 1.0)
            self.optimizer.step()
        self.model.zero_grad(set_to_none=True)
        return self.setting.now() - start


@dataclass
class Turns:
    """The seconds of a method, of its bound, and of peft's method, repeat by repeat."""

    case: Case
    steps: list[Step]
    seconds: list[list[float]] = field(default_factory=list)

    @classmethod
    def of(cls, case: Case, setting: Setting) -> Turns:
        """Nothing measured yet: the first step of each makes what later ones reuse."""
        steps = [
            Step(case.ours.applied(), setting, trains=True),
            Step(case.bound(), setting, trains=False),
        ]
        if case.peft:
            steps.append(Step(case.peft.applied(), setting, trains=True))
        for step in steps:
            step.take()
        return cls(case, steps)

    def repeat(self) -> None:
        """A step of each, every other time in the opposite order."""
        order = [*enumerate(self.steps)][:: -1 if len(self.seconds) % 2 else 1]
        taken = {number: step.take() for number, step in order}
        self.seconds.append([taken[number] for number in sorted(taken)])

    def row(self) -> str:
        """Label, seconds, and the ratios with their quartiles."""
        own = median(seconds[0] for seconds in self.seconds)
        ratios = [self._ratio(number) for number in range(1, len(self.steps))]
        cells = [self.case.label, f"{own * 1e3:.{0 if own > 0.1 else 1}f} ms", *ratios]
        return f"| {' | '.join([*cells, '-'][:4])} |"

    def _ratio(self, number: int) -> str:
        return spread([seconds[0] / seconds[number] for seconds in self.seconds])


def measured(cases: Sequence[Case], setting: Setting, minutes: float) -> list[Turns]:
    """All cases in turns, for that long, but a few times at least."""
    end = time.monotonic() + 60 * minutes
    turns = [Turns.of(case, setting) for case in cases]
    while len(turns[0].seconds) < FEWEST or time.monotonic() < end:
        for one in turns:
            one.repeat()
        sys.stderr.write(f"{setting.dtype}: {len(turns[0].seconds)} repeats\n")
    return turns


def section(dtype: str, turns: Sequence[Turns]) -> Iterator[str]:
    """The table of one type of computation."""
    yield from ("", f"## {dtype}, {len(turns[0].seconds)} repeats", "")
    yield from ("| method | step | of the bound | of peft |", "|---|---:|---:|---:|")
    yield from (one.row() for one in turns)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m measurements.steps", description=__doc__)
    parser.add_argument("--minutes", type=float, default=4.0, help="for each type of computation")
    parser.add_argument("--batch", type=int, default=BATCH, help="texts of a batch")
    parser.add_argument("--tokens", type=int, default=TOKENS, help="tokens of each text")
    add_setting(parser)
    known = read_cases()
    labels = [case.label for case in known]
    parser.add_argument("--cases", nargs="+", choices=labels, default=labels, metavar="LABEL")
    parser.add_argument("--output", type=Path, default=TABLE, help="the table, Markdown")
    options = parser.parse_args(arguments)
    make_deterministic(threads=1, device=options.device)
    page = Page("A training step, by method", "steps", options.device)
    for dtype in options.dtypes or dtypes(options.device):
        cases = [case for case in known if case.label in options.cases]
        setting = Setting(dtype, options.device, options.batch, options.tokens)
        page.add(section(dtype, measured(cases, setting, options.minutes)))
        sys.stderr.write("\n".join(page.lines) + "\n")
    notes = NOTES.format(
        batch=options.batch, tokens=options.tokens, seconds=SECONDS[options.device]
    )
    page.write(options.output, notes, PACKAGES)


if __name__ == "__main__":
    main()
