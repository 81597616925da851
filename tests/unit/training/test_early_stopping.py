"""When a run ends before its last step, by WERs made up for it."""

import pytest
from transformers import EarlyStoppingCallback, TrainerControl, TrainerState, TrainingArguments

from accel_asr.training.early_stopping import EarlyStopping, early_stop_in_words
from accel_asr.training.saving.checkpoint_state import Progress

CASES = [
    # (WERs of the evaluations, patience, threshold, after how many of them the run ends)
    ([0.5, 0.4, 0.4, 0.41, 0.3], 2, 0.0, 4),
    ([0.5, 0.6, 0.4, 0.45, 0.35, 0.36, 0.37, 0.38], 3, 0.0, 8),
    ([0.5, 0.495, 0.49, 0.3, 0.2], 2, 0.01, 3),
    ([0.5, 0.4, 0.3, 0.2], 1, 0.0, None),
    ([0.5, 0.5], 1, 0.0, 2),
    ([0.5, 0.6, 0.7, 0.8], None, 0.0, None),
    ([float("nan"), 0.5, 0.4], 2, 0.0, 3),  # nothing to score: nothing is ever lower
]


def ends_after(wers: list[float], patience: int | None, threshold: float) -> int | None:
    """After how many evaluations the run ends early."""
    rule, progress = EarlyStopping(patience, threshold, last_step=10 * len(wers)), Progress()
    for step in rule.steps_left(progress):
        progress.step = step
        if step % 10 == 0:
            wer = wers[step // 10 - 1]
            rule.count(progress, wer)
            best = progress.scores.get("best")
            if best is None or wer < best["wer"]:
                progress.scores["best"] = {"wer": wer}
    early = progress.step < rule.last_step
    assert early == rule.ends(progress)
    return progress.step // 10 if early else None


@pytest.mark.parametrize(("wers", "patience", "threshold", "evaluations"), CASES)
def test_so_many_evaluations_without_a_gain_end_the_run(
    wers: list[float], patience: int | None, threshold: float, evaluations: int | None
) -> None:
    # one more evaluation, so that the end of the list is not the last step
    assert ends_after([*wers, 0.0], patience, threshold) == evaluations


@pytest.mark.parametrize(("wers", "patience", "threshold"), [case[:3] for case in CASES[:5]])
def test_transformers_callback_ends_it_at_the_same_evaluation(
    wers: list[float], patience: int, threshold: float, tmp_path
) -> None:
    callback = EarlyStoppingCallback(patience, threshold)
    arguments = TrainingArguments(str(tmp_path), metric_for_best_model="wer", greater_is_better=False, report_to=[])
    state, control = TrainerState(), TrainerControl()
    ended = None
    for number, wer in enumerate(wers, start=1):
        callback.on_evaluate(arguments, state, control, {"eval_wer": wer})
        if control.should_training_stop:
            ended = number
            break
        state.best_metric = wer if state.best_metric is None else min(state.best_metric, wer)
    assert ends_after([*wers, 0.0], patience, threshold) == ended


def test_a_run_that_has_ended_takes_no_step_when_it_is_resumed() -> None:
    rule = EarlyStopping(2, 0.0, last_step=100)
    assert [*rule.steps_left(Progress(step=40, evaluations_without_gain=2))] == []
    assert next(rule.steps_left(Progress(step=40, evaluations_without_gain=1))) == 41
    assert [*rule.steps_left(Progress(step=100))] == []
    # with more patience it goes on
    assert next(EarlyStopping(3, 0.0, last_step=100).steps_left(Progress(step=40, evaluations_without_gain=2))) == 41


def test_the_last_step_is_no_early_end() -> None:
    assert not EarlyStopping(1, 0.0, last_step=40).ends(Progress(step=40, evaluations_without_gain=1))


def test_why_it_ended_is_said_in_numbers() -> None:
    words = early_stop_in_words(step=40, last_step=1000, evaluations=3, threshold=0.005)
    for part in ("after step 40 of 1,000", "by more than 0.5 points", "the last 3 evaluations"):
        assert part in words
    assert "points" not in early_stop_in_words(step=40, last_step=1000, evaluations=1, threshold=0.0)
