"""What the processes that finegrid starts find around them: not the working folder, and a user."""

import getpass
import os
from pathlib import Path

ROOT = Path(__file__).parent.parent


def shut_out_working_folder() -> None:
    """Have every later child process import finegrid from its own folder.

    `python -m` would search the working folder first, and run a `json.py` that lies there. An
    empty entry of PYTHONPATH stands for the same folder.
    """
    given = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    paths = dict.fromkeys([str(ROOT), *filter(None, given)])
    os.environ["PYTHONPATH"] = os.pathsep.join(paths)
    os.environ["PYTHONSAFEPATH"] = "1"


def name_user() -> None:
    """Give a user that the system does not know a name, which Snakemake asks for.

    Containers run under numbers that stand in no list of users.
    """
    try:
        getpass.getuser()
    except (KeyError, OSError):
        os.environ["LOGNAME"] = f"user-{os.getuid()}"
