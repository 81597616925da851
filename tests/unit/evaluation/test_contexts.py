"""When a model that was trained on short contexts is worse at the whole window, that is said; else nothing is."""

import pytest

from accel_asr.evaluation.contexts import full_context_problem


def record(wer: float | None, *, speech: float | None = None, step: int = 30) -> dict[str, object]:
    return {"step": step, "wer": wer} | ({"speech_context": {"wer": speech}} if speech is not None else {})


def test_worse_than_the_untouched_model_by_more_than_the_margin_is_said_with_all_three_rates() -> None:
    message = full_context_problem(record(0.45, speech=0.12), record(0.36, speech=0.9, step=0), margin=0.01)
    assert message is not None
    assert message.startswith("WARNING: at its whole window the model of step 30 is worse than the untouched one")
    assert "45.00% against 36.00% (and 12.00% at the speech context)" in message


@pytest.mark.parametrize("wer", [0.1, 0.36, 0.37])
def test_within_the_margin_nothing_is_said(wer: float) -> None:
    assert full_context_problem(record(wer, speech=0.9), record(0.36, speech=0.9), margin=0.0101) is None


def test_a_run_at_the_whole_window_is_not_judged() -> None:
    assert full_context_problem(record(0.9), record(0.36), margin=0.01) is None


def test_without_a_rate_or_a_baseline_there_is_nothing_to_compare() -> None:
    assert full_context_problem(record(0.9, speech=0.1), None, margin=0.01) is None
    assert full_context_problem(record(None, speech=0.1), record(0.36), margin=0.01) is None
    assert full_context_problem(record(0.9, speech=0.1), record(None), margin=0.01) is None
    assert full_context_problem(record(float("nan"), speech=0.1), record(0.3), margin=0.01) is None
