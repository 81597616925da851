"""Batches made ahead: in order, without shared memory or files, and every wait for one has an end and a message."""

import errno
import faulthandler
import os
import resource
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch
from huggingface_hub.utils._http import default_client_factory

from accel_asr.data.loading import prefetch as made_ahead
from accel_asr.data.loading import workers
from accel_asr.data.loading.prefetch import MadeAhead
from accel_asr.errors import UserError
from tests.refusals import refused

LONG_S = 600  # no test waits so long
SOON_S = 10  # and none of what must come soon takes longer


def doubled(job: int) -> torch.Tensor:
    return torch.full((3,), 2.0 * job)


def ahead(
    make: Callable[[int], Any], jobs: Any, *, num_workers: int = 1, names: Callable[[int], list[str]] | None = None
) -> MadeAhead[int, Any]:
    return MadeAhead(make, jobs, num_workers=num_workers, names=names or (lambda job: [f"clip-{job}"]))


def failure(made: MadeAhead[int, Any]) -> BaseException:
    with closing(made):
        try:
            list(made)
        except Exception as error:
            return error
    raise AssertionError("nothing failed")


@pytest.mark.parametrize("num_workers", [0, 1, 3])
def test_all_is_made_once_in_order_however_many_make_it(num_workers: int) -> None:
    def at_their_own_pace(job: int) -> torch.Tensor:
        time.sleep(0.02 * (job % 3))
        return doubled(job)

    with closing(ahead(at_their_own_pace, range(10), num_workers=num_workers)) as made:
        assert [tensor.tolist() for tensor in made] == [[2.0 * job] * 3 for job in range(10)]
        assert list(made) == []


def test_a_worker_finds_no_connection_of_the_hub_to_close(tmp_path: Path) -> None:
    # huggingface_hub closes them in each forked process, which hangs if a thread held their lock at that moment
    closed_by = tmp_path / "closed_by"

    class Connections(type(huggingface_hub.get_session())):
        def close(self) -> None:
            with closed_by.open("a") as file:
                file.write(f"{os.getpid()}\n")
            super().close()

    try:
        huggingface_hub.set_client_factory(Connections)
        huggingface_hub.get_session()
        with closing(ahead(doubled, range(3))) as made:
            assert len(list(made)) == 3
    finally:
        huggingface_hub.set_client_factory(default_client_factory)
    assert closed_by.read_text().split() == [str(os.getpid())]


def test_nothing_is_made_before_it_is_wanted_without_workers() -> None:
    asked: list[int] = []
    with closing(ahead(lambda job: asked.append(job) or job, range(3), num_workers=0)) as made:
        time.sleep(0.05)
        assert asked == []
        next(made)
        time.sleep(0.05)
        assert asked == [0]


def test_workers_are_two_jobs_ahead_and_no_more() -> None:
    drawn: list[int] = []

    def jobs() -> Iterator[int]:
        for job in range(100):
            drawn.append(job)
            yield job

    with closing(ahead(doubled, jobs(), num_workers=2)) as made:
        next(made)
        time.sleep(0.2)
        assert len(drawn) == 4


@pytest.mark.parametrize("value", [torch.zeros(0, 5), torch.arange(6).reshape(2, 3).T, {"a": [None, "b"]}, True])
def test_what_is_sent_is_what_comes(value: Any) -> None:
    with closing(ahead(lambda job: value, [0])) as made:
        received = next(made)
    if isinstance(value, torch.Tensor):
        assert received.dtype == value.dtype
        assert torch.equal(received, value)
        received += 1  # is its own, and may be written
    else:
        assert received == value


def test_a_batch_needs_no_file_shared_memory_or_socket_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = tmp_path.joinpath(*["d" * 60] * 3)  # a socket's path may have 107 bytes
    deep.mkdir(parents=True)
    monkeypatch.setenv("TMPDIR", str(deep))
    monkeypatch.setattr(tempfile, "tempdir", None)

    def without_room_anywhere(job: int) -> torch.Tensor:
        # as a full /dev/shm: no file may grow beyond this
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        return torch.full((4_000_000,), float(job))

    with closing(ahead(without_room_anywhere, range(4), num_workers=2)) as made:
        assert [tensor[-1].item() for tensor in made] == [0, 1, 2, 3]
    assert list(deep.iterdir()) == []


# -- what fails


def die(job: int, number: int = signal.SIGKILL) -> int:
    if job == 2:
        faulthandler.disable()  # pytest's, which would print all threads
        os.kill(os.getpid(), number)
        time.sleep(LONG_S)
    return job


def test_a_killed_worker_is_one_message_with_the_memory_and_what_to_lower() -> None:
    with refused(None, "SIGKILL", "'clip-2'", " GB", "batch_size", remedy="--training.dataloader_num_workers"):
        raise failure(ahead(die, range(9), num_workers=2))


def test_a_worker_killed_amid_sending_ends_the_wait_too() -> None:
    def large(job: int) -> torch.Tensor:
        threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGKILL)).start()
        return torch.zeros(50_000_000)

    assert "SIGKILL" in str(failure(ahead(large, range(100))))


def test_a_crash_names_the_recordings() -> None:
    message = str(failure(ahead(lambda job: die(job, signal.SIGBUS), range(9), names=lambda job: list("abcdef"))))
    assert "SIGBUS" in message
    assert "'a', 'b', 'c', 'd' and 2 more" in message


def test_what_was_made_before_a_worker_died_is_still_given() -> None:
    made = ahead(die, range(9))
    with closing(made):
        assert [next(made), next(made)] == [0, 1]
        with pytest.raises(UserError, match="SIGKILL"):
            next(made)


@pytest.mark.parametrize("num_workers", [0, 1])
@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            OSError(errno.ENOSPC, "No space left on device", "cache/outputs"),
            ["No space left on device", "cache/outputs"],
        ),
        (MemoryError(), ["no memory", "--training.dataloader_num_workers"]),
        (UserError("data.x: mend it"), ["data.x: mend it"]),
    ],
)
def test_what_the_machine_lacks_is_a_message(num_workers: int, error: Exception, words: list[str]) -> None:
    def fail(job: int) -> int:
        raise error

    caught = failure(ahead(fail, range(3), num_workers=num_workers))
    assert isinstance(caught, UserError)
    assert all(word in str(caught) for word in words)


def test_a_mistake_of_ours_keeps_its_traceback() -> None:
    def wrong(job: int) -> int:
        raise AssertionError("one start token")

    message = str(failure(ahead(wrong, range(3))))
    assert "in wrong" in message
    assert "AssertionError: one start token" in message


def test_what_can_not_be_sent_is_an_error_and_no_wait() -> None:
    assert "pickle" in str(failure(ahead(lambda job: lambda: job, range(3))))
    assert "pickle" in str(failure(ahead(lambda job: job, [lambda: 1])))


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_source_that_fails_is_told_in_its_turn(num_workers: int) -> None:
    def jobs() -> Iterator[int]:
        yield from range(3)
        raise UserError("the shard is damaged")

    with closing(ahead(doubled, jobs(), num_workers=num_workers)) as made:
        assert len([next(made) for _ in range(3)]) == 3
        with pytest.raises(UserError, match="the shard is damaged"):
            next(made)


def test_workers_that_can_not_be_started_are_a_message(monkeypatch: pytest.MonkeyPatch) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 8, hard))
    try:
        with refused("--training.dataloader_num_workers", "Too many open files", value=20, remedy="lower it"):
            ahead(doubled, range(3), num_workers=20)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


# -- what hangs


def hang(job: int) -> int:
    if job == 1:
        time.sleep(LONG_S)
    return job


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_wait_for_what_hangs_can_be_left_and_its_worker_ends(num_workers: int) -> None:
    started_s = time.monotonic()
    with closing(ahead(hang, range(3), num_workers=num_workers)) as made:
        assert made.ready(SOON_S) == 0
        assert made.ready(0.05) is None
        assert made.ready(0.05) is None
        processes = [worker.process for worker in made._work._workers]
    assert all(process.exitcode == -signal.SIGKILL for process in processes)
    assert time.monotonic() - started_s < LONG_S / 10


def test_a_source_that_hangs_can_be_left_too() -> None:
    gate = threading.Event()

    def jobs() -> Iterator[int]:
        yield 0
        gate.wait(LONG_S)

    with closing(ahead(doubled, jobs(), num_workers=1)) as made:
        next(made)
        assert made.ready(0.05) is None
    gate.set()


def test_a_late_one_still_comes_in_its_turn() -> None:
    with closing(ahead(lambda job: time.sleep(0.3) or job, range(2), num_workers=1)) as made:
        assert made.ready(0.01) is None
        assert [made.ready(SOON_S), made.ready(SOON_S)] == [0, 1]


def test_a_long_wait_is_told_of_once_and_a_very_long_one_ends(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with closing(ahead(hang, [1, 2])) as made:
        monkeypatch.setattr(made_ahead, "SAID_AFTER_S", 0.0)
        assert made.ready(0.2) is None
        assert made.ready(0.05) is None
        printed = capsys.readouterr().err
        assert printed.count("waiting for data") == 1
        assert "'clip-1'" in printed
        monkeypatch.setattr(made_ahead, "LONGEST_WAIT_S", 0.1)
        with refused(None, "'clip-1' could not be read", remedy="storage"):
            made.ready(0.05)


def test_workers_end_with_a_process_that_is_killed() -> None:
    read, write = os.pipe()

    def say_and_hang(job: int) -> None:
        os.write(write, str(os.getpid()).encode())
        time.sleep(LONG_S)

    pid = os.fork()
    if pid == 0:
        made = ahead(say_and_hang, [1])
        made.ready(LONG_S)
    worker = int(os.read(read, 100))
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    deadline_s = time.monotonic() + SOON_S
    while is_running(worker):
        assert time.monotonic() < deadline_s
        time.sleep(0.02)


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def test_a_signal_to_all_processes_of_the_group_does_not_take_workers_away() -> None:
    with closing(ahead(doubled, range(6), num_workers=1)) as made:
        next(made)
        for number in workers.STOP_SIGNALS:
            os.kill(made._work._workers[0].process.pid or 0, number)
        assert len(list(made)) == 5


def test_one_that_is_let_go_of_ends_its_workers() -> None:
    made = ahead(doubled, range(100), num_workers=1)
    next(made)
    [worker] = made._work._workers
    del made
    assert worker.process.exitcode is not None
