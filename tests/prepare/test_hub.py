"""Repositories of a hub on this machine, through our own loading and the Hub's own library."""

import hashlib
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants

from finegrid.prepare.hub import HubError, listing
from finegrid.prepare.sources import DownloadError, SourceError, fetch
from finegrid.records.specification import Source
from tests.prepare.hub_server import Hub, Repository, connect, serving

FILES = {
    "README.md": b"a card",
    "data/train-00000-of-00001.parquet": b"p" * 9000,
    "labels.csv": b"label\n0\n",
}
NAME = "owner/reviews"
LARGE = "data/train-00000-of-00001.parquet"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub with one data set, and an empty cache."""
    with serving() as hub:
        connect(hub, tmp_path / "cache", monkeypatch)
        hub.repositories["dataset", NAME] = Repository(FILES)
        yield hub


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def source(hub: Hub, *files: str, name: str = NAME, commit: str = "") -> Source:
    """The repository as it is now, with the hashes of some files."""
    revision = commit or hub.repositories["dataset", NAME].commit
    hashes = {file: sha(FILES[file]) for file in files}
    return Source(uri=f"hub:{name}", revision=revision, sha256=hashes)


def test_a_repository_is_listed_at_its_commit_with_the_hashes_that_the_hub_keeps(hub: Hub) -> None:
    found = listing(NAME, "dataset")
    assert found.commit == hub.repositories["dataset", NAME].commit
    assert found.files == dict.fromkeys(FILES, None) | {LARGE: sha(FILES[LARGE])}
    assert {method for method, _, _ in hub.asked} == {"GET"}, "nothing is fetched"


def test_files_come_at_the_pinned_commit_whatever_the_branch_has_become(
    hub: Hub, tmp_path: Path
) -> None:
    pinned = source(hub, LARGE, "labels.csv")
    assert fetch(pinned, tmp_path / "out") == pinned.sha256
    assert (tmp_path / "out" / LARGE).read_bytes() == FILES[LARGE]
    assert not any("README" in path for method, path, _ in hub.asked if method == "GET")
    hub.repositories["dataset", NAME] = Repository(FILES | {"labels.csv": b"other"})
    assert fetch(pinned, tmp_path / "again") == pinned.sha256, "it is in the cache"
    other = Source(uri=pinned.uri, revision="0" * 40, sha256=pinned.sha256)
    with pytest.raises(
        DownloadError, match=rf"{NAME} at 0{{40}}: the repository has no such commit"
    ):
        fetch(other, tmp_path / "gone")


def test_a_download_that_breaks_off_is_resumed(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1000)
    blob = f"/blobs/dataset/{NAME}/{LARGE}"
    hub.breaks_after[blob] = 5500
    assert fetch(source(hub, LARGE), tmp_path / "out") == {LARGE: sha(FILES[LARGE])}
    assert [asked for _, path, asked in hub.asked if path == blob] == [None, "bytes=5000-"]


def test_what_was_fetched_once_needs_no_network(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pinned = source(hub, LARGE)
    fetch(pinned, tmp_path / "out")
    hub.asked.clear()
    fetch(pinned, tmp_path / "again")
    assert hub.asked == []
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert fetch(pinned, tmp_path / "offline") == pinned.sha256
    more = source(hub, LARGE, "labels.csv")
    with pytest.raises(DownloadError, match="the Hub is not reached, and the cache does not hold"):
        fetch(more, tmp_path / "more")


def test_a_hub_that_is_not_there_is_named_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving() as gone:
        connect(gone, tmp_path / "cache", monkeypatch)
    monkeypatch.setattr(time, "sleep", lambda seconds: None)  # the library's between its tries
    with pytest.raises(HubError) as caught:
        listing(NAME, "dataset")
    assert "\n" not in str(caught.value)
    with pytest.raises(DownloadError) as refused:
        fetch(Source(uri=f"hub:{NAME}", revision="0" * 40), tmp_path / "out")
    assert "the Hub is not reached" in str(refused.value)
    assert "\n" not in str(refused.value)


REFUSED = {
    "gated": (
        Repository(FILES, refuses=(403, "GatedRepo")),
        "gated; accept its terms at {url}/datasets/owner/reviews, and set HF_TOKEN",
    ),
    "gated for the nameless": (Repository(FILES, refuses=(401, "GatedRepo")), "is gated"),
    "forbidden": (
        Repository(FILES, refuses=(403, "")),
        r"the Hub refuses access \(403\); set HF_T",
    ),
    "missing": (None, "no dataset of that name, or a private one; check the name, or set HF_TOKEN"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_repository_that_cannot_be_read_says_what_to_do(
    hub: Hub, tmp_path: Path, name: str
) -> None:
    repository, message = REFUSED[name]
    commit = hub.repositories.pop(("dataset", NAME)).commit
    if repository is not None:
        hub.repositories["dataset", NAME] = repository
    pinned = Source(uri=f"hub:{NAME}", revision=commit, sha256={LARGE: sha(FILES[LARGE])})
    with pytest.raises(DownloadError, match=message.format(url=hub.url)) as caught:
        fetch(pinned, tmp_path / "out")
    assert "\n" not in str(caught.value)


def test_a_renamed_repository_is_fetched_as_pinned_and_named_anew_when_it_is_locked(
    hub: Hub, tmp_path: Path
) -> None:
    hub.repositories["dataset", "old/reviews"] = Repository({}, moved=NAME)
    pinned = source(hub, LARGE, "labels.csv", name="old/reviews")
    assert fetch(pinned, tmp_path / "out") == pinned.sha256
    with pytest.raises(HubError, match=f"is called {NAME} now; allowed: hub:{NAME}"):
        listing("old/reviews", "dataset")


def test_a_file_that_does_not_hold_what_was_promised_is_refused(hub: Hub, tmp_path: Path) -> None:
    pinned = source(hub, LARGE)
    changed = FILES | {LARGE: b"q" * 9000}
    hub.repositories["dataset", NAME] = Repository(changed, promised={LARGE: sha(FILES[LARGE])})
    broken = pinned.model_copy(update={"revision": hub.repositories["dataset", NAME].commit})
    with pytest.raises(
        SourceError, match=f"train-00000-of-00001.parquet has sha256 {sha(b'q' * 9000)}"
    ):
        fetch(broken, tmp_path / "out")
    assert not (tmp_path / "out" / LARGE).exists()


def test_a_model_comes_by_the_same_way(hub: Hub, tmp_path: Path) -> None:
    files = {"config.json": json.dumps({"model_type": "bert"}).encode(), "model.safetensors": b"w"}
    hub.repositories["model", "owner/model"] = repository = Repository(files)
    pinned = Source(
        uri="hub:owner/model",
        revision=repository.commit,
        sha256={name: sha(content) for name, content in files.items()},
    )
    assert fetch(pinned, tmp_path / "out", repo_type="model") == pinned.sha256
    with pytest.raises(DownloadError, match="no dataset of that name"):
        fetch(pinned, tmp_path / "data", repo_type="dataset")
