"""What a run's record says of the packages that made it."""

from importlib.metadata import version
from pathlib import Path
from textwrap import dedent

import pytest

from finegrid.records.registry import Registry
from finegrid.records.specification import Variant
from finegrid.training import provenance
from methods.contract import Method
from tests.training.assets import Assets

MODULE = "plugin_of_the_provenance_test"
METHOD = """
    from dataclasses import dataclass
    from methods.contract import Method

    @dataclass(frozen=True)
    class Frozen(Method):
        def inject(self, model, generator): ...
        def body_parameters(self, model): return 0
"""


def packages(assets: Assets, method: str) -> dict[str, str]:
    """Those of the record of a run with that method."""
    spec = assets.specification().model_copy(update={"variant": Variant(name="v", method=method)})
    return provenance.provenance(spec, threads=1, deterministic=True).packages


@pytest.fixture
def plug_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a method that an installed distribution brings; no other is registered."""
    (tmp_path / f"{MODULE}.py").write_text(dedent(METHOD))
    metadata = tmp_path / "frozen_method-2.5.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: frozen-method\nVersion: 2.5")
    (metadata / "entry_points.txt").write_text(f"[finegrid.methods]\nfrozen = {MODULE}:Frozen\n")
    monkeypatch.syspath_prepend(tmp_path)
    registry: Registry[Method] = Registry("method", Method, "methods")
    monkeypatch.setattr(provenance, "METHODS", registry)
    return "frozen"


def test_the_versions_are_those_that_are_installed(assets: Assets) -> None:
    expected = {package: version(package) for package in provenance.PACKAGES}
    assert packages(assets, "full") == expected


def test_a_bridged_library_is_recorded_where_a_run_used_it(assets: Assets) -> None:
    assert packages(assets, "peft:lora")["peft"] == version("peft")
    assert "peft" not in packages(assets, "lora")


def test_the_distribution_of_a_plug_in_is_recorded(assets: Assets, plug_in: str) -> None:
    assert packages(assets, plug_in)["frozen-method"] == "2.5"


def test_data_that_another_version_encoded_are_not_taken_for_this_one_s(
    assets: Assets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a record would name a tokenizer that never saw its texts."""
    spec = assets.specification("head", model="bert", seed=7)
    assets.encode(spec)
    newer = {"tokenizers": "9.9.9"}
    monkeypatch.setattr(
        provenance, "version", lambda package: newer.get(package) or version(package)
    )
    packages = assets.run(spec, tmp_path).provenance.packages
    assert packages["tokenizers"] == f"9.9.9, encoded by {version('tokenizers')}"
    assert packages["transformers"] == version("transformers")
