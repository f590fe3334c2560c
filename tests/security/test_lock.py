"""The locked dependencies: every one pinned, with hashes, from no named host."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*==[0-9][^\s;*]*( ; .+)?")


def requirements(text: str) -> dict[str, list[str]]:
    """Requirement as it is written -> its hashes; comments aside, lines joined."""
    joined = text.replace("\\\n", " ")
    lines = (line.partition("#")[0].strip() for line in joined.splitlines())
    return {line.partition(" --hash")[0].strip(): HASH.findall(line) for line in lines if line}


def wrong(text: str) -> list[str]:
    """The requirements that are not pinned to one version, or that have no hash."""
    return [
        requirement
        for requirement, hashes in requirements(text).items()
        if not (NAME.fullmatch(requirement) and hashes)
    ]


def test_what_is_wrong_with_a_lock_is_found() -> None:
    good = f"--hash=sha256:{'0' * 64}"
    text = f"a==1.0 \\\n    {good}\nb>=1.0 \\\n    {good}\nc==1.0\nd==1.* {good}\n"
    assert wrong(text) == ["b>=1.0", "c==1.0", "d==1.*"]
    assert wrong(f"e @ https://host/e.whl {good}\n-e .\n--index-url https://host\n") == [
        "e @ https://host/e.whl",
        "-e .",
        "--index-url https://host",
    ]


def test_every_requirement_is_pinned_and_has_a_hash() -> None:
    text = (ROOT / "requirements.lock").read_text()
    assert len(requirements(text)) > 100
    assert wrong(text) == []


def test_no_host_of_packages_stands_in_the_project_s_files() -> None:
    for name in ("requirements.lock", "pyproject.toml", "environment.yml"):
        text = (ROOT / name).read_text()
        assert re.findall(r"https?://|file://|index-url|find-links|trusted-host", text) == [], name


def test_what_builds_finegrid_itself_is_locked_too() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    locked = {
        one.partition("==")[0] for one in requirements((ROOT / "requirements.lock").read_text())
    }
    builders = {re.split(r"[<>=!~]", one)[0] for one in project["build-system"]["requires"]}
    assert builders <= locked


def test_the_set_up_demands_hashes() -> None:
    lines = [
        line for line in (ROOT / "Makefile").read_text().splitlines() if "requirements.lock" in line
    ]
    installs = [line for line in lines if "pip install" in line]
    assert installs
    assert all("--require-hashes" in line for line in installs)
