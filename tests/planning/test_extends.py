"""A benchmark that extends another file."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from finegrid.planning.benchmark import as_written, read_benchmark
from finegrid.planning.plan import make_plan
from finegrid.problems import ConfigurationError


def write(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(content))
    return path


def test_a_file_is_laid_over_the_one_that_it_extends_key_by_key(
    small: dict[str, Any], tmp_path: Path
) -> None:
    write(tmp_path / "base" / "common.yaml", small | {"name": "common"})
    write(
        tmp_path / "base" / "longer.yaml",
        {"extends": "common.yaml", "name": "longer", "training": {"epochs": 3}},
    )
    own = {"extends": "../base/longer.yaml", "name": "mine", "seeds": [4, 5]}
    file = write(tmp_path / "mine" / "mine.yaml", own | {"training": {"batch_size": 16}})
    found = read_benchmark(str(file))
    whole = small | {"name": "mine", "seeds": [4, 5]}
    whole["training"] = small["training"] | {"epochs": 3, "batch_size": 16}
    same = read_benchmark(str(write(tmp_path / "whole.yaml", whole)))
    assert found == same
    assert list(make_plan(found).runs) == list(make_plan(same).runs)
    assert as_written({}, [file], ()) == whole, "the same with --configfile"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"extends": "gone.yaml", "name": "a"}, "gone.yaml: No such file or directory"),
        ({"extends": "b.yaml", "name": "a"}, "extends: a.yaml -> b.yaml -> a.yaml is a circle"),
        ({"extends": "a.yaml", "name": "a"}, "extends: a.yaml -> a.yaml is a circle"),
        ({"extends": "list.yaml", "name": "a"}, "list.yaml holds no keys; allowed: a benchmark"),
        ({"extends": ["b.yaml"], "name": "a"}, 'extends: ["b.yaml"] is not allowed; allowed: the'),
        ({"extends": "default", "name": "a"}, 'extends: "default" is not allowed; allowed: the pa'),
        ({"extends": "b.yaml"}, "a.yaml: name: this key is required beside extends"),
        ({"extends": "broken.yaml", "name": "a"}, "broken.yaml: no valid YAML"),
    ],
)
def test_what_cannot_be_extended_is_one_line(
    tmp_path: Path, content: dict[str, Any], message: str
) -> None:
    file = write(tmp_path / "a.yaml", content)
    write(tmp_path / "b.yaml", {"extends": "a.yaml", "name": "b"})
    write(tmp_path / "list.yaml", ["a"])
    (tmp_path / "broken.yaml").write_text("a: [")
    with pytest.raises(ConfigurationError) as caught:
        read_benchmark(str(file))
    (problem,) = caught.value.problems
    assert message in problem
    assert "\n" not in problem
