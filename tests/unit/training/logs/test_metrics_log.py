"""metrics.jsonl: a line for each record, at once on disk, and no step twice after a resume."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from accel_asr.training.logs.metrics_log import MetricsLog


@pytest.fixture
def tracked(accelerator, monkeypatch: pytest.MonkeyPatch) -> list[tuple[dict[str, Any], int]]:
    """What the trackers were given."""
    given: list[tuple[dict[str, Any], int]] = []
    monkeypatch.setattr(accelerator, "log", lambda values, step: given.append((values, step)))
    return given


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "metrics.jsonl"


@pytest.fixture
def new_log(accelerator, tracked, path: Path):
    """Logs that are closed after the test."""
    made = []

    def make(*, keep_bytes: int = 0) -> MetricsLog:
        made.append(MetricsLog(path, accelerator=accelerator, keep_bytes=keep_bytes))
        return made[-1]

    yield make
    for log in made:
        log.file.close()


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_each_record_is_a_line_on_disk_at_once(new_log, path: Path) -> None:
    metrics = new_log()
    metrics.write("train", 10, 1 / 3, loss=2.5, learning_rate=1e-5)
    assert lines(path) == [{"kind": "train", "step": 10, "epoch": 0.3333, "loss": 2.5, "learning_rate": 1e-5}]
    metrics.write("eval", 30, 1.0, wer=0.5, name="Überweisung")
    assert lines(path)[1] == {"kind": "eval", "step": 30, "epoch": 1.0, "wer": 0.5, "name": "Überweisung"}


def test_trackers_get_the_numbers_by_kind(new_log, tracked) -> None:
    new_log().write("eval", 30, 1.0, wer=0.5, cut_off=3, name="x")
    assert tracked == [({"eval/wer": 0.5, "eval/cut_off": 3}, 30)]


def test_a_resumed_run_is_cut_back_to_its_checkpoint(new_log, path: Path) -> None:
    metrics = new_log()
    metrics.write("train", 10, 0.5, text="ä")
    at_checkpoint = metrics.size_bytes()
    assert at_checkpoint == path.stat().st_size
    metrics.write("train", 20, 1.0, text="lost")
    with path.open("a") as file:
        file.write('{"kind": "tra')  # cut off by a kill

    resumed = new_log(keep_bytes=at_checkpoint)
    assert resumed.size_bytes() == at_checkpoint
    resumed.write("train", 20, 1.0, text="again")
    assert [(line["step"], line["text"]) for line in lines(path)] == [(10, "ä"), (20, "again")]
    assert resumed.size_bytes() == path.stat().st_size


def test_a_new_run_begins_with_an_empty_file(new_log, path: Path) -> None:
    path.write_text('{"kind": "train"}\n')
    assert new_log().size_bytes() == 0
    assert path.read_text() == ""


def test_a_resumed_run_whose_file_is_gone_begins_a_new_one(new_log, path: Path) -> None:
    new_log(keep_bytes=100).write("train", 20, 1.0, loss=1.0)
    assert lines(path) == [{"kind": "train", "step": 20, "epoch": 1.0, "loss": 1.0}]


def test_a_rate_that_is_not_defined_leaves_valid_json(new_log, path: Path) -> None:
    new_log().write("eval", 30, 1.0, wer=float("nan"))

    def not_json(name: str) -> None:
        raise AssertionError(f"{name} is not JSON: other readers than Python's refuse the file")

    json.loads(path.read_text(), parse_constant=not_json)


def test_only_the_main_process_writes(tmp_path: Path) -> None:
    given: list[int] = []
    other_rank = SimpleNamespace(is_main_process=False, log=lambda values, step: given.append(step))
    metrics = MetricsLog(tmp_path / "metrics.jsonl", accelerator=other_rank)  # type: ignore[arg-type]
    metrics.write("train", 10, 0.5, loss=1.0)
    assert (given, metrics.size_bytes()) == ([10], 0)
    assert list(tmp_path.iterdir()) == []
