"""The mirror of a run in Weights & Biases. Whatever happens to it, the run goes on."""

import logging
import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from finegrid.records.identity import content_hash, short_hash
from finegrid.records.result import Result, Tracking
from finegrid.records.specification import Specification
from finegrid.training.processes.exits import EXIT_TRY_AGAIN

PROJECT = "finegrid"
_LOGGER = logging.getLogger(__name__)
_MODES = {name: name for name in ("offline", "online", "disabled")}
_OLDER_WORDS = {"dryrun": "offline", "run": "online"}
_NOT_DISABLED = ("", "0", "false", "f", "no", "n", "off")
_INIT_TIMEOUT_SECONDS = 30
_TAG_LENGTH = 64
"""Of W&B's limits the one that names here can reach: a run's name may have 128 characters there."""


class ModeError(ValueError):
    """WANDB_MODE holds a word that W&B does not know."""


def mirror_mode() -> str:
    """How runs are mirrored, as the variables of W&B say; offline where they say nothing.

    `WANDB_MODE` knows W&B's older words too, and `WANDB_DISABLED` decides over it. Raises
    ModeError.
    """
    if os.environ.get("WANDB_DISABLED", "").lower() not in _NOT_DISABLED:
        return "disabled"
    word, known = os.environ.get("WANDB_MODE") or "offline", _MODES | _OLDER_WORDS
    if word not in known:
        raise ModeError(f"WANDB_MODE: {word!r} is not allowed; allowed: {', '.join(known)}")
    return known[word]


def tag(name: str) -> str:
    """A name as a tag, cut to the length that W&B allows, with the beginning of its hash."""
    return name if len(name) <= _TAG_LENGTH else f"{name[: _TAG_LENGTH - 9]}-{short_hash(name)}"


def tracking_id(spec: Specification) -> str:
    """The W&B run id: a retry of the same run continues the same mirror."""
    return content_hash(spec)[:16]


class Tracker:
    """Logs to Weights & Biases in `mirror_mode`.

    The first failure is kept as `warning`; nothing is sent after it. Raises ModeError.
    """

    def __init__(self, spec: Specification, folder: Path, effective: Specification) -> None:
        """Mirror the run `spec`, which trains as `effective` says once its tuning has chosen."""
        self.mode = mirror_mode()
        self.id = tracking_id(spec)
        self.warning: str | None = None
        self._run: Any = None
        if self.mode != "disabled":
            self._guard(lambda: self._start(spec, folder, effective))

    def log(self, event: dict[str, Any]) -> None:
        """Mirror one line of the history; its `step` becomes the x axis."""
        values = {f"validation/{k}": v for k, v in event.get("validation", {}).items()}
        values |= {f"train/{k}": v for k, v in event.items() if k not in ("step", "validation")}
        if self._run is not None:
            self._guard(lambda: self._run.log(values | {"step": event["step"]}))

    def replay(self, events: Iterable[dict[str, Any]]) -> None:
        """Mirror what an earlier attempt logged, where its mirror is gone.

        An offline one is replaced by this one; a server has those events and continues the run.
        """
        if self.mode == "offline":
            for event in events:
                self.log(event)

    def abandon(self) -> None:
        """Close the mirror of an attempt that ends before its run does."""
        if self._run is not None:
            self._guard(lambda: self._run.finish(exit_code=EXIT_TRY_AGAIN))

    def finish(self, result: Result) -> None:
        """Write the summary and close the mirror."""
        if self._run is not None:
            self._guard(lambda: self._close(result))

    def record(self) -> Tracking:
        """What the result says of the mirror."""
        return Tracking(run_id=self.id, mode=self.mode, warning=self.warning)

    def _start(self, spec: Specification, folder: Path, effective: Specification) -> None:
        import wandb

        for earlier in folder.glob(f"wandb/offline-run-*-{self.id}"):
            shutil.rmtree(earlier)
        settings = wandb.Settings(
            x_disable_stats=True,
            x_disable_meta=True,
            x_disable_machine_info=True,
            x_save_requirements=False,  # reads what is installed; the record holds the versions
            disable_git=True,
            disable_code=True,
            console="off",
            silent=True,
            init_timeout=_INIT_TIMEOUT_SECONDS,
        )
        self._run = wandb.init(
            project=PROJECT,
            dir=folder,
            id=self.id,
            name=spec.run,
            group=spec.cell,
            job_type=spec.role,
            tags=[tag(name) for name in (spec.task.name, spec.model.name, spec.variant.method)],
            config=effective.model_dump(mode="json"),
            mode=self.mode,  # type: ignore[arg-type]  # checked against _MODES
            resume="allow",
            settings=settings,
        )
        self._run.define_metric("*", step_metric="step")

    def _close(self, result: Result) -> None:
        kept = {"state", "metrics", "parameters", "memory", "time", "inference", "gradients"}
        summary = result.model_dump(mode="json", include=kept, exclude_none=True)
        self._run.summary.update(summary)
        self._run.finish(exit_code=0 if result.state == "ok" else 1)

    def _guard(self, action: Callable[[], None]) -> None:
        try:
            action()
        except Exception as error:  # the tracker is a mirror: no failure of it may cost a run
            self._run = None
            self._warn(f"{type(error).__name__}: {error}")

    def _warn(self, message: str) -> None:
        self.warning = message
        _LOGGER.warning("no mirror in Weights & Biases: %s", message)
