"""What a person sees: numbers in words, tables of all evaluations, nothing on other ranks."""

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from accel_asr.evaluation.scoring import Transcript, score_utterance
from accel_asr.run import display as progress
from accel_asr.run.display import Display
from accel_asr.training.started_step import StepResult

SCORED = [score_utterance(Transcript("clip-0", 1.0, "[bold]my card", "my car", False), str.lower)]


def record(step: int, wer: float) -> dict[str, Any]:
    rates = {"wer": wer, "wer_ortho": wer + 0.1, "cer": wer / 2, "loss": 1.25}
    return {"step": step, "epoch": step / 30, "utterances": 113, "cut_off": 2, **rates}


def display(*, is_main: bool = True, is_log: bool = False) -> Display:
    made = Display(SimpleNamespace(is_main_process=is_main))  # type: ignore[arg-type]
    assert made.is_log  # where tests run, nobody watches
    made.is_log = is_log
    return made


def step_result(loss: float, *, target_tokens: int = 5, audio_s: float = 60.0) -> StepResult:
    return StepResult(loss, 1.0, target_tokens, audio_s, skipped=False)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Stands still until a test moves `now_s`."""
    made = SimpleNamespace(now_s=100.0)
    for name in ("perf_counter", "monotonic"):
        monkeypatch.setattr(progress.time, name, lambda: made.now_s)
    return made


def test_the_table_shows_every_evaluation_so_far(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    shown = display()
    shown.show_scores(record(0, 0.75), SCORED, remark="baseline")
    capsys.readouterr()
    shown.show_scores(record(30, 0.25), SCORED, remark="best so far")
    message = capsys.readouterr().out
    for expected in ("baseline", "75.00%", "best so far", "25.00%", "35.00%", "12.50%", "1.250", "113"):
        assert expected in message, expected
    assert "[bold]my card" in message  # text is text, not markup
    assert "my car\n" in message


def test_recordings_that_were_not_decoded_are_named_and_scores_of_parts_are_shown(
    capsys: pytest.CaptureFixture[str],
) -> None:
    gone = Transcript("[i]clip-1", 1.0, "my card", "", False, audio_problem="the file can't be reached")
    parts = {"by_language": {"de": record(0, 0.5), "unset": record(0, 0.25)}, "by_source": {"calls": record(0, 0.1)}}
    display().show_scores({**record(0, 0.75), **parts}, [*SCORED, score_utterance(gone, str.lower)], remark="baseline")
    message = capsys.readouterr().out
    assert "not decoded, scored as an empty transcript: [i]clip-1 (the file can't be reached)\n" in message
    assert message.count("not decoded") == 1
    assert "  language de: WER 50.00%, CER 25.00%, 113 utterances\n" in message
    assert "  language unset: WER 25.00%, CER 12.50%, 113 utterances\n" in message
    assert "  source calls: WER 10.00%, CER 5.00%, 113 utterances\n" in message


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
    message = capsys.readouterr().out
    assert ("no evaluation was better than the untouched model's" in message) is note
    assert "WER 75.00% before, " in message
    assert "90.00% last (step 60), on 113 utterances" in message
    assert "accel-asr transcribe --model runs/mine/best" in message


def test_the_summary_of_a_run_without_a_baseline(capsys: pytest.CaptureFixture[str]) -> None:
    display().show_summary({"best": record(30, 0.25), "last": record(60, 0.3)}, Path("runs/mine"))
    message = capsys.readouterr().out
    assert "before" not in message
    assert "WER 25.00% best (step 30)" in message


def test_the_summary_says_which_weights_are_best_and_how_the_others_did(capsys: pytest.CaptureFixture[str]) -> None:
    ema = record(60, 0.25) | {"weights": "ema", "ema_decay": 0.99}
    average = record(60, 0.35) | {"weights": "average", "steps": [20, 40, 60]}
    scores = {"best": ema, "last": record(60, 0.3), "ema": ema, "average": average}
    display().show_summary(scores, Path("runs/mine"))
    message = capsys.readouterr().out
    assert "WER 25.00% best (moving average at step 60), 30.00% last (step 60)" in message
    assert "WER 35.00% mean of steps 20, 40 and 60\n" in message
    assert message.count("moving average") == 1


def test_scores_with_merged_padding_say_so(capsys: pytest.CaptureFixture[str]) -> None:
    scores = {"best": record(30, 0.25) | {"audio_context": "merged"}, "last": record(60, 0.3)}
    display().show_summary(scores, Path("runs/mine"))
    assert " utterances, with merged padding\n" in capsys.readouterr().out
    shown = display()
    shown.is_log = False
    shown.show_scores(scores["best"], SCORED, remark="")
    assert "validation utterances, with merged padding" in capsys.readouterr().out


def test_the_summary_says_where_the_report_is_if_there_is_one(capsys: pytest.CaptureFixture[str]) -> None:
    scores = {"best": record(30, 0.25), "last": record(60, 0.3)}
    display().show_summary(scores, Path("runs/mine"), report=Path("runs/mine/report.html"))
    assert "\nreport      runs/mine/report.html\nmodel       runs/mine/best\n" in capsys.readouterr().out
    display().show_summary(scores, Path("runs/mine"))
    assert "report" not in capsys.readouterr().out


def test_the_summary_names_tensorboard_only_where_its_files_are(capsys: pytest.CaptureFixture[str]) -> None:
    scores = {"best": record(30, 0.25), "last": record(60, 0.3)}
    display().show_summary(scores, Path("runs/mine"))
    assert "tensorboard --logdir runs/mine" in capsys.readouterr().out
    display().show_summary(scores, Path("runs/mine"), has_curves=False)
    assert "tensorboard" not in capsys.readouterr().out


def test_the_adapters_of_a_run_are_named(tmp_path: Path, capsys) -> None:
    for has_adapters in (False, True):
        display().show_summary({"best": record(30, 0.25), "last": record(60, 0.3)}, tmp_path)
        assert ("best_adapter" in capsys.readouterr().out) == has_adapters
        (tmp_path / "best_adapter").mkdir(exist_ok=True)


def test_throughput_is_audio_over_time_without_pauses(clock: SimpleNamespace) -> None:
    shown = display()
    shown.start_training(first_step=1, last_step=2)
    clock.now_s += 10
    shown.show_step(step_result(1.0), 1e-5)
    assert shown.audio_seconds_per_second() == 6.0
    with shown.paused():
        clock.now_s += 90  # an evaluation
    assert shown.audio_seconds_per_second() == 6.0
    shown.close_bar()


def test_other_ranks_show_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    shown = display(is_main=False)
    shown.start_training(first_step=1, last_step=2)
    shown.say("hello")
    shown.show_step(step_result(1.0), 1e-5)
    shown.show_scores(record(30, 0.25), SCORED, remark="")
    with shown.evaluation_bar(5) as bar:
        bar.update(5)
    shown.close_bar()
    shown.show_summary({"best": record(30, 0.25), "last": record(60, 0.3)}, Path("x"))
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "")


# -- in a log, which nobody watches


def test_a_log_gets_a_line_every_30_s_or_5_percent_of_the_steps_whichever_is_rarer(
    capsys: pytest.CaptureFixture[str], clock: SimpleNamespace
) -> None:
    shown = display(is_log=True)
    shown.start_training(first_step=1, last_step=100)
    for step in range(1, 101):
        clock.now_s += 10
        shown.show_step(step_result(loss=float(step), target_tokens=1 if step % 2 else 3), 1e-5)
    shown.close_bar()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 20  # 5% are 50 s here
    assert lines[0].startswith("train: 5 of 100 steps (5%), loss 3.000, lr 1.0e-05, 6 audio-s/s")
    # the mean of a token since the line before, not the last step's loss: (6*3 + 7*1 + 8*3 + 9*1 + 10*3) / 11
    assert "loss 8.000" in lines[1]


def test_of_evaluations_in_quick_succession_a_log_gets_a_line_a_minute_and_one_table_in_the_end(
    capsys: pytest.CaptureFixture[str], clock: SimpleNamespace
) -> None:
    shown = display(is_log=True)
    for step in range(0, 3_600, 10):  # an hour of evaluations every 10 s
        shown.show_scores(record(step, 0.5), SCORED, remark="baseline" if step == 0 else "")
        clock.now_s += 10
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 60
    assert lines[0].startswith("evaluation at step 0 (epoch 0): WER 50.00%, WER ortho 60.00%, CER 25.00%")
    assert lines[0].endswith(", baseline")
    assert lines[1].endswith("; 5 since the line before")
    shown.close_bar()
    table = capsys.readouterr().out
    assert table.count("baseline") == 1
    assert "3590" in table
    assert table.count("hypothesis") == 1
    assert len(table.splitlines()) < 30
    shown.close_bar()
    assert capsys.readouterr().out == ""


def test_faults_of_many_recordings_do_not_fill_a_log(capsys: pytest.CaptureFixture[str]) -> None:
    shown = display(is_log=True)
    for number in range(500):
        shown.say_fault(f"step {number}: a\nb")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 21
    assert lines[0] == r"step 0: a\nb"
    assert "metrics.jsonl" in lines[-1]


# -- texts of the data


@pytest.mark.parametrize("is_log", [False, True], ids=["terminal", "log"])
def test_no_text_or_name_acts_on_the_screen(capsys: pytest.CaptureFixture[str], is_log: bool) -> None:
    hostile = "x\x1b]0;title\x07\x1b[2J\x9b1m\u202ey\r\nz :smile: [red]"
    transcript = Transcript(hostile, 1.0, hostile, hostile, False, audio_problem=hostile)
    shown = display(is_log=is_log)
    parts = {"by_language": {hostile: record(0, 0.5)}, "by_source": {hostile: record(0, 0.5)}}
    shown.show_scores({**record(0, 0.75), **parts}, [score_utterance(transcript, str)], remark="baseline")
    shown.say_line(hostile)
    shown.close_bar()
    message = capsys.readouterr().out
    assert set(message) & set("\x1b\x07\x9b\u202e\r") == set()
    assert message.count(r"x\x1b]0;title\x07\x1b[2J\x9b1m\u202ey\r\nz :smile: [red]") == 7


def test_a_transcript_that_loops_is_cut(capsys: pytest.CaptureFixture[str]) -> None:
    looping = Transcript("clip-0", 1.0, "my card", "la " * 700, False)
    display().show_scores(record(0, 0.75), [score_utterance(looping, str.lower)], remark="baseline")
    assert "... (2,100 characters)" in capsys.readouterr().out


def test_an_hour_leaves_a_log_of_under_200_lines(
    capsys: pytest.CaptureFixture[str], clock: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Steps of a second; every 30 of them an evaluation that takes 61 s, so that it has a line of its own too."""
    shown = display(is_log=True)
    shown.start_training(first_step=1, last_step=1_200)
    step = 0
    while clock.now_s < 3_700:
        step += 1
        clock.now_s += 1
        shown.show_step(step_result(1.0), 1e-5)
        if step % 30 == 0:
            with shown.evaluation_bar(61) as bar:
                for _ in range(61):
                    clock.now_s += 1
                    bar.update()
            shown.show_scores(record(step, 0.5), SCORED, remark="best so far")
    shown.close_bar()
    message = capsys.readouterr()
    assert "evaluate: " in message.err
    assert "evaluation at step " in message.out
    assert 100 < len((message.out + message.err).splitlines()) < 170  # which leaves 30 for the beginning and the end
