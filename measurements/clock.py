"""What measurements of steps and passes have in common: their setting, its clock, their page."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import quantiles

import torch

from finegrid.records.write import write_text
from measurements.measure import machine

SECONDS = {
    "cpu": "Seconds are processor seconds of one process with one thread, which other processes "
    "change less than they do the time on the clock",
    "cuda": "Seconds are those on the clock, until the device has done all that it was asked",
}


@dataclass(frozen=True)
class Setting:
    """Where batches of which shape are computed, in which type."""

    dtype: str
    device: str
    batch: int
    tokens: int

    def now(self) -> float:
        """The time of its clock, in seconds."""
        if self.device == "cpu":
            return time.process_time()
        torch.cuda.synchronize()
        return time.perf_counter()

    def autocast(self) -> torch.autocast:
        """What computes in its type."""
        return torch.autocast(self.device, torch.bfloat16, enabled=self.dtype == "bf16")

    def inputs(self) -> dict[str, torch.Tensor]:
        """Tokens and their mask, each (batch, tokens), the same at every call."""
        draw = torch.Generator().manual_seed(0)
        ids = torch.randint(1000, 30000, (self.batch, self.tokens), generator=draw)
        found = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        return {name: tensor.to(self.device) for name, tensor in found.items()}


@dataclass
class Page:
    """A document of tables: what made it, on what machine, beside how much other work."""

    title: str
    module: str
    device: str
    lines: list[str] = field(default_factory=list)
    loads: list[float] = field(default_factory=lambda: [os.getloadavg()[0]])

    def add(self, lines: Iterable[str]) -> None:
        """Add a table, when it is measured."""
        self.lines += lines
        self.loads.append(os.getloadavg()[0])

    def write(self, path: Path, notes: str, packages: Sequence[str]) -> None:
        """Write it with its notes, and the versions of these packages."""
        heading = [
            f"# {self.title}",
            "",
            f"Made by `python -m measurements.{self.module}` on {datetime.now(UTC):%Y-%m-%d}.",
            f"{machine(packages)}{name_of(self.device)}.",
        ]
        load = f"{min(self.loads):.1f} to {max(self.loads):.1f}"
        loads = f"- Load of the machine: {load}; alone, a process makes 1."
        write_text(path, "\n".join([*heading, *self.lines, notes + loads, ""]))


def dtypes(device: str) -> list[str]:
    """What the device has instructions for: bf16 without them takes minutes a row."""
    if device == "cpu":
        has_bf16 = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    else:
        has_bf16 = torch.cuda.is_bf16_supported()
    return ["fp32", "bf16"] if has_bf16 else ["fp32"]


def add_setting(parser: argparse.ArgumentParser) -> None:
    """The options of the command line that a setting is made of, but for its batches."""
    parser.add_argument("--dtypes", nargs="+", choices=("fp32", "bf16"), help="all if unset")
    parser.add_argument("--device", choices=tuple(SECONDS), default="cpu")


def name_of(device: str) -> str:
    """The accelerator, to stand behind the machine's name."""
    return "" if device == "cpu" else f", {torch.cuda.get_device_name()}"


def spread(ratios: Sequence[float]) -> str:
    """The median of ratios and their quartiles, as a table shows them."""
    low, middle, high = quantiles(ratios, n=4)
    return f"{middle:.3f} ({low:.3f} to {high:.3f})"
