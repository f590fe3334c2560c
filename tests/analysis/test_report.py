"""The report is one file: its links lead somewhere, its text is escaped, it needs no network."""

import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pandas as pd
import pytest

from analysis.collect import collect
from analysis.errors import AnalysisError
from analysis.evidence import write_evidence
from analysis.figures.captions import captions
from analysis.plots import write_plots
from analysis.report import Places, render
from analysis.tables import write_tables
from finegrid.records.plan import Plan
from finegrid.records.prepared import MANIFEST_FILE
from finegrid.records.result import RESULT_FILE
from tests.analysis.benchmark import prepare


class Page(HTMLParser):
    """Links with their text, sources of images, and the order of tags."""

    def __init__(self) -> None:
        super().__init__()
        self.links: dict[str, list[str]] = {}
        self.images: list[str] = []
        self.open: list[str] = []
        self._link = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag not in {"meta", "img"}:
            self.open.append(tag)
        if tag == "a":
            self._link = values["href"] or ""
        if tag == "img":
            self.images.append(values["src"] or "")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "a":
            self.links.setdefault(self._link, []).append(data)


@pytest.fixture(scope="module")
def places(
    plan: Plan, table: pd.DataFrame, finished: Path, tmp_path_factory: pytest.TempPathFactory
) -> Places:
    folder = tmp_path_factory.mktemp("report")
    write_tables(table, folder / "tables" / "demo")
    write_evidence(table, finished, folder / "tables" / "demo")
    write_plots(table, finished, folder / "plots", "demo")
    prepare(plan, folder / "prepared")
    return Places(
        folder / "tables" / "demo",
        folder / "plots",
        finished,
        folder / "prepared",
        folder / "pages" / "demo.html",
    )


@pytest.fixture(scope="module")
def html(plan: Plan, table: pd.DataFrame, places: Places) -> str:
    return render(plan, table, places)


@pytest.fixture(scope="module")
def page(html: str) -> Page:
    parser = Page()
    parser.feed(html)
    parser.close()
    return parser


def test_tags_are_balanced(page: Page) -> None:
    assert page.open == []


def test_every_link_leads_to_a_file(page: Page, places: Places) -> None:
    places.output.parent.mkdir(exist_ok=True)
    assert len(page.links) > 24
    for link in page.links:
        assert (places.output.parent / unquote(link)).is_file(), link


def test_every_ok_run_is_linked_with_its_own_numbers(page: Page, table: pd.DataFrame) -> None:
    for _, row in table[table["state"] == "ok"].iterrows():
        (link,) = [link for link in page.links if f"/{row['run']}/{RESULT_FILE}" in link]
        assert f"seed {row['seed']}: {row['test_score']:.3f}" in page.links[link]
        assert f"seed {row['seed']}: {row['train_seconds']:.1f} s" in page.links[link]
        assert len(page.links[link]) == 10


def test_every_number_of_the_main_table_is_linked(html: str) -> None:
    cells = re.findall(r'<td class="number">(.*?)</td>', html, flags=re.DOTALL)
    assert len(cells) == 14 * 8
    assert all(cell == "—" or "<a href=" in cell for cell in cells)


def test_text_is_escaped(html: str) -> None:
    assert "Two &lt;tasks&gt; &amp; one model." in html
    assert "it was oom &lt;b&gt;" in html
    assert "needs attention &lt;layers&gt; &amp; has none" in html
    assert "<tasks>" not in html
    assert "<b>" not in html


def test_figures_are_inside_and_nothing_is_fetched(
    html: str, page: Page, table: pd.DataFrame
) -> None:
    assert len(page.images) == len(captions(table, None))
    assert all(source.startswith("data:image/svg+xml;base64,") for source in page.images)
    assert "://" not in re.sub(r'base64,[^"]*', "", html)
    assert "prefers-color-scheme: dark" in html


def test_provenance_and_gaps_are_there(html: str) -> None:
    gaps = html.split('id="gaps"')[1].split("<h2")[0]
    for sign in ("oom", "diverged", "failed", "not applicable"):
        assert sign in gaps
    provenance = html.split('id="provenance"')[1]
    assert "a" * 64 in provenance
    assert "b" * 64 in provenance
    assert "Example &lt;CPU&gt; &amp; Co" in provenance


def test_what_splits_share_is_shown_by_task(html: str) -> None:
    shared = html.split('id="shared"')[1].split("<h2")[0]
    rows = [
        re.sub(r"<[^>]*>", "|", row).split("|")
        for row in re.findall(r"<tr>(<td>.*?)</tr>", shared, flags=re.DOTALL)
    ]
    assert [[cell for cell in row if cell.strip()] for row in rows] == [
        ["letters", "test in train", "1", "1", "1.00 % of test", "b2 ~ a&lt;1&gt; (0.9)"],
        ["words", "test in train", "0", "—", "0.00 % of test", "—"],
    ]
    assert "letters: exact: the &lt;same&gt;." in shared


def test_a_manifest_that_is_not_there_is_an_error(
    plan: Plan, table: pd.DataFrame, places: Places, tmp_path: Path
) -> None:
    with pytest.raises(FileNotFoundError, match=MANIFEST_FILE):
        render(plan, table, replace(places, prepared=tmp_path))


def test_a_part_of_the_runs_is_shown_with_its_coverage(
    plan: Plan, runs: Path, places: Places
) -> None:
    gone = [run for run, spec in plan.runs.items() if spec.task.name == "words" or spec.seed]
    for run in gone:
        shutil.rmtree(runs / run)
    words = next(spec.task.key for run, spec in plan.runs.items() if spec.task.name == "words")
    prepared = places.output.parent / "prepared"
    shutil.copytree(places.prepared, prepared, ignore=shutil.ignore_patterns(words))
    html = render(plan, collect(plan, runs), replace(places, runs=runs, prepared=prepared))
    assert "5 of 30 planned runs have a record." in html
    assert html.split('id="gaps"')[1].split("<h2")[0].count("<td>missing</td>") == 25
    assert "letters" in (shared := html.split('id="shared"')[1].split("<h2")[0])
    assert "words" not in shared


def test_a_table_that_is_not_there_is_an_error(
    plan: Plan, table: pd.DataFrame, places: Places, tmp_path: Path
) -> None:
    lost = replace(places, tables_stem=tmp_path / "demo")
    with pytest.raises(AnalysisError, match=r"demo-pairs\.csv: the report links to it"):
        render(plan, table, lost)


def test_a_run_that_is_gone_is_an_error(
    plan: Plan, table: pd.DataFrame, places: Places, tmp_path: Path
) -> None:
    lost = replace(places, runs=tmp_path)
    with pytest.raises(AnalysisError, match="the folder has not"):
        render(plan, table, lost)
