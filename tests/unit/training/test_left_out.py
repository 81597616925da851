"""Recordings that fail when their turn comes: lines, counted once, and no more of them than the user lets pass."""

import pytest

from accel_asr.data.loading.items import FailedItem
from accel_asr.errors import UserError
from accel_asr.training.left_out import note_left_out
from accel_asr.training.saving.checkpoint_state import Progress
from tests.refusals import refused


def failed(*names: str, reason: str = "the file can't be reached", is_filtered: bool = False) -> list[FailedItem]:
    return [FailedItem(name, reason, is_filtered) for name in names]


def note(items: list[FailedItem], progress: Progress, *, step: int = 7, share: float = 0.5) -> list[str]:
    return note_left_out(items, progress, step=step, rows=10, max_bad_fraction=share)


def test_each_is_told_with_its_reason_and_kept_in_the_progress() -> None:
    progress = Progress()
    lines = note([*failed("b.wav"), *failed("a.wav", reason="it is empty")], progress)
    assert lines == [
        "step 7: 2 recordings could not be used, and the batch was without them: b.wav (the file can't be reached); "
        "a.wav (it is empty)"
    ]
    assert progress.unreadable == ["a.wav", "b.wav"]


def test_a_recording_that_fails_in_every_epoch_counts_once_and_is_told_each_time() -> None:
    progress = Progress()
    for step in range(1, 30):
        assert len(note(failed("a.wav"), progress, step=step, share=0.1)) == 1
    assert progress.unreadable == ["a.wav"]


def test_just_the_share_is_let_pass_and_one_more_ends_the_run_on_every_rank() -> None:
    progress = Progress()
    note(failed("a.wav"), progress, step=1, share=0.2)
    note(failed("b.wav"), progress, step=2, share=0.2)  # 2 of 10
    with pytest.raises(UserError) as caught:
        note(failed("c.wav"), progress, step=3, share=0.2)
    error = caught.value
    assert (error.setting, error.value, error.same_on_every_rank) == ("--data.max_bad_fraction", 0.2, True)
    assert "by step 3, 3 of 10 training recordings" in error.problem
    assert "c.wav (the file can't be reached)" in error.problem
    assert "--checkpoint.resume true" in str(error.remedy)


def test_what_failed_before_a_resume_still_counts() -> None:
    with refused("--data.max_bad_fraction", "2 of 10", value=0.1):
        note(failed("b.wav"), Progress(unreadable=["a.wav"]), share=0.1)


def test_with_a_share_of_nothing_the_first_ends_the_run() -> None:
    with refused("--data.max_bad_fraction", "1 of 10", value=0.0):
        note(failed("a.wav"), Progress(), share=0.0)


def test_rows_that_a_setting_leaves_out_are_counted_by_reason_told_once_and_never_end_a_run() -> None:
    progress = Progress()
    lines = []
    for step in range(1, 4):
        lines += note(failed(f"{step}", reason="no text", is_filtered=True), progress, step=step, share=0.0)
        lines += note(failed(f"{step}+", reason="longer than 2 s", is_filtered=True), progress, step=step, share=0)
    assert lines == [
        "step 1: left out 1 (no text), and more will be counted",
        "step 1: left out 1+ (longer than 2 s), and more will be counted",
    ]
    assert progress.filtered == {"no text": 3, "longer than 2 s": 3}
    assert progress.unreadable == []
