"""The user's home, below which libraries keep what they need: to be there before a run is."""

import os
from pathlib import Path

HUGGING_FACE = ("HF_HOME", "XDG_CACHE_HOME")
"""Variables by which a user keeps the caches of metrics and models elsewhere."""
SNAKEMAKE = ("XDG_CACHE_HOME",)


def home_problem(elsewhere: tuple[str, ...]) -> str | None:
    """Why libraries cannot keep their caches, and what to set; None if they can.

    `elsewhere` are the variables that name another place for them. Containers run under users whom
    the system does not know, or whose home they cannot write.
    """
    remedy = "set HOME to a folder that can be written, such as HOME=/tmp/home"
    try:
        home = Path.home()
        cache = next((Path(os.environ[name]) for name in elsewhere if os.environ.get(name)), None)
        cache = cache or home / ".cache"
        cache.mkdir(parents=True, exist_ok=True)
    except RuntimeError:
        return f"HOME is not set, and user {os.getuid()} has no home on this machine; {remedy}"
    except OSError as error:
        return f"HOME: {error.filename} cannot be made: {error.strerror}; {remedy}"
    return None if os.access(cache, os.W_OK) else f"HOME: {cache} cannot be written; {remedy}"
