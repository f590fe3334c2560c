"""What a trained model of each method takes to answer, merged and not, beside the plain base.

python -m measurements.inference [--minutes 2] [--batches 1 32] [--dtypes fp32 bf16]
                                 [--cases "LoRA 8, all" ...] [--device cpu|cuda] [--output FILE.md]
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from statistics import median

import torch
from torch import nn

from finegrid.models.seeds import make_deterministic
from measurements.clock import SECONDS, Page, Setting, add_setting, dtypes, spread
from measurements.steps import FEWEST, PACKAGES, Case, base, read_cases

TABLE = Path(__file__).with_suffix(".md")
BATCHES, TOKENS = (1, 32), 64
NOTES = """
- A forward pass without gradients of a model in the shape of MiniLM-L6 on texts of {tokens}
  tokens, with the method as training leaves it, what only training needs dropped.
- of the base, merged of the base: the median of the ratios side by side to the plain base model,
  with the quartiles; merged where the method can be folded into the base's weights.
- {seconds}. Passes are taken in turns; those that a ratio compares are taken one after the other.
"""


class Pass:
    """A model, and a batch that it answers."""

    def __init__(self, model: nn.Module, setting: Setting) -> None:
        self.model, self.setting = model.to(setting.device).eval(), setting
        self.inputs = setting.inputs()

    @torch.no_grad()
    def take(self) -> float:
        """One pass; its seconds."""
        start = self.setting.now()
        with self.setting.autocast():
            self.model(**self.inputs)
        return self.setting.now() - start


@dataclass
class Turns:
    """The seconds of a method, of the base, and of the merged method, repeat by repeat."""

    case: Case
    passes: list[Pass]
    seconds: list[list[float]] = field(default_factory=list)

    @classmethod
    def of(cls, case: Case, plain: Pass) -> Turns:
        """Nothing measured yet: the first pass of each makes what later ones reuse."""
        method = case.ours.build()
        models = [case.ours.applied() for _ in range(2 if method.mergeable else 1)]
        for model in models:
            method.finish(model)
        for model in models[1:]:
            method.merge(model)
        own, *merged = (Pass(model, plain.setting) for model in models)
        passes = [own, plain, *merged]
        for one in passes:
            one.take()
        return cls(case, passes)

    def repeat(self) -> None:
        """A pass of each, every other time in the opposite order."""
        order = [*enumerate(self.passes)][:: -1 if len(self.seconds) % 2 else 1]
        taken = {number: one.take() for number, one in order}
        self.seconds.append([taken[number] for number in sorted(taken)])

    def row(self) -> str:
        """Label, seconds, and the ratios with their quartiles."""
        own = median(seconds[0] for seconds in self.seconds)
        ratio = spread([one / plain for one, plain, *_ in self.seconds])
        merged = [seconds[2] / seconds[1] for seconds in self.seconds if len(seconds) > 2]
        cells = [self.case.label, f"{own * 1e3:.1f} ms", ratio, spread(merged) if merged else "-"]
        return f"| {' | '.join(cells)} |"


def measured(cases: Sequence[Case], setting: Setting, minutes: float) -> list[Turns]:
    """All cases in turns, for that long, but a few times at least."""
    end, plain = time.monotonic() + 60 * minutes, Pass(base(), setting)
    turns = [Turns.of(case, plain) for case in cases]
    while len(turns[0].seconds) < FEWEST or time.monotonic() < end:
        for one in turns:
            one.repeat()
    sys.stderr.write(f"{setting}: {len(turns[0].seconds)} repeats\n")
    return turns


def section(setting: Setting, turns: Sequence[Turns]) -> Iterator[str]:
    """The table of one type of computation and one size of batches."""
    title = f"{setting.dtype}, batch {setting.batch}, {len(turns[0].seconds)} repeats"
    yield from ("", f"## {title}", "", "| method | pass | of the base | merged of the base |")
    yield from ("|---|---:|---:|---:|", *(one.row() for one in turns))


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m measurements.inference", description=__doc__)
    parser.add_argument("--minutes", type=float, default=2.0, help="for each type and batch")
    parser.add_argument("--batches", nargs="+", type=int, default=list(BATCHES), help="texts")
    known = read_cases()
    labels = [case.label for case in known]
    parser.add_argument("--cases", nargs="+", choices=labels, default=labels, metavar="LABEL")
    parser.add_argument("--output", type=Path, default=TABLE, help="the table, Markdown")
    add_setting(parser)
    options = parser.parse_args(arguments)
    make_deterministic(threads=1, device=options.device)
    cases = [case for case in known if case.label in options.cases]
    page = Page("A forward pass, by method", "inference", options.device)
    for dtype, batch in product(options.dtypes or dtypes(options.device), options.batches):
        setting = Setting(dtype, options.device, batch, TOKENS)
        page.add(section(setting, measured(cases, setting, options.minutes)))
    page.write(
        options.output, NOTES.format(tokens=TOKENS, seconds=SECONDS[options.device]), PACKAGES
    )


if __name__ == "__main__":
    main()
