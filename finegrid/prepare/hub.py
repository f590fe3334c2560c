"""The Hugging Face Hub: what a repository holds at a commit, and its files. Errors are one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, NamedTuple

RepositoryType = Literal["dataset", "model"]
_TOKEN = "set HF_TOKEN to a token of yours that may read it"  # noqa: S105  # a name, no token


class HubError(Exception):
    """A repository that cannot be read, and why."""


class Listing(NamedTuple):
    """The files of a repository at a commit."""

    commit: str
    files: dict[str, str | None]
    """Name -> sha256, where the Hub tells it: that of large files."""


def listing(repository: str, repo_type: RepositoryType) -> Listing:
    """The files of a repository at the commit that its main branch has now. Raises HubError."""
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import RepoFile

    api = HfApi()
    with _explained(repository, repo_type):
        found = api.repo_info(repository, repo_type=repo_type)
        if found.id != repository:
            raise HubError(f"the repository is called {found.id} now; allowed: hub:{found.id}")
        tree = api.list_repo_tree(
            repository, recursive=True, revision=found.sha, repo_type=repo_type
        )
        files = {
            one.path: one.lfs.sha256 if one.lfs else None
            for one in tree
            if isinstance(one, RepoFile)
        }
    if found.sha is None:
        raise HubError("the Hub tells no commit")
    return Listing(found.sha, files)


def snapshot(
    repository: str,
    repo_type: RepositoryType,
    commit: str,
    wanted: tuple[str, ...] | None,
    unwanted: tuple[str, ...] = (),
) -> Path:
    """A folder with files of a repository, `wanted` or all, in the library's own cache.

    Both are names, or patterns of them. Files lie in it as links into that cache. Raises HubError.
    """
    import huggingface_hub

    with _explained(repository, repo_type):
        found = huggingface_hub.snapshot_download(
            repository,
            repo_type=repo_type,
            revision=commit,
            allow_patterns=None if wanted is None else list(wanted),
            ignore_patterns=list(unwanted) or None,
        )
    return Path(found)


@contextmanager
def _explained(repository: str, repo_type: RepositoryType) -> Iterator[None]:
    try:
        yield
    except HubError:
        raise
    # The library lets its own errors, its HTTP client's and the system's through.
    except Exception as error:
        raise HubError(_reason(error, repository, repo_type)) from error


def _reason(error: Exception, repository: str, repo_type: RepositoryType) -> str:
    from huggingface_hub import constants, errors

    cause = error.__cause__
    if isinstance(error, errors.LocalEntryNotFoundError) and isinstance(
        cause, errors.HfHubHTTPError
    ):
        error = cause  # the library takes whatever the Hub answers for a Hub that is not there
    if isinstance(error, errors.GatedRepoError):
        folder = "datasets/" if repo_type == "dataset" else ""
        page = f"{constants.ENDPOINT}/{folder}{repository}"
        return f"the repository is gated; accept its terms at {page}, and {_TOKEN}"
    if isinstance(error, errors.RevisionNotFoundError):
        return "the repository has no such commit"
    if isinstance(error, errors.RepositoryNotFoundError):
        return f"no {repo_type} of that name, or a private one; check the name, or {_TOKEN}"
    status = error.response.status_code if isinstance(error, errors.HfHubHTTPError) else None
    if status in (401, 403):
        return f"the Hub refuses access ({status}); {_TOKEN}"
    text = " ".join(str(error).split())
    if isinstance(error, errors.LocalEntryNotFoundError | errors.OfflineModeIsEnabled):
        return f"the Hub is not reached, and the cache does not hold all of it: {text}"
    return text or type(error).__name__
