"""What a plan holds, by its key."""

from typing import TypeVar

T = TypeVar("T")


class Planned(dict[str, T]):
    """What a plan holds by its key. A job that was submitted by another plan ends with a reason."""

    def __missing__(self, key: str) -> T:
        raise LookupError(
            f"{key} is not of this plan: the benchmark or one of its local sources has changed "
            "since this job was planned; allowed: to give the command again"
        )
