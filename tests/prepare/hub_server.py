"""A server of this machine that speaks the Hub's protocol, as far as its library asks for it.

Routes and headers are those that huggingface_hub 2.4 reads: the repository's information, its tree
at a commit, and its files, large ones by a redirect to a place that answers ranges.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

_LARGE = (".safetensors", ".parquet", "tokenizer.json", ".zip", ".wav")
_TYPES = {"datasets/": "dataset", "": "model"}
_API = re.compile(r"/api/(?P<type>model|dataset)s/(?P<name>[^/]+/[^/]+)(?P<rest>/.*)?")
_FILE = re.compile(
    r"/(?P<type>datasets/)?(?P<name>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<file>.+)"
)


@dataclass
class Repository:
    """Files at a commit; `moved` is what it is called now, `refuses` (status, code) if it does."""

    files: Mapping[str, bytes]
    moved: str | None = None
    refuses: tuple[int, str] | None = None
    promised: dict[str, str] = field(default_factory=dict)
    """File -> another sha256 than that of its bytes."""

    @property
    def commit(self) -> str:
        """A hash of all files, as git would have another one."""
        digest = hashlib.sha1(usedforsecurity=False)
        for name, content in sorted(self.files.items()):
            digest.update(name.encode() + content)
        return digest.hexdigest()

    def sha256(self, file: str) -> str:
        """What the server says that a file hashes to."""
        return self.promised.get(file) or hashlib.sha256(self.files[file]).hexdigest()


@dataclass
class Hub:
    """The repositories of a server, by `model` or `dataset` and their name, and what was asked."""

    url: str = ""
    repositories: dict[tuple[str, str], Repository] = field(default_factory=dict)
    asked: list[tuple[str, str, str | None]] = field(default_factory=list)
    """Method, path and range of each request."""
    breaks_after: dict[str, int] = field(default_factory=dict)
    """Path of a large file -> bytes after which its first answer breaks off."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def log_message(self, *_: Any) -> None:
        """Nothing is printed."""

    def _answer(self) -> None:
        path = self.path.partition("?")[0]
        self.hub.asked.append((self.command, path, self.headers.get("Range")))
        if path.startswith("/blobs/"):
            self._large(path)
        elif match := _API.fullmatch(path):
            self._information(match["type"], match["name"], match["rest"] or "")
        elif match := _FILE.fullmatch(path):
            self._file(match)
        else:
            self._send(404, b"{}")

    def _repository(self, kind: str, name: str, prefix: str) -> Repository | None:
        found = self.hub.repositories.get((kind, name))
        if found is None:
            self._send(401, b"{}", {"X-Error-Code": "RepoNotFound"})
        elif found.moved is not None:
            place = self.path.replace(f"/{name}", f"/{found.moved}", 1)
            self._send(307, b"", {"Location": place})
        elif found.refuses is not None and prefix == "file":
            status, code = found.refuses
            self._send(status, b"{}", {"X-Error-Code": code} if code else {})
        else:
            return found
        return None

    def _information(self, kind: str, name: str, rest: str) -> None:
        found = self.hub.repositories.get((kind, name))
        refuses_all = found is not None and found.refuses is not None and not found.refuses[1]
        repository = self._repository(kind, name, "file" if refuses_all else "api")
        if repository is None:
            return
        revision = re.fullmatch(r"/(?:revision|tree)/([^/]+).*", rest)
        if revision and revision[1] not in ("main", repository.commit):
            self._send(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
        elif rest.startswith("/tree/"):
            self._send(200, json.dumps([_entry(repository, one) for one in repository.files]))
        else:
            names = [{"rfilename": one} for one in repository.files]
            about = {"_id": "0", "id": name, "sha": repository.commit, "siblings": names}
            self._send(200, json.dumps(about | {"private": False, "tags": [], "downloads": 0}))

    def _file(self, match: re.Match[str]) -> None:
        kind, file = _TYPES[match["type"] or ""], match["file"]
        repository = self._repository(kind, match["name"], "file")
        if repository is None:
            return
        if match["revision"] not in ("main", repository.commit):
            self._send(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
        elif file not in repository.files:
            self._send(404, b"{}", {"X-Error-Code": "EntryNotFound"})
        elif file.endswith(_LARGE):
            content = repository.files[file]
            linked = {"X-Linked-Etag": f'"{repository.sha256(file)}"'}
            linked |= {"X-Linked-Size": str(len(content)), "X-Repo-Commit": repository.commit}
            # Another host, as the Hub's own: the library takes what the first answer says.
            other = self.hub.url.replace("127.0.0.1", "localhost")
            place = f"{other}/blobs/{kind}/{match['name']}/{file}"
            self._send(302, b"", {"Location": place} | linked)
        else:
            content = repository.files[file]
            tag = hashlib.sha1(content, usedforsecurity=False).hexdigest()
            self._send(200, content, {"ETag": f'"{tag}"', "X-Repo-Commit": repository.commit})

    def _large(self, path: str) -> None:
        _, _, kind, owner, name, file = path.split("/", 5)
        content = self.hub.repositories[kind, f"{owner}/{name}"].files[file]
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
        start = int(asked[1]) if asked else 0
        where = {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"}
        stop = self.hub.breaks_after.pop(path, None)
        self._send(206 if asked else 200, content[start:], where if asked else {}, stop)

    def _send(
        self,
        status: int,
        content: bytes | str,
        headers: Mapping[str, str] | None = None,
        stop: int | None = None,
    ) -> None:
        body = content.encode() if isinstance(content, str) else content
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body[:stop])
        if stop is not None:
            self.close_connection = True


def _entry(repository: Repository, file: str) -> dict[str, Any]:
    content = repository.files[file]
    size, oid = len(content), hashlib.sha1(content, usedforsecurity=False).hexdigest()
    entry: dict[str, Any] = {"type": "file", "path": file, "size": size, "oid": oid}
    if file.endswith(_LARGE):
        entry["lfs"] = {"oid": repository.sha256(file), "size": size, "pointerSize": 134}
    return entry


@contextmanager
def serving() -> Iterator[Hub]:
    """A hub on a port of this machine."""
    hub = Hub()
    handler = type("Handler", (_Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def connect(hub: Hub, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the Hub's library ask that server, as with HF_ENDPOINT, and keep its cache apart."""
    from huggingface_hub import constants

    template = f"{hub.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr(constants, "ENDPOINT", hub.url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
