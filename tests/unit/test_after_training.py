"""The report that training writes at its end."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from accel_asr.after_training import report_finished_run
from accel_asr.files.atomic_writes import WRITING
from tests.unit.evaluation.made_up_scores import score_pairs
from tests.unit.reporting.made_up_runs import a_run, make_run, rename

if TYPE_CHECKING:
    from accel_asr.data.selection.utterances import Utterances


def test_only_the_utterances_that_are_shown_are_decoded(
    tmp_path: Path, utterances: "Utterances", monkeypatch: pytest.MonkeyPatch
) -> None:
    from accel_asr.data.indexing.recordings import Recording

    decoded = []
    samples = Recording.samples
    monkeypatch.setattr(Recording, "samples", lambda self: decoded.append(self) or samples(self))
    scored = rename(score_pairs([("a b", "a b"), ("a b", "a x"), ("a b", "a b")]), utterances.ids())
    folder = make_run(tmp_path / "run", {10: scored})
    messages: list[str] = []
    path = report_finished_run(folder, utterances, say=messages.append)
    assert path == folder / "report.html"
    assert messages == []
    assert len(decoded) == 1
    assert path.read_text(encoding="utf-8").count("<audio") == 1
    assert (folder / "plots" / "word_error_rate.png").exists()


def test_a_failure_is_a_message_that_says_how_to_try_again(tmp_path: Path, utterances: "Utterances") -> None:
    folder = a_run(tmp_path / "run")
    messages: list[str] = []
    # the plots fail: the page is there all the same
    (folder / "plots").write_text("in the way", encoding="utf-8")
    assert report_finished_run(folder, utterances, say=messages.append) == folder / "report.html"
    # as on a full disk, nothing can be written: the page of before stays
    page = (folder / "report.html").read_bytes()
    (folder / f".report.html{WRITING}").mkdir()
    assert report_finished_run(folder, utterances, say=messages.append) is None
    assert (folder / "report.html").read_bytes() == page
    # the records are gone
    (folder / "evaluations" / "step-00000010.jsonl").unlink()
    assert report_finished_run(folder, utterances, say=messages.append) is None
    assert [message.split(" could not be written (")[0] for message in messages] == [
        *("the plots", "the report", "the report")
    ]
    assert all(message.endswith(f"; try again with: accel-asr report {folder}") for message in messages)
