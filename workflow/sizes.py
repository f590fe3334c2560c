"""How much the prepared tasks of a plan hold. Loads no torch."""

from __future__ import annotations

import errno
from pathlib import Path

from finegrid.planning.estimate import Data, read_data
from finegrid.records.prepared import MANIFEST_FILE


class Sizes:
    """The sizes of the tasks in a folder of what is prepared, each read once."""

    def __init__(self, prepared: str) -> None:
        self._prepared = prepared
        self._known: dict[str, Data] = {}

    def of(self, key: str) -> Data:
        """The size of a task. Raises FileNotFoundError before it is prepared."""
        manifest = Path(self._prepared, "tasks", key, MANIFEST_FILE)
        if not manifest.exists():
            text = "the task is not prepared yet"
            raise FileNotFoundError(errno.ENOENT, text, str(manifest))
        if key not in self._known:
            self._known[key] = read_data(manifest)
        return self._known[key]

    def known(self, key: str) -> Data | None:
        """The size of a task; None before it is prepared."""
        try:
            return self.of(key)
        except FileNotFoundError:
            return None
