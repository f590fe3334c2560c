"""The anatomies of the library's model types stay what they were when a person read them."""

from functools import cache

import pytest

from finegrid.models.anatomy import Anatomy
from tests.methods.architectures import TINY
from tests.models import golden

BEYOND = pytest.mark.thorough("test_an_anatomy_is_as_it_was_read")
"""Of what `make test` trains no tiny model of."""


@cache
def found(name: str) -> Anatomy:
    return golden.anatomy(name)


def test_the_files_are_those_of_the_names() -> None:
    paths = {golden.path_of(name) for name in golden.NAMES}
    assert paths == set(golden.FOLDER.iterdir())
    assert len(paths) == len(golden.NAMES) >= 75


@pytest.mark.parametrize(
    "name", [pytest.param(one, marks=() if one in TINY else BEYOND) for one in golden.NAMES]
)
def test_an_anatomy_is_as_it_was_read(name: str) -> None:
    assert golden.as_text(found(name)) == golden.path_of(name).read_text()


@pytest.mark.thorough("test_an_anatomy_is_as_it_was_read")
def test_the_document_has_their_table() -> None:
    text = golden.DOCUMENT.read_text()
    table = text.partition(golden.BEGIN)[2].partition(golden.END)[0]
    assert table.strip() == golden.table({name: found(name) for name in golden.NAMES})
