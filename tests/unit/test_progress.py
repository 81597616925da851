"""What a person sees: numbers in words, tables of all evaluations, nothing on other ranks."""

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from accel_asr import progress
from accel_asr.evaluation.scoring import Transcript, score_utterance
from accel_asr.progress import Display, percent
from accel_asr.training.step import StepResult

SCORED = [score_utterance(Transcript("clip-0", 1.0, "[bold]my card", "my car", False), str.lower)]


def record(step: int, wer: float) -> dict[str, Any]:
    rates = {"wer": wer, "wer_ortho": wer + 0.1, "cer": wer / 2, "loss": 1.25}
    return {"step": step, "epoch": step / 30, "utterances": 113, "cut_off": 2, **rates}


def display(*, is_main: bool = True) -> Display:
    return Display(SimpleNamespace(is_main_process=is_main))  # type: ignore[arg-type]


@pytest.mark.parametrize(("rate", "shown"), [(0.0512, "5.12%"), (0.0, "0.00%"), (2.5, "250.00%"), (math.nan, "n/a")])
def test_rates_are_shown_in_percent(rate: float, shown: str) -> None:
    assert percent(rate) == shown


def test_the_table_shows_every_evaluation_so_far(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    shown = display()
    shown.show_scores(record(0, 0.75), SCORED, remark="baseline")
    capsys.readouterr()
    shown.show_scores(record(30, 0.25), SCORED, remark="best so far")
    told = capsys.readouterr().out
    for expected in ("baseline", "75.00%", "best so far", "25.00%", "35.00%", "12.50%", "1.250", "113"):
        assert expected in told, expected
    assert "[bold]my card" in told  # text is text, not markup
    assert "my car\n" in told


def test_recordings_that_were_not_decoded_are_named_and_scores_of_parts_are_shown(
    capsys: pytest.CaptureFixture[str],
) -> None:
    gone = Transcript("[i]clip-1", 1.0, "my card", "", False, audio_problem="the file can't be reached")
    parts = {"by_language": {"de": record(0, 0.5), "unset": record(0, 0.25)}, "by_source": {"calls": record(0, 0.1)}}
    display().show_scores({**record(0, 0.75), **parts}, [*SCORED, score_utterance(gone, str.lower)], remark="baseline")
    told = capsys.readouterr().out
    assert "not decoded, scored as an empty transcript: [i]clip-1 (the file can't be reached)\n" in told
    assert told.count("not decoded") == 1
    assert "  language de: WER 50.00%, CER 25.00%, 113 utterances\n" in told
    assert "  language unset: WER 25.00%, CER 12.50%, 113 utterances\n" in told
    assert "  source calls: WER 10.00%, CER 5.00%, 113 utterances\n" in told


@pytest.mark.parametrize(
    ("best", "note"),
    [(0.25, False), (0.75, True), (0.8, True), (math.nan, True)],
    ids=["better", "equal", "worse", "none"],
)
def test_the_summary_says_when_nothing_was_better_than_the_untouched_model(
    capsys: pytest.CaptureFixture[str], best: float, note: bool
) -> None:
    scores = {"baseline": record(0, 0.75), "best": record(30, best), "last": record(60, 0.9)}
    display().show_summary(scores, Path("runs/mine"))
    told = capsys.readouterr().out
    assert ("no evaluation was better than the untouched model's" in told) is note
    assert "WER 75.00% before, " in told
    assert "90.00% last (step 60), on 113 utterances" in told
    assert "accel-asr transcribe --model runs/mine/best" in told


def test_the_summary_of_a_run_without_a_baseline(capsys: pytest.CaptureFixture[str]) -> None:
    display().show_summary({"best": record(30, 0.25), "last": record(60, 0.3)}, Path("runs/mine"))
    told = capsys.readouterr().out
    assert "before" not in told
    assert "WER 25.00% best (step 30)" in told


def test_the_summary_says_where_the_report_is_if_there_is_one(capsys: pytest.CaptureFixture[str]) -> None:
    scores = {"best": record(30, 0.25), "last": record(60, 0.3)}
    display().show_summary(scores, Path("runs/mine"), report=Path("runs/mine/report.html"))
    assert "\nreport      runs/mine/report.html\nmodel       runs/mine/best\n" in capsys.readouterr().out
    display().show_summary(scores, Path("runs/mine"))
    assert "report" not in capsys.readouterr().out


def test_throughput_is_audio_over_time_without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(now_s=100.0)
    monkeypatch.setattr(progress.time, "perf_counter", lambda: clock.now_s)
    shown = display()
    shown.start_training(first_step=1, last_step=2)
    clock.now_s += 10
    shown.show_step(
        StepResult(loss=1.0, grad_norm=1.0, target_tokens=5, audio_s=60.0, skipped=False, stop_requested=False), 1e-5
    )
    assert shown.audio_seconds_per_second() == 6.0
    clock.now_s += 90  # an evaluation
    shown.pause(90)
    assert shown.audio_seconds_per_second() == 6.0
    shown.close_bar()


def test_other_ranks_show_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    shown = display(is_main=False)
    shown.start_training(first_step=1, last_step=2)
    shown.say("hello")
    shown.show_step(StepResult(1.0, 1.0, 5, 60.0, skipped=False, stop_requested=False), 1e-5)
    shown.show_scores(record(30, 0.25), SCORED, remark="")
    with shown.evaluation_bar(5) as bar:
        bar.update(5)
    shown.close_bar()
    shown.show_summary({"best": record(30, 0.25), "last": record(60, 0.3)}, Path("x"))
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "")
