"""A program that is forked runs as a fresh interpreter runs it, and ends as that does."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.warm.start import REAL, warm_python

PROGRAM = """
import json, os, signal, sys

told = [sys.argv[1:], os.getcwd(), os.environ["WORD"], sys.stdin.read(), __name__]
print(json.dumps(told), flush=True)
print("aside", file=sys.stderr)
ending = sys.argv[1]
if ending == "killed":
    os.kill(os.getpid(), signal.SIGTERM)
if ending == "raises":
    raise ValueError("no luck")
sys.exit(None if ending == "ends" else int(ending) if ending.isdigit() else ending)
"""


def ended(folder: Path, ending: str, *python: str) -> subprocess.CompletedProcess[str]:
    """The program in a folder, after it has ended that way."""
    (folder / "program.py").write_text(PROGRAM)
    return subprocess.run(
        [*python, "-m", "program", ending, "a b"],
        cwd=folder,
        env=os.environ | {"WORD": "ü"},
        input="given\n",
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("ending", ["ends", "3", "a last word", "killed"])
def test_it_is_told_what_a_fresh_one_is_and_ends_as_that(tmp_path: Path, ending: str) -> None:
    fresh = ended(tmp_path, ending, REAL)
    with warm_python():
        forked = ended(tmp_path, ending, sys.executable)
        by_path = ended(tmp_path, ending, "python")
    assert (forked.returncode, forked.stdout, forked.stderr) == (
        (fresh.returncode, fresh.stdout, fresh.stderr)
    )
    assert by_path.returncode == fresh.returncode
    told = [[ending, "a b"], str(tmp_path), "ü", "given\n", "__main__"]
    assert json.loads(forked.stdout) == told
    assert (fresh.returncode == -signal.SIGTERM) == (ending == "killed")


def test_a_file_that_is_handed_on_has_its_number_and_no_other_copy(tmp_path: Path) -> None:
    """A leader of a session starts a leader of another, as the stand-in is no part of its own."""
    (tmp_path / "writes.py").write_text(
        "import os, sys\n"
        "os.write(int(sys.argv[1]), b'leads' if os.getsid(0) == os.getpid() else b'follows')\n"
        "os.close(int(sys.argv[1]))\n"
        "sys.stdin.read()\n"
    )
    for leads, said in ((True, b"leads"), (False, b"follows")):
        read, write = os.pipe()
        with (
            warm_python(),
            subprocess.Popen(
                [sys.executable, "-m", "writes", str(write)],
                cwd=tmp_path,
                pass_fds=[write],
                start_new_session=leads,
                stdin=subprocess.PIPE,
            ) as process,
        ):
            os.close(write)
            with open(read, "rb") as stream:  # noqa: PTH123
                assert stream.read() == said  # its end comes while the program still runs
            assert process.poll() is None
            process.communicate()


def test_an_error_is_shown(tmp_path: Path) -> None:
    with warm_python():
        done = ended(tmp_path, "raises", sys.executable)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "ValueError: no luck"


def test_a_signal_reaches_it_and_its_death_that_of_its_caller(tmp_path: Path) -> None:
    waits = "import signal\nprint('ready', flush=True)\nsignal.pause()\n"
    (tmp_path / "waits.py").write_text(waits)
    for sent in (signal.SIGTERM, signal.SIGKILL):
        with (
            warm_python(),
            subprocess.Popen(
                [sys.executable, "-m", "waits"], cwd=tmp_path, stdout=subprocess.PIPE
            ) as process,
        ):
            assert process.stdout
            assert process.stdout.readline() == b"ready\n"
            process.send_signal(sent)
            assert process.wait() == -sent
            # The end of the program itself, which would keep it open.
            assert process.stdout.read() == b""


def test_what_is_no_module_is_run_by_the_interpreter_itself() -> None:
    with warm_python():
        line = [sys.executable, "-c", "import sys; print(sys.executable, 'torch' in sys.modules)"]
        done = subprocess.run(line, capture_output=True, text=True, check=True)
    assert done.stdout == f"{REAL} False\n"
