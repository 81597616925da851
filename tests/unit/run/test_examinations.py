"""What is examined twice, and its lines at the end of a run."""

from types import SimpleNamespace
from typing import Any

import pytest

from accel_asr.config.settings import EvaluationConfig
from accel_asr.run import examinations
from accel_asr.run.examinations import Examinations
from accel_asr.run.examined_lines import examined_lines

LONG_FORM = {"wer": 0.1, "loops": 0, "missing": 1, "recordings": 3, "audio_seconds": 366.0}


@pytest.fixture
def examined(monkeypatch) -> Any:
    job = SimpleNamespace(
        long_recordings=("a recording",), validation_items=SimpleNamespace(encoder=None), processor=None
    )
    whole = Examinations(job, EvaluationConfig(no_speech=False), None, None, None)  # type: ignore[arg-type]
    monkeypatch.setattr(examinations, "why_not_long", lambda *_, **__: "it can not")
    return whole


def test_a_model_that_can_not_go_from_window_to_window_is_not_asked_twice(examined, monkeypatch) -> None:
    baseline = examined.of_model(None)
    assert baseline == {"long_form": {"skipped": "it can not"}}
    monkeypatch.setattr(examinations, "why_not_long", None)
    assert examined.of_model(None, baseline=baseline) == baseline


def test_it_is_due_until_the_record_has_it(examined) -> None:
    assert examined.are_due({"wer": 0.1})
    assert not examined.are_due({"wer": 0.1, "long_form": {"skipped": "it can not"}})


def test_the_lines_say_both_sides_or_why_there_is_none() -> None:
    after = {**LONG_FORM, "wer": 0.25, "loops": 2}
    (line,) = examined_lines({"baseline": {"long_form": LONG_FORM}, "last": {"long_form": after}})
    assert "WER 10.00% before, 25.00% after, 0 and 2 loops, 1 and 1 missing stretches" in line
    assert "3 of 6.1 min in all" in line
    (line,) = examined_lines({"last": {"long_form": LONG_FORM}})
    assert "WER 10.00% after, 0 loops" in line
    (line,) = examined_lines({"last": {"long_form": {"skipped": "it can not"}}})
    assert line == "long recordings: not transcribed: it can not"
