"""Written behind: in order, one step at a time, and a failure ends the run before anything that builds on it."""

import errno
import threading
import time
from pathlib import Path

import pytest
from safetensors import SafetensorError

from accel_asr.errors import UserError
from accel_asr.training.saving.written_behind import WrittenBehind
from tests.refusals import refused

SOON_S = 0.2
DEADLINE_S = 20


@pytest.fixture
def written(accelerator, tmp_path: Path) -> WrittenBehind:
    return WrittenBehind(accelerator, tmp_path)


def fails(error: Exception):
    def write() -> None:
        raise error

    return write


def full_disk() -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_all_is_written_in_order_when_it_is_left(written: WrittenBehind) -> None:
    gate, done = threading.Event(), []
    with written:
        written.hand_over(lambda: gate.wait(DEADLINE_S), step=1)
        for name in "abc":
            written.hand_over(lambda name=name: done.append((name, threading.current_thread().name)), step=1)
        assert done == []  # training went on meanwhile
        gate.set()
    assert [name for name, _ in done] == ["a", "b", "c"]
    assert {thread for _, thread in done} == {"written-behind_0"}


def test_an_earlier_step_is_on_disk_before_a_later_one_is_taken_on(written: WrittenBehind) -> None:
    gate, done = threading.Event(), []
    with written:
        written.hand_over(lambda: gate.wait(DEADLINE_S), step=1)
        written.hand_over(lambda: done.append(1), step=1)
        later = threading.Thread(target=lambda: written.hand_over(lambda: done.append(2), step=2))
        later.start()
        later.join(SOON_S)
        assert later.is_alive()
        gate.set()
        later.join(DEADLINE_S)
        assert done[0] == 1
    assert done == [1, 2]


def test_a_failure_is_told_by_the_next_and_nothing_after_it_is_begun(written: WrittenBehind, tmp_path: Path) -> None:
    done: list[int] = []
    gate = threading.Event()
    written.hand_over(lambda: gate.wait(DEADLINE_S), step=1)
    written.hand_over(full_disk, step=1)
    written.hand_over(lambda: done.append(1), step=1)  # such as the checkpoint of scores that are not on disk
    assert not written.has_failed
    gate.set()
    written.wait_for_those_before(2)
    assert written.has_failed
    with pytest.raises(UserError, match=r"no space is left on its disk; .*start again") as caught:
        written.hand_over(lambda: done.append(2), step=2)
    assert caught.value.same_on_every_rank
    assert str(tmp_path) in str(caught.value)
    assert done == []


def test_the_last_failure_is_told_when_it_is_left(written: WrittenBehind, capsys) -> None:
    with pytest.raises(UserError, match="no space is left"), written:
        written.hand_over(full_disk, step=1)
    assert capsys.readouterr().err == ""  # by whoever catches it


def test_beside_another_error_it_is_said_too(written: WrittenBehind, capsys) -> None:
    written.hand_over(full_disk, step=1)
    with pytest.raises(ZeroDivisionError), written:
        raise ZeroDivisionError
    assert capsys.readouterr().err.startswith("error: --output_dir ")


def test_another_error_lets_what_is_in_flight_be_finished(written: WrittenBehind, capsys) -> None:
    done: list[int] = []
    written.hand_over(lambda: time.sleep(SOON_S), step=1)
    written.hand_over(lambda: done.append(1), step=1)
    with pytest.raises(ZeroDivisionError), written:
        raise ZeroDivisionError
    assert done == [1]
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    "error",
    [PermissionError(errno.EACCES, "Permission denied", "best"), SafetensorError("Permission denied (os error 13)")],
)
def test_other_refusals_of_the_file_system_are_one_message_too(written: WrittenBehind, error: Exception) -> None:
    with refused("--output_dir", "can't be written any more", "Permission denied"), written:
        written.hand_over(fails(error), step=1)


def test_a_mistake_of_ours_keeps_its_traceback(written: WrittenBehind) -> None:
    with pytest.raises(AssertionError, match="ours") as caught, written:
        written.hand_over(fails(AssertionError("ours")), step=1)
    assert "fails.<locals>.write" in {entry.frame.code.raw.co_qualname for entry in caught.traceback}


def test_what_failed_is_not_forgotten_before_it_is_told(written: WrittenBehind) -> None:
    written.hand_over(full_disk, step=1)
    written.wait_for_those_before(2)
    written.wait_for_those_before(3)
    with pytest.raises(UserError, match="no space is left"), written:
        pass
