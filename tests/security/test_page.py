"""What a page shows is text: no word of a benchmark, a record or a data set becomes an element."""

import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from analysis.claims.command import main as write_claims
from analysis.collect import collect
from analysis.errors import AnalysisError
from analysis.evidence import write_evidence
from analysis.frame import write_table
from analysis.plots import write_plots
from analysis.report import Places, render
from analysis.tables import write_tables
from finegrid.records.claims import Claims
from finegrid.records.plan import Plan
from finegrid.records.result import RESULT_FILE
from tests.analysis.benchmark import fill, make_plan, prepare

EVIL = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'><svg/onload=alert(3)>"
ELEMENT = re.compile(r"<\s*/?\s*(script|img src=x|svg/)", re.IGNORECASE)
TEXTS = {"reason", "processor", "hostname", "system", "python", "definition", "first", "second"}
"""Keys of records that hold free text."""


class Elements(HTMLParser):
    """The elements of a page, and their attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.addresses += [value or "" for name, value in attrs if name in ("href", "src")]


def changed(value: Any, change: Callable[[str, Any], Any], key: str = "") -> Any:
    """The value with every leaf changed by its key."""
    if isinstance(value, dict):
        return {k: changed(v, change, k) for k, v in value.items()}
    if isinstance(value, list):
        return [changed(one, change, key) for one in value]
    return change(key, value)


def poison(key: str, value: Any) -> Any:
    return f"{value} {EVIL}" if key in TEXTS and isinstance(value, str) else value


def rewrite(path: Path) -> None:
    """Free text of a record becomes elements."""
    path.write_text(json.dumps(changed(json.loads(path.read_text()), poison)))


def rename_metric(path: Path) -> None:
    """The name of the metric becomes an element."""
    plain = json.loads(path.read_text())
    if plain.get("metrics"):
        plain["metrics"] |= {"primary": EVIL}
        scored = plain["metrics"]
        for part, split in ((scored, "validation"), (scored, "test"), (scored["trivial"], "test")):
            part[split] = {EVIL: part[split]["accuracy"]}
    path.write_text(json.dumps(plain))


@pytest.fixture(scope="module")
def evil_plan() -> Plan:
    plan = make_plan(("everything", "small-2", "bulky", "unfit"))
    cells = tuple(
        cell.model_copy(update={"not_applicable": cell.not_applicable and EVIL})
        for cell in plan.cells
    )
    claim = {"id": "c", "statement": EVIL, "not_measured": EVIL}
    claims = Claims.model_validate_json(json.dumps({"hypotheses": [claim]}))
    return plan.model_copy(update={"description": EVIL, "cells": cells, "claims": claims})


@pytest.fixture(scope="module")
def folder(evil_plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tables, figures and claims of records that are full of elements."""
    folder = tmp_path_factory.mktemp("page")
    fill(evil_plan, folder / "runs")
    prepare(evil_plan, folder / "prepared")
    for path in (*folder.rglob(RESULT_FILE), *folder.rglob("failure.json")):
        rewrite(path)
    for path in (folder / "prepared").rglob("manifest.json"):
        path.write_text(json.dumps(changed(json.loads(path.read_text()), poison_manifest)))
    table = collect(evil_plan, folder / "runs")
    (folder / "tables").mkdir()
    write_table(table, folder / "tables" / "demo-runs.csv")
    write_tables(table, folder / "tables" / "demo")
    write_evidence(table, folder / "runs", folder / "tables" / "demo")
    write_plots(table, folder / "runs", folder / "plots", "demo")
    evil_plan.write(folder / "plan.json")
    return folder


def poison_manifest(key: str, value: Any) -> Any:
    splits = ("train", "validation", "test")
    return value if value in splits or isinstance(value, float) else poison(key, value)


@pytest.fixture(scope="module")
def html(evil_plan: Plan, folder: Path) -> str:
    table: pd.DataFrame = collect(evil_plan, folder / "runs")
    tables, pages = folder / "tables" / "demo", folder / "pages" / "demo.html"
    places = Places(tables, folder / "plots", folder / "runs", folder / "prepared", pages)
    return render(evil_plan, table, places)


def test_the_name_of_a_metric_is_one_that_there_is(tmp_path: Path) -> None:
    plan = make_plan(("small-2",))
    fill(plan, tmp_path / "runs")
    for path in tmp_path.rglob(RESULT_FILE):
        rename_metric(path)
    table = collect(plan, tmp_path / "runs")
    with pytest.raises(AnalysisError, match=r"unknown metric '<script>.*: allowed: .*accuracy, "):
        write_tables(table, tmp_path / "demo")


def test_the_report_has_the_elements_of_its_template_alone(html: str) -> None:
    page = Elements()
    page.feed(html)
    template = Path(render.__code__.co_filename).with_name("report.html.j2").read_text()
    assert page.tags <= set(re.findall(r"<([a-z][a-z0-9]*)", template))
    assert "script" not in page.tags
    assert not any(name.startswith("on") for name in page.attributes)
    assert not ELEMENT.search(html)


def test_the_report_shows_the_text_itself(html: str) -> None:
    """Else that it holds no such element would say nothing."""
    assert html.count("&lt;script&gt;") > 8
    for section in ("gaps", "shared", "provenance"):
        assert "&lt;script&gt;" in html.split(f'id="{section}"')[1].split("<h2")[0], section


def test_no_address_of_the_report_runs_anything(html: str) -> None:
    page = Elements()
    page.feed(html)
    images = [one for one in page.addresses if one.startswith("data:")]
    assert images
    assert all(one.startswith("data:image/svg+xml;base64,") for one in images)
    assert not any(":" in one for one in page.addresses if one not in images)


def test_the_report_forbids_all_scripts(html: str) -> None:
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', html)
    assert policy.split("; ") == [
        "default-src 'none'",
        "img-src data:",
        "style-src 'unsafe-inline'",
    ]
    assert html.index("Content-Security-Policy") < html.index("<title>")


def test_figures_hold_no_script(folder: Path) -> None:
    figures = list((folder / "plots").glob("*.svg"))
    assert len(figures) > 4
    for figure in figures:
        assert not ELEMENT.search(figure.read_text()), figure.name


def test_markdown_begins_no_element(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = {
        "plan": folder / "plan.json",
        "runs-table": folder / "tables" / "demo-runs.csv",
        "runs": folder / "runs",
        "output-stem": folder / "tables" / "demo-claims",
        "plots": folder / "plots",
    }
    line = [text for key, value in options.items() for text in (f"--{key}", str(value))]
    monkeypatch.setattr("sys.argv", ["command", *line])
    write_claims()
    pages = {path.name: path.read_text() for path in (folder / "tables").glob("*.md")}
    assert {"demo.md", "demo-claims.md", "demo-pairs.md"} <= set(pages)
    assert "&lt;script&gt;" in pages["demo-claims.md"]
    assert [name for name, text in pages.items() if ELEMENT.search(text)] == []
