"""The report that training writes at its end."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from accel_asr.files.atomic_writes import WRITING
from accel_asr.reporting.end_of_run import report_finished_run
from tests.unit.evaluation.made_up_scores import score_pairs
from tests.unit.reporting.made_up_runs import a_run, make_run

if TYPE_CHECKING:
    from accel_asr.data.selection.utterances import Utterances


def test_only_the_utterances_that_are_shown_are_decoded(
    tmp_path: Path, utterances: "Utterances", monkeypatch: pytest.MonkeyPatch
) -> None:
    from accel_asr.data.indexing.recordings import Recording

    decoded = []
    samples = Recording.samples
    monkeypatch.setattr(Recording, "samples", lambda self: decoded.append(self) or samples(self))
    scored = score_pairs([("a b", "a b"), ("a b", "a x"), ("a b", "a b")])
    ids = utterances.ids()
    for one, name in zip(scored, ids, strict=False):
        object.__setattr__(one.transcript, "utterance_id", name)
    folder = make_run(tmp_path / "run", {10: scored})
    said: list[str] = []
    path = report_finished_run(folder, utterances, say=said.append)
    assert path == folder / "report.html"
    assert said == []
    assert len(decoded) == 1
    assert path.read_text(encoding="utf-8").count("<audio") == 1
    assert (folder / "plots" / "word_error_rate.png").exists()


def test_whatever_goes_wrong_is_a_message_that_says_how_to_try_again(tmp_path: Path, utterances: "Utterances") -> None:
    folder = a_run(tmp_path / "run")
    (folder / "evaluations" / "step-00000010.jsonl").unlink()
    said: list[str] = []
    assert report_finished_run(folder, utterances, say=said.append) is None
    assert len(said) == 1
    assert said[0].startswith("the report could not be written (")
    assert said[0].endswith(f"; try again with: accel-asr report {folder}")


def test_plots_that_fail_leave_the_page(tmp_path: Path, utterances: "Utterances") -> None:
    folder = a_run(tmp_path / "run")
    (folder / "plots").write_text("in the way", encoding="utf-8")
    said: list[str] = []
    assert report_finished_run(folder, utterances, say=said.append) == folder / "report.html"
    assert said[0].startswith("the plots could not be written")


def test_an_error_while_writing_leaves_the_page_of_before(
    tmp_path: Path, utterances: "Utterances", monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = a_run(tmp_path / "run")
    report_finished_run(folder, utterances, say=print)
    before = (folder / "report.html").read_bytes()
    (folder / f".report.html{WRITING}").mkdir()  # as on a full disk, nothing can be written there
    assert report_finished_run(folder, utterances, say=lambda told: None) is None
    assert (folder / "report.html").read_bytes() == before
