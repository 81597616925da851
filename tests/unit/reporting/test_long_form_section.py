"""Long recordings in the report: both models, the words that went wrong, and runs that have none."""

from pathlib import Path
from typing import Any

import pytest

from accel_asr.files.atomic_writes import write_json
from accel_asr.reporting.charts import draw_charts
from accel_asr.reporting.long_form_section import long_form_section
from accel_asr.reporting.report_page import render
from accel_asr.reporting.run_records import RunRecords, read_run
from tests.unit.reporting.made_up_runs import a_run

STRETCH = {
    "recording": "<talk>", "start_s": 75.4, "end_s": 130.0, "words": 30, "before": "and then", "text": "it <was> lost",
    "after": "at last",
}  # fmt: skip
SCORES = {
    "wer": 0.1, "wer_interval": [0.05, 0.2], "recordings": 3, "audio_seconds": 366.0, "unreadable": 0, "cut_off": 0,
    "loops": 0, "loop_words": 0, "loop_s": 0.0, "missing": 1, "missing_words": 30, "missing_s": 54.6,
    "boundaries": 40, "boundary_error_s": 0.25, "boundary_error_95_s": 1.5,
    "examples": {"loops": [], "missing": [STRETCH]},
}  # fmt: skip
LOOPING = {**SCORES, "loops": 2, "loop_words": 16, "loop_s": 4.0, "examples": {"loops": [STRETCH], "missing": []}}


@pytest.fixture
def records_with(tmp_path: Path) -> Any:
    def make(before: dict[str, Any] | None, after: dict[str, Any] | None) -> RunRecords:
        folder = a_run(tmp_path / "run")
        summary = dict(read_run(folder).summary)
        for name, scores in (("baseline", before), ("best", after)):
            if scores is not None:
                summary[name] = {**summary[name], "long_form": scores}
        write_json(folder / "summary.json", summary)
        return read_run(folder)

    return make


def test_both_models_stand_side_by_side(records_with: Any) -> None:
    section = long_form_section(records_with(SCORES, {**LOOPING, "wer": 0.25}))
    assert section is not None
    assert section.columns == ["Before training", "Best (step 10)"]
    assert "3 recordings of 6.1 minutes" in section.size
    cells = {row.name: row.cells for row in section.rows}
    assert [value for value, _ in cells["Word error rate"]] == ["10.00%", "25.00%"]
    assert cells["Missing stretches"] == [("1", "30 words, 54.6 s")] * 2
    assert cells["Loops"] == [("0", ""), ("2", "16 words, 4.0 s")]
    assert cells["Segment times"][0] == ("0.25 s", "95%: 1.50 s; 40 boundaries")
    (missing,), (loop,) = section.stretches.values()
    assert (missing.is_missing, missing.place, loop.is_missing) == (True, "1:15\u20132:10", False)


def test_times_that_are_not_known_have_no_row(records_with: Any) -> None:
    unknown = {**SCORES, "boundaries": 0, "boundary_error_s": None, "boundary_error_95_s": None}
    section = long_form_section(records_with(unknown, None))
    assert section is not None
    assert [row.name for row in section.rows] == ["Word error rate", "Missing stretches", "Loops"]
    assert section.columns == ["Before training"]


def test_the_page_shows_the_words_as_text(records_with: Any) -> None:
    records = records_with(SCORES, LOOPING)
    page = render(records, draw_charts(records))
    assert "<del>it &lt;was&gt; lost</del>" in page
    assert '<ins class="added">it &lt;was&gt; lost</ins>' in page
    assert "&lt;talk&gt;" in page


def test_the_page_says_why_there_are_none_or_is_silent(records_with: Any, tmp_path: Path) -> None:
    records = records_with({"skipped": "the window is too short"}, None)
    assert "Not transcribed: the window is too short." in render(records, draw_charts(records))
    records = read_run(a_run(tmp_path / "other"))
    assert long_form_section(records) is None
    assert "Long recordings" not in render(records, draw_charts(records))
