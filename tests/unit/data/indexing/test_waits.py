"""Waits while a source is indexed: for a recording that hangs, and for a process that holds the lock."""

import threading
from pathlib import Path

import pytest
from filelock import FileLock

from accel_asr.data.indexing.survey import SurveyedAudio, _in_threads
from accel_asr.errors import UserError
from accel_asr.files import cache_folder
from accel_asr.files.cache_folder import cache_locked

LONG_S = 600


def heard(thing: float) -> SurveyedAudio:
    return SurveyedAudio(duration_s=thing)


def test_recordings_are_looked_at_in_order_and_errors_are_raised() -> None:
    assert [one.duration_s for one in _in_threads(heard, range(100))] == list(range(100))
    assert list(_in_threads(heard, [])) == []

    def fail(thing: int) -> SurveyedAudio:
        return heard(1 / (5 - thing))

    looked = _in_threads(fail, range(10))
    assert len([next(looked) for _ in range(5)]) == 5
    with pytest.raises(ZeroDivisionError):
        next(looked)


def test_whoever_is_interrupted_waits_for_no_recording() -> None:
    gate, seen = threading.Event(), []

    def hang(thing: int) -> SurveyedAudio:
        seen.append(thing)
        if thing == 1:
            gate.wait(LONG_S)
        return heard(thing)

    looked = _in_threads(hang, range(1000))
    next(looked)
    looked.close()  # as an exception where it is used does
    gate.set()
    assert all(thread.daemon for thread in threading.enumerate() if thread.name == "survey")
    assert 1 in seen


def test_a_wait_for_the_lock_says_who_has_it_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cache_folder, "SAID_AFTER_S", 0.05)
    lock = tmp_path / "lock"
    held = FileLock(str(lock), thread_local=False)
    held.acquire()
    threading.Timer(0.4, held.release).start()
    with cache_locked(lock, work="the index of calls"):
        pass
    said = capsys.readouterr().err
    assert said.count("waiting: ") == 1
    assert "is making the index of calls" in said


def test_a_lock_that_is_never_let_go_of_ends_in_a_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_folder, "SAID_AFTER_S", 0.05)
    monkeypatch.setattr(cache_folder, "LONGEST_WAIT_S", 0.1)
    waiting = cache_locked(tmp_path / "lock", work="the index of calls")
    with FileLock(str(tmp_path / "lock")), pytest.raises(UserError, match=r"process.*--data.cache_dir"), waiting:
        raise AssertionError("it is held")


def test_a_lock_is_given_back_whatever_happens(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), cache_locked(tmp_path / "lock", work="it"):
        raise ZeroDivisionError
    with FileLock(str(tmp_path / "lock"), timeout=0):
        pass
