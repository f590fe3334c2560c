"""The main table: right numbers, honest gaps, well-formed text."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analysis.cells import table_rows
from analysis.collect import collect
from analysis.columns import short_legend
from analysis.errors import AnalysisError
from analysis.frame import STATES
from analysis.notes import TRIVIAL_PREDICTOR, lost_mirrors, notes
from analysis.quantities import byte_text, percent_text, quantity
from analysis.summary import summarise
from analysis.tables import short_tables, write_tables
from finegrid.records.plan import Plan
from finegrid.records.result import RESULT_FILE
from tests.analysis.benchmark import rewrite, run_of
from tests.analysis.shown import main_table, written

TRIVIAL = "majority class"
SCORE = "test score (mean ± 95 % t interval)"


def cell(table: pd.DataFrame, variant: str) -> dict[str, str]:
    """The text of a variant's row on the first task, by header."""
    rows = main_table(table)
    return next(row for row in rows if (row["task"], row["variant"]) == ("letters", variant))


def names(row: dict[str, str]) -> tuple[str, str, str]:
    return row["task"], row["model"], row["variant"]


def text(table: pd.DataFrame, variant: str, start: str) -> str:
    return next(value for name, value in cell(table, variant).items() if name.startswith(start))


def summary_row(table: pd.DataFrame, variant: str) -> pd.Series:
    """The row of a variant on the first task."""
    rows = table_rows(table)
    return rows[(rows["task"] == "letters") & (rows["variant"] == variant)].iloc[0]


def test_means_and_intervals(table: pd.DataFrame) -> None:
    row = summarise(table).query("task == 'words' and variant == 'small-2'").iloc[0]
    measured: dict[str, list[float]] = {
        "test_score": [0.70, 0.71, 0.72],
        "train_seconds": [10.0, 11.0, 12.0],
        "examples_per_second": [100.0, 110.0, 120.0],
        "peak_training_bytes": [7_072_000, 7_082_000, 7_092_000],
    }
    for name, values in measured.items():
        low, high = stats.t.interval(0.95, 2, loc=np.mean(values), scale=stats.sem(values))
        assert row[f"{name}_mean"] == pytest.approx(np.mean(values))
        assert [row[f"{name}_low"], row[f"{name}_high"]] == pytest.approx([low, high])
        assert row[f"{name}_n"] == 3
    assert row["trainable_percent"] == pytest.approx(0.6)
    assert row["stored_bytes_mean"] == 24_000


def test_memory_that_one_run_measured_for_all_counts_once(plan: Plan, runs: Path) -> None:
    first = run_of("words", "small-2", 0)
    path = runs / run_of("words", "small-2", 1) / RESULT_FILE
    rewrite(path, lambda record: record.update(costs_of=first))
    table = collect(plan, runs)
    assert list(table["costs_of"].dropna()) == [first]
    row = summarise(table).query("task == 'words' and variant == 'small-2'").iloc[0]
    assert (row["peak_training_bytes_n"], row["activations_bytes_n"]) == (2, 2)
    assert row["peak_training_bytes_mean"] == (7_072_000 + 7_092_000) / 2
    assert (row["train_seconds_n"], row["test_score_n"]) == (3, 3)


def test_text_of_a_complete_cell(table: pd.DataFrame) -> None:
    assert list(cell(table, "small-8").values()) == [
        "letters",
        "tiny",
        "small-8",
        "24,000 (2.40 %)",
        "96.0 kB",
        "1e-3 (given)",
        "accuracy (200)",
        "0.870 ± 0.025 (n=3)",
        "0.0058, 0.0238",
        "n.s.",
        "7.3 MB",
        "11.0 s",
        "110 examples/s",
        "ok",
    ]


def test_rows_keep_the_order_of_the_plan(plan: Plan, table: pd.DataFrame) -> None:
    expected = [(cell.task, cell.model, cell.variant) for cell in plan.cells]
    turned = table.iloc[::-1].reset_index(drop=True)
    for frame, order in ((table, expected), (turned, expected[::-1])):
        rows = [names(row) for row in main_table(frame)]
        assert [row for row in rows if row[2] != TRIVIAL] == order


def test_a_terminal_gets_the_same_texts_cut_by_task_and_model(table: pd.DataFrame) -> None:
    shown = [row for _, headers, rows in short_tables(table) for row in rows]
    whole = [list(row.values()) for row in main_table(table)]
    short = {"not applicable": "n/a", TRIVIAL: "majority"}
    texts = [(row[2], row[7].removesuffix(" (n=3)"), row[-1].split(" (")[0]) for row in whole]
    assert sorted((row[0], row[3], row[-1].split(" (")[0]) for row in shown) == sorted(
        (short.get(name, name), score, short.get(state, state)) for name, score, state in texts
    )
    assert len({title for title, _, _ in short_tables(table)}) == len(short_tables(table))


def trivial_of(table: pd.DataFrame) -> list[dict[str, str]]:
    """The first row of each task and model."""
    rows = main_table(table)
    places = [(row["task"], row["model"]) for row in rows]
    return [row for at, row in enumerate(rows) if at == 0 or places[at] != places[at - 1]]


def test_the_trivial_predictor_is_the_first_row_of_each_group(
    table: pd.DataFrame, plan: Plan, runs: Path
) -> None:
    shown = [(row["task"], row["variant"], row[SCORE], row["runs"]) for row in trivial_of(table)]
    assert shown == [("letters", TRIVIAL, "0.400", "ok"), ("words", TRIVIAL, "0.350", "ok")]
    row = summary_row(table, TRIVIAL)
    assert len(row["runs"].split()) == 12  # the runs of the task that are ok
    assert row["n_test"] == 200
    assert [rows[0][0] for _, _, rows in short_tables(table)] == ["majority"] * 2

    def old(record: dict[str, Any]) -> None:
        del record["metrics"]["trivial"]

    for path in runs.glob(f"letters-*/{RESULT_FILE}"):
        if "metrics" in path.read_text() and json.loads(path.read_text())["metrics"]:
            rewrite(path, old)
    first, _ = trivial_of(collect(plan, runs))
    assert (first["variant"], first[SCORE]) == ("trivial predictor", "—")
    assert first["runs"] == "missing"


def test_a_metric_that_has_no_value_for_a_constant_is_shown_so(plan: Plan, runs: Path) -> None:
    def by_f1(record: dict[str, Any]) -> None:
        record["metrics"]["primary"] = "f1"
        record["metrics"]["validation"]["f1"] = {"value": 0.5, "n": 100}

    for path in runs.glob(f"*/{RESULT_FILE}"):
        if json.loads(path.read_text())["metrics"]:
            rewrite(path, by_f1)
    first, second = trivial_of(collect(plan, runs))
    assert (first[SCORE], first["runs"], second[SCORE]) == ("undefined", "undefined", "undefined")


def test_runs_of_one_group_agree_on_the_trivial_predictor(plan: Plan, runs: Path) -> None:
    def other(record: dict[str, Any]) -> None:
        record["metrics"]["trivial"]["test"]["accuracy"]["value"] = 0.41

    rewrite(runs / run_of("letters", "top", 0) / RESULT_FILE, other)
    with pytest.raises(AnalysisError, match="letters-tiny: its runs differ in trivial predictor"):
        table_rows(collect(plan, runs))


def test_the_difference_to_the_best_has_the_interval_of_seeds_and_items(
    table: pd.DataFrame, pairs_table: pd.DataFrame
) -> None:
    pairs = pairs_table
    row = pairs.query("task == 'letters' and first == 'everything' and second == 'small-8'").iloc[0]
    low, high = -row["bootstrap_high"], -row["bootstrap_low"]
    assert low < -0.04 < high
    shown = {row["variant"]: row for row in main_table(table, pairs) if row["task"] == "letters"}
    header = next(name for name in shown["top"] if name.startswith("against the best"))
    assert shown["small-8"][header] == f"n.s., {low:+.3f} to {high:+.3f}"
    assert shown["everything"][header] == "best"
    assert shown["bulky"][header] == shown[TRIVIAL][header] == "—"
    (_, headers, rows), *_ = short_tables(table, pairs)
    place = headers.index("to the best")
    by_variant = {row[0]: row[place] for row in rows}
    assert by_variant["small-8"] == f"{low:+.3f}, {high:+.3f}"
    assert by_variant["everything"] == "best"
    # The best may stand second in its pair.
    turned = table.assign(test_score=1 - table["test_score"])
    best = table_rows(turned, pairs.assign()).query("task == 'letters'").set_index("variant")
    assert best.loc["top", "standing"] == "best"
    pair = pairs.query("task == 'letters' and first == 'small-8' and second == 'top'").iloc[0]
    assert best.loc["small-8", "gap_low"] == pytest.approx(pair["bootstrap_low"])


def test_signs_of_cells_without_a_number(table: pd.DataFrame) -> None:
    bulky = cell(table, "bulky")
    assert bulky["runs"] == "oom 1 of 3, diverged 1 of 3, failed 1 of 3"
    assert cell(table, "unfit")["runs"] == "not applicable"
    assert text(table, "bulky", "test score") == text(table, "unfit", "test score") == "—"


def test_every_state_has_its_sign_in_the_notes(table: pd.DataFrame, tmp_path: Path) -> None:
    (legend,) = [
        line for line in written(table, tmp_path).splitlines() if line.startswith("- Signs")
    ]
    for state in STATES:
        assert f" {state.replace('-', ' ')}: " in legend


def test_coverage_counts_the_runs_with_a_record(plan: Plan, runs: Path) -> None:
    assert "- 30 of 30 planned runs have a record." in written(collect(plan, runs), runs.parent)
    for run in (run_of("letters", "top", 0), run_of("words", "small-2", 1)):
        (runs / run / RESULT_FILE).unlink()
    assert "- 28 of 30 planned runs have a record." in written(collect(plan, runs), runs.parent)


@pytest.mark.parametrize(
    ("deleted", "score", "runs_text"),
    [
        ((2,), "0.705 ± 0.064 (n=2)", "missing 1 of 3"),
        ((0, 2), "0.710 (n=1, no interval)", "missing 2 of 3"),
        ((0, 1, 2), "—", "missing 3 of 3"),
    ],
)
def test_fewer_seeds_are_said(
    deleted: tuple[int, ...], score: str, runs_text: str, plan: Plan, runs: Path
) -> None:
    for seed in deleted:
        (runs / run_of("letters", "top", seed) / RESULT_FILE).unlink()
    table = collect(plan, runs)
    assert text(table, "top", "test score") == score
    assert cell(table, "top")["runs"] == runs_text
    row = summarise(table).query("task == 'letters' and variant == 'top'").iloc[0]
    assert row["test_score_n"] == 3 - len(deleted)
    assert pd.isna(row["test_score_low"]) == (len(deleted) > 1)


def test_a_measure_of_fewer_seeds_shows_its_n(plan: Plan, runs: Path) -> None:
    rewrite(
        runs / run_of("letters", "top", 0) / RESULT_FILE,
        lambda record: record.update(memory=None, memory_reason="not measured"),
    )
    table = collect(plan, runs)
    assert text(table, "top", "peak training memory") == "7.0 MB (n=2)"
    assert text(table, "top", "test score").endswith("(n=3)")


def test_counts_that_differ_between_seeds_are_an_error(plan: Plan, runs: Path) -> None:
    def shrink(record: dict[str, Any]) -> None:
        record["parameters"]["trainable"] -= 1
        record["parameters"]["adapter"] -= 1

    rewrite(runs / run_of("letters", "top", 0) / RESULT_FILE, shrink)
    with pytest.raises(AnalysisError, match="letters-tiny-top: trainable_parameters differs"):
        summarise(collect(plan, runs))


def test_markdown_has_one_width_and_notes(table: pd.DataFrame, tmp_path: Path) -> None:
    lines = written(table, tmp_path).splitlines()
    rows = [line for line in lines if line.startswith("|")]
    assert len(rows) == 2 + 2 + 12
    assert len({row.count("|") for row in rows}) == 1
    notes = "\n".join(line for line in lines if line.startswith("- "))
    for part in (
        "95 % Student t interval over these seeds",
        "processor Example &lt;CPU&gt; &amp; Co, cores 2",
        "100 validation and 200 test items",
        "data_sha256 aaaaaaaaaaaa",
        "oom: the run ran out of memory",
        f"fingerprint {table['fingerprint'].iloc[0]}",
    ):
        assert part in notes


def test_latex_escapes_and_is_booktabs(table: pd.DataFrame, tmp_path: Path) -> None:
    renamed = table.replace({"variant": {"small-8": "a_b%$&#{}~^\\"}})
    source = written(renamed, tmp_path, ".tex")
    body = source.split("\n", 1)[1]
    assert r"a\_b\%\$\&\#\{\}\textasciitilde{}\textasciicircum{}\textbackslash{} &" in body
    assert r"0.870 $\pm$ 0.025 (n=3)" in body
    assert body.count(r"\toprule") == body.count(r"\bottomrule") == 1
    assert not re.search(r"(?<!\\)[%#_]", body)
    rows = [line for line in body.splitlines() if line.endswith(r"\\")]
    assert {len(re.findall(r"(?<!\\)&", row)) for row in rows} == {13}


def test_written_csv_holds_raw_numbers(table: pd.DataFrame, tmp_path: Path) -> None:
    write_tables(table, tmp_path / "v1.0")
    assert {path.name for path in tmp_path.iterdir()} == {"v1.0.csv", "v1.0.md", "v1.0.tex"}
    frame = pd.read_csv(tmp_path / "v1.0.csv")
    assert frame["test_score_mean"].iloc[1] == pytest.approx(0.91)
    assert frame["stored_bytes_mean"].iloc[1] == 4_000_000
    assert frame["test_score_mean"].isna().sum() == 4
    assert frame["runs"].iloc[1].split() == list(table["run"].iloc[:3])


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (byte_text(999), "999 B"),
        (byte_text(1_234_567), "1.2 MB"),
        (byte_text(999_960_000), "1.0 GB"),
        (byte_text(None), "—"),
        (quantity(1234.5, "s"), "1,234 s"),
        (quantity(0.034, "s"), "0.0340 s"),
        (quantity(0.0, "s"), "0 s"),
        (percent_text(1.298), "1.30 %"),
        (percent_text(0.00123), "0.0012 %"),
    ],
)
def test_quantities(shown: str, expected: str) -> None:
    assert shown == expected


def test_lost_mirrors_are_counted(plan: Plan, runs: Path) -> None:
    assert lost_mirrors(collect(plan, runs)) == []
    tracking = {"run_id": "0" * 16, "mode": "offline", "warning": "ValueError: a tag\nis too long"}
    for number in (0, 1):
        path = runs / run_of("letters", "top", number) / RESULT_FILE
        rewrite(path, lambda record: record.update(tracking=tracking))
    frame = collect(plan, runs)
    [note] = lost_mirrors(frame)
    planned = len(frame.dropna(subset="run"))
    assert f"2 of {planned} mirrors are missing or incomplete" in note
    assert "ValueError: a tag is too long" in note
    assert note in notes(frame, summarise(frame))


def test_an_unusual_base_is_told_below_the_table(plan: Plan, runs: Path, tmp_path: Path) -> None:
    run = runs / run_of("letters", "top", 0) / RESULT_FILE
    assert "the checkpoint" not in written(collect(plan, runs), tmp_path)

    def edit(record: dict[str, Any]) -> None:
        record["provenance"] |= {"drawn_modules": ["bert.pooler"], "stripped": ["module."]}
        record["provenance"]["dequantised"] = "de-quantised from 4 bits (Q4_1 100.0 %)"
        record["provenance"]["task_remarks"] = ["entities are read by IOB1", "words too"]

    rewrite(run, edit)
    text = written(collect(plan, runs).assign(base_head_kept=True), tmp_path)
    assert text.count("tiny: every run starts from the checkpoint's own head.") == 1
    assert text.count("tiny: the checkpoint lacks bert.pooler, which is part of the head: ") == 1
    assert text.count("tiny: module. was taken off the names of the checkpoint's weights.") == 1
    assert text.count("tiny: its weights were de-quantised from 4 bits (Q4_1 100.0 %).") == 1
    assert text.count("letters: entities are read by IOB1; words too.") == 1


def test_what_is_not_whole_is_counted_run_by_run_in_a_line_a_cell(plan: Plan, runs: Path) -> None:
    cut = "texts were cut at max_new_tokens"
    for seed, counted in ((0, {cut: 5}), (2, {cut: 2, "texts hold no answer": 1})):

        def edit(record: dict[str, Any], counted: dict[str, int] = counted) -> None:
            record["metrics"]["counted"] = counted

        rewrite(runs / run_of("letters", "top", seed) / RESULT_FILE, edit)
    frame = collect(plan, runs)
    below = notes(frame, summarise(frame))
    assert [line for line in below if line.startswith("letters · tiny · top:")] == [
        f"letters · tiny · top: 5, 0, 2 {cut}.",
        "letters · tiny · top: 0, 0, 1 texts hold no answer.",
    ]


def test_what_is_so_of_all_runs_on_a_task_is_one_line(plan: Plan, runs: Path) -> None:
    """As the examples that they share: how many are cut does not depend on the method."""
    cut = "train examples are cut at max_length"
    records = list(runs.glob(f"letters-*/{RESULT_FILE}"))

    def edit(record: dict[str, Any]) -> None:
        if record["metrics"]:
            record["metrics"]["counted"] = {cut: 7}

    for path in records:
        rewrite(path, edit)
    frame = collect(plan, runs)
    below = notes(frame, summarise(frame))
    lines = [line for line in below if cut in line]
    assert lines == [f"letters · tiny: 7 {cut}, in each run."]


def test_a_trivial_predictor_is_explained_where_there_is_one(table: pd.DataFrame) -> None:
    texts = table.assign(metric=table["metric"].where(table["metric"].isna(), "chrf"))
    assert [short_legend(rows).startswith("first row") for rows in (table, texts)] == [True, False]
    told = [TRIVIAL_PREDICTOR in notes(rows, summarise(rows)) for rows in (table, texts)]
    assert told == [True, False]
