"""The yardstick against the guards: the Pareto front, the chart and the table."""

import json
from pathlib import Path
from typing import Any

import pytest

from accel_asr.reporting.charts import draw_charts
from accel_asr.reporting.headline import headline
from accel_asr.reporting.report_page import render
from accel_asr.reporting.run_records import read_run
from accel_asr.reporting.trade_off import models_of, pareto_front, trade_off, trade_off_charts
from tests.unit.evaluation.made_up_scores import score_pairs
from tests.unit.reporting.made_up_runs import a_run, edit_lines

SAID = [("pay the bill now", "pay the bill now"), ("freeze my card", "freeze my card"), ("hello", "hello")]
# the yardstick's WER of `a_run` is 5/8, 0 and 1/8 at steps 0, 10 and 20
GUARDS = {"step 0": 0.10, "step 10": 0.20, "step 20": 0.25, "alpha-0.25": 0.105, "alpha-0.5": 0.11, "ema": 0.3}


@pytest.mark.parametrize(
    ("points", "front"),
    [
        ([(1.0, 5.0), (2.0, 4.0), (3.0, 3.0)], [True, True, True]),
        ([(1.0, 5.0), (2.0, 5.0), (3.0, 3.0)], [True, False, True]),  # as good in one, worse in the other
        ([(1.0, 1.0), (2.0, 2.0), (0.5, 3.0)], [True, False, True]),
        ([(1.0, 1.0), (1.0, 1.0)], [True, True]),  # neither beats the other
        ([(1.0, 5.0, 1.0), (1.0, 5.0, 2.0), (2.0, 5.0, 0.5)], [True, False, True]),
        ([(float("nan"), 0.0), (1.0, 1.0)], [True, True]),
        ([], []),
    ],
)
def test_the_front_is_what_nothing_else_beats(points: list[tuple[float, ...]], front: list[bool]) -> None:
    assert pareto_front(points) == front


@pytest.fixture
def guarded(tmp_path: Path) -> Path:
    """A run whose guard is worse at each step, with two interpolations and a moving average; alpha 0.5 is the best."""
    wrong = score_pairs([*SAID[:2], ("hello", "hi")])
    run = a_run(tmp_path / "run", averages={"alpha-0.25": wrong, "alpha-0.5": score_pairs(SAID), "ema": wrong})

    def add(record: dict[str, Any]) -> None:
        if "wer" in record:
            rate = GUARDS[record.get("weights", f"step {record['step']}")]
            change = rate - 0.10
            record["guards"] = {
                name: {
                    "kind": "utterances",
                    "rate": rate,
                    "rate_interval": [rate - 0.01, rate + 0.01],
                    "margin": 0.02,
                    "change": change,
                    "change_interval": [change, change],
                    "held": change <= 0.02,
                    "utterances": 20,
                }
                for name in ("general", "a <b> $")
            }

    edit_lines(run / "metrics.jsonl", add)
    summary = json.loads((run / "summary.json").read_text())
    for record in summary.values():
        add(record)
    summary["best"] = summary["alpha-0.5"]
    (run / "summary.json").write_text(json.dumps(summary))
    return run


def test_a_chart_for_each_guard_has_the_path_by_alpha_the_front_and_the_best(guarded: Path) -> None:
    records = read_run(guarded)
    assert [(model.label, model.kind) for model in models_of(records)] == [
        *((alpha, "path") for alpha in ("0", "0.25", "0.5", "1")),
        ("ema", "average"),
        ("10", "step"),
    ]
    charts = trade_off_charts(records)
    assert [chart.title for chart in charts] == [f"Yardstick against guard {name}" for name in ("general", "a <b> $")]
    lines = {str(line.get_label()): line.get_xydata().tolist() for line in charts[0].figure.axes[0].lines}
    assert lines["Pareto front"] == [[0, 0.11], [0.125, 0.105], [0.625, 0.10]]
    assert lines["base to last, by alpha"] == [[0.625, 0.10], [0.125, 0.105], [0, 0.11], [0.125, 0.25]]
    assert lines["averages"] == [[0.125, 0.3]]
    assert lines["best"] == [[0, 0.11]]
    assert [y for _, y in lines["allowed"]] == [pytest.approx(0.12)] * 2
    texts = [text.get_text() for text in charts[0].figure.axes[0].texts]
    assert texts == ["10", "0", "0.25", "0.5", "1", "ema"]


def test_the_table_says_what_holds_and_which_guards_each_is_on_the_front_of(guarded: Path) -> None:
    table = trade_off(read_run(guarded))
    assert table is not None
    assert table.guards == ["general", "a <b> $"]
    assert [(row.name, row.cells[1].is_on_front) for row in table.rows] == [
        ("Before training (alpha 0)", True),
        ("Alpha 0.25", True),
        ("Alpha 0.5: best", True),
        ("Last, step 20 (alpha 1)", False),
        ("Moving average at step 20", False),
    ]
    assert [(row.cells[1].change, row.cells[1].tone) for row in table.rows[:4]] == [
        ("", ""),
        ("+0.50: held", "good"),
        ("+1.00: held", "good"),
        ("+15.00: broken", "bad"),
    ]


def test_the_headline_names_alpha_and_the_page_has_the_section(guarded: Path) -> None:
    records = read_run(guarded)
    sentences = headline(records, None).sentences
    assert "interpolation at alpha 0.5 to step 20" in sentences[0]
    assert "0.5 x those of the untouched model + 0.5 x those after step 20" in sentences[1]
    page = render(records, draw_charts(records))
    assert 'id="trade-off"' in page
    assert "a &lt;b&gt; $" in page


def test_without_guards_there_is_a_table_and_no_chart(tmp_path: Path) -> None:
    records = read_run(a_run(tmp_path / "run", averages={"alpha-0.5": score_pairs(SAID)}))
    table = trade_off(records)
    assert table is not None
    assert table.guards == []
    assert trade_off_charts(records) == []
    assert "on the front" not in render(records, draw_charts(records))


def test_a_run_of_steps_alone_has_no_such_section(tmp_path: Path) -> None:
    records = read_run(a_run(tmp_path / "run"))
    assert trade_off(records) is None
    assert 'id="trade-off"' not in render(records, draw_charts(records))
