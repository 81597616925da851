"""report.html as a text: what must be escaped, and what it says of runs in other states. Browsers: test_report.py."""

import itertools
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from accel_asr.reporting.charts import draw_charts
from accel_asr.reporting.report_page import MAX_BYTES, render, write_report
from accel_asr.reporting.run_records import read_run
from tests.refusals import refused
from tests.unit.evaluation.made_up_scores import score_pairs
from tests.unit.reporting.made_up_runs import SAMPLING_RATE_HZ, a_run, edit_lines, make_run, rename, tone

SCRIPT = "<script>alert(1)</script>"
ATTRIBUTE = '" onload="alert(1)" \' onerror=\'alert(1)'
VOID = {"meta", "link", "img", "br"}


class Outline(HTMLParser):
    """Tags, attributes, headings and visible text; tags that are not closed in order are a failure."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attributes
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attributes

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def page_of(folder: Path, *, step: int | None = None, **more: object) -> str:
    records = read_run(folder, step=step)
    return render(records, draw_charts(records), **more)  # type: ignore[arg-type]


def test_texts_of_the_data_stay_texts_wherever_they_stand(tmp_path: Path) -> None:
    nasty = f"{SCRIPT} {ATTRIBUTE}\x1b[2J\u202e"
    scored = score_pairs([(nasty, "x"), ("y", nasty)], columns={nasty: nasty}, language=ATTRIBUTE, source=SCRIPT)
    other = score_pairs([("y", "")], columns={nasty: "b"}, language="en", source="b", audio_problem=nasty, cut_off=True)
    scored = rename([*scored, *other], [f"{nasty}{row}" for row in range(3)])
    summary = {
        "source": {"name_or_path": nasty, "subset": nasty, "revision": None},
        "text": {"replacements": {nasty: nasty}},
        "validation": {
            "utterances": 3, "hours": 1.0, "shortest_s": 1.0, "longest_s": 2.0, "longest_label_tokens": 3
        },
        "dropped": {nasty: {"count": 1, "examples": [[nasty, nasty]]}},
        "notices": [nasty],
    }  # fmt: skip
    folder = make_run(
        tmp_path / f"run{ATTRIBUTE.replace('/', '')}",
        {0: scored, 10: scored},
        data_summary=summary,
        settings=["--hub.hub_model_id", "a/b", "--model.name_or_path", f"{SCRIPT} {ATTRIBUTE}"],
    )
    outline = Outline(page_of(folder, samples_of=tone))
    assert "script" not in outline.tags
    assert not {name for name, _ in outline.attributes if name.startswith("on")}
    assert outline.text.count(SCRIPT) > 10
    # marks that turn the direction of writing would make a file's name read as another's
    everything = outline.text + "".join(str(value) for _, value in outline.attributes)
    assert not set(everything) & {"\x1b", "\u202e"}
    assert outline.text.count(r"\x1b[2J\u202e") > 10


def test_only_data_of_its_own_is_named_and_the_policy_forbids_the_rest(tmp_path: Path) -> None:
    outline = Outline(page_of(a_run(tmp_path / "run"), samples_of=tone))
    links = ("src", "href", "xlink:href", "srcset", "action")
    addresses = [value or "" for name, value in outline.attributes if name in links]
    assert addresses
    assert {address.split(":")[0] if ":" in address else address[0] for address in addresses} == {"data", "#"}
    policy = next(value for name, value in outline.attributes if name == "content" and "default-src" in (value or ""))
    assert policy is not None
    assert "default-src 'none'" in policy
    assert "script-src" not in policy


def test_headings_go_down_one_step_at_a_time_and_cells_know_their_headers(tmp_path: Path) -> None:
    page = page_of(a_run(tmp_path / "run"), samples_of=tone)
    levels = [int(level) for level in re.findall(r"<h([1-6])", page)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    assert page.count("<th ") == page.count('scope="row"') + page.count('scope="col"')
    assert "<th>" not in page
    assert page.count("<svg") == page.count('<div role="img" aria-label="') > 0
    assert page.count("<img") == len(re.findall(r'<img [^>]*alt="Log-mel spectrogram', page)) > 0


def test_a_run_that_was_stopped_says_so_and_shows_what_there_is(tmp_path: Path) -> None:
    stopped = Outline(page_of(a_run(tmp_path / "run", finished=False))).text
    assert "This run is not finished" in stopped
    assert "up to step 20" in stopped
    assert "is not finished" not in Outline(page_of(a_run(tmp_path / "whole"))).text


@pytest.mark.parametrize(
    ("train_steps", "charts", "text"),
    [(0, 0, ["has not logged a step yet", "There is nothing to draw yet"]), (5, 3, ["Nothing has been scored yet"])],
)
def test_a_run_that_has_just_begun_is_a_page_too(
    tmp_path: Path, train_steps: int, charts: int, text: list[str]
) -> None:
    outline = Outline(page_of(make_run(tmp_path / "run", {}, train_steps=train_steps, finished=False)))
    assert outline.tags.count("svg") == charts
    assert not [words for words in text if words not in outline.text]


def test_a_streaming_run_shows_its_shards_and_what_was_left_out(tmp_path: Path) -> None:
    summary = {"train": {"shards": 12, "streamed": True}, "left_out_in_training": {"no text": 3, "unreadable": ["u9"]}}
    text = Outline(page_of(a_run(tmp_path / "run", data_summary=summary))).text
    assert "streamed from 12 shards" in text
    assert "no text (left out of the stream)" in text
    assert "could not be decoded during training" in text


def test_clips_without_speech_are_counted_beside_the_utterances(tmp_path: Path) -> None:
    part = {"utterances": 90, "hours": 0.1, "shortest_s": 1.0, "longest_s": 9.0, "longest_label_tokens": 40}
    summary = {"train": part, "validation": {**part, "utterances": 20}, "no_speech": {"clips": 10, "hours": 0.05}}
    text = Outline(page_of(a_run(tmp_path / "run", data_summary=summary))).text
    assert "Training, without speech103 min" in text  # the cells of a row: 10 clips, 0.05 hours


def test_the_page_says_why_there_are_no_players(tmp_path: Path) -> None:
    page = page_of(a_run(tmp_path / "run"), step=20, without_audio="the disk is not there")
    assert "This page has no players and pictures: the disk is not there." in Outline(page).text
    assert "<audio" not in page
    assert "This is the evaluation of step 20, not that of the best model." in Outline(page).text


def test_however_large_the_run_the_page_is_below_ten_megabytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(soundfile, "available_formats", lambda: {"WAV": ""})  # the largest that a player can be
    noise = np.random.default_rng(0).integers(-30_000, 30_000, size=30 * SAMPLING_RATE_HZ).astype(np.int16)
    said, heard = " ".join("\u0e01" * 8 + str(number) for number in range(1_000)), "\U0001f600" * 10_000
    more = {"columns": {"speaker": "x" * 5_000}}
    before = score_pairs([(f"{row} {said}", said) for row in range(25)], **more)
    after = score_pairs([(f"{row} {said}", f"{heard} {said}") for row in range(25)], **more)
    summary = {
        "dropped": {f"reason {n}": {"count": 20, "examples": [["u" * 5_000, "x" * 5_000]] * 20} for n in range(4)},
        "notices": ["n" * 10_000] * 100,
    }
    folder = make_run(tmp_path / "run", {0: before, 10: after}, train_steps=5_000, data_summary=summary)
    records = read_run(folder)
    path = write_report(records, draw_charts(records), folder / "report.html", samples_of=lambda name: noise)
    assert 5_000_000 < path.stat().st_size < MAX_BYTES
    text = Outline(path.read_text(encoding="utf-8")).text
    assert "recordings left out, to keep this page below 10 MB" in text
    assert "more are left out of this page" in text
    assert "Each point is the mean of" in text


def test_a_place_that_can_not_be_written_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    from accel_asr.commands import report

    folder = a_run(tmp_path / "run", settings=["--data.name_or_path", str(tmp_path / "gone")])
    (tmp_path / "file").write_text("", encoding="utf-8")
    page = tmp_path / "file" / "report.html"
    with refused("--output", "can't be written"):
        report.main([str(folder), "--output", str(page)])


def test_a_run_that_was_scored_with_merged_padding_says_so(tmp_path: Path) -> None:
    run = a_run(tmp_path / "run")
    assert "merged padding" not in page_of(run)

    def merged(line: dict[str, Any]) -> None:
        if line["kind"] == "eval":
            line["audio_context"] = "merged"

    edit_lines(run / "metrics.jsonl", merged)
    assert "Scored with merged padding (evaluation.audio_context)" in page_of(run)
