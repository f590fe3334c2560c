"""What several runs packed into one batched step could save at most, at small batches.

python -m measurements.packing [--minutes 2] [--dtypes fp32 bf16] [--device cpu|cuda]
                               [--tokens 32] [--output FILE.md]
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median

from finegrid.models.seeds import make_deterministic
from measurements.clock import SECONDS, Page, Setting, add_setting, dtypes, spread
from measurements.steps import FEWEST, PACKAGES, TOKENS, Step, read_cases

TABLE = Path(__file__).with_suffix(".md")
BATCHES = (1, 2, 4, 8, 16)
RUNS = (2, 4, 8)
CASE = "LoRA 8, q and v"
"""Of the file of methods."""
NOTES = """
- A step: of `python -m measurements.steps`, {case}, on texts of {tokens} tokens.
- packed: one step on the batches of all runs together to as many steps one after the other: the
  median of the ratios side by side, with the quartiles. Runs that are really packed have factors,
  gradients and an optimizer each, and wait for the longest text among them: they save no more.
- {seconds}. Steps that a ratio compares are taken one after the other.
"""


class Turns:
    """Steps on one batch of each size, in turns."""

    def __init__(self, setting: Setting, batches: Sequence[int]) -> None:
        sizes = sorted({batch * runs for batch in batches for runs in (1, *RUNS)})
        self.batches = batches
        (case,) = (one for one in read_cases() if one.label == CASE)
        model = case.ours.applied()
        self.steps = {
            size: Step(
                model, Setting(setting.dtype, setting.device, size, setting.tokens), trains=True
            )
            for size in sizes
        }
        for step in self.steps.values():
            step.take()
        self.seconds: list[dict[int, float]] = []

    def repeat(self) -> None:
        """A step of each size, every other time in the opposite order."""
        sizes = list(self.steps)[:: -1 if len(self.seconds) % 2 else 1]
        self.seconds.append({size: self.steps[size].take() for size in sizes})

    def row(self, batch: int) -> str:
        """The batch, the seconds of its step, and what packing could make of several."""
        own = median(one[batch] for one in self.seconds)
        ratios = (
            spread([one[runs * batch] / (runs * one[batch]) for one in self.seconds])
            for runs in RUNS
        )
        return f"| {' | '.join([str(batch), f'{own * 1e3:.1f} ms', *ratios])} |"


def measured(setting: Setting, batches: Sequence[int], minutes: float) -> Turns:
    """All sizes in turns, for that long, but a few times at least."""
    end, turns = time.monotonic() + 60 * minutes, Turns(setting, batches)
    while len(turns.seconds) < FEWEST or time.monotonic() < end:
        turns.repeat()
        sys.stderr.write(f"{setting.dtype}: {len(turns.seconds)} repeats\n")
    return turns


def section(dtype: str, turns: Turns) -> Iterator[str]:
    """The table of one type of computation."""
    yield from ("", f"## {dtype}, {len(turns.seconds)} repeats", "")
    yield f"| batch | step | {' | '.join(f'{runs} runs packed' for runs in RUNS)} |"
    yield f"|---:|---:|{'---:|' * len(RUNS)}"
    yield from map(turns.row, turns.batches)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m measurements.packing", description=__doc__)
    parser.add_argument("--minutes", type=float, default=2.0, help="for each type of computation")
    parser.add_argument("--tokens", type=int, default=TOKENS, help="tokens of each text")
    parser.add_argument("--batches", nargs="+", type=int, default=list(BATCHES), help="texts")
    add_setting(parser)
    parser.add_argument("--output", type=Path, default=TABLE, help="the table, Markdown")
    options = parser.parse_args(arguments)
    make_deterministic(threads=1, device=options.device)
    page = Page("Runs packed into one step", "packing", options.device)
    for dtype in options.dtypes or dtypes(options.device):
        setting = Setting(dtype, options.device, 1, options.tokens)
        page.add(section(dtype, measured(setting, options.batches, options.minutes)))
    page.write(
        options.output,
        NOTES.format(case=CASE, tokens=options.tokens, seconds=SECONDS[options.device]),
        PACKAGES,
    )


if __name__ == "__main__":
    main()
