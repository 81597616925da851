"""Writing so that what was there stays when writing fails, and saying why it failed."""

import errno
import json
import os
from pathlib import Path

import pytest

from accel_asr.files.atomic_writes import (
    file_written_whole,
    folder_written_whole,
    write_errors_explained,
    write_json,
    write_json_lines,
    write_text,
)
from tests.refusals import refused


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# -- files


def test_json_reads_back_with_its_letters(tmp_path: Path) -> None:
    content = {"wer": 0.05, "text": "Überweisung", "nested": {"list": [1, None]}}
    write_json(tmp_path / "new" / "summary.json", content)
    text = (tmp_path / "new" / "summary.json").read_text(encoding="utf-8")
    assert json.loads(text) == content
    assert "Überweisung" in text


def test_a_file_stays_as_it_was_when_its_new_content_can_not_be_written(tmp_path: Path) -> None:
    path = tmp_path / "summary.json"
    write_json(path, {"wer": 0.5})
    with pytest.raises(TypeError):
        write_json(path, {"wer": 0.4, "model": object()})
    with pytest.raises(UnicodeEncodeError):
        write_json(path, {"text": "\ud800"})  # half a surrogate pair, which UTF-8 can't hold
    assert json.loads(path.read_text()) == {"wer": 0.5}


def test_numbers_that_are_not_finite_become_null(tmp_path: Path) -> None:
    content = {"wer": float("nan"), "nested": {"norms": [1.0, float("inf"), -float("inf")], "steps": (1, 2)}}
    expected = {"wer": None, "nested": {"norms": [1.0, None, None], "steps": [1, 2]}}
    write_json(tmp_path / "a.json", content)
    write_json_lines(tmp_path / "a.jsonl", iter([content]))
    assert json.loads((tmp_path / "a.json").read_text()) == json.loads((tmp_path / "a.jsonl").read_text()) == expected


def test_lines_are_json_objects_each_complete_or_none_is_there(tmp_path: Path) -> None:
    path = tmp_path / "evaluations" / "step-1.jsonl"
    write_json_lines(path, iter([{"id": "a", "text": "one\ntwo"}, {"id": "ä"}]))
    lines = path.read_text(encoding="utf-8").split("\n")
    assert [json.loads(line) for line in lines[:-1]] == [{"id": "a", "text": "one\ntwo"}, {"id": "ä"}]

    def breaks_off():
        yield {"id": "b"}
        raise RuntimeError("broke off")

    with pytest.raises(RuntimeError, match="broke off"):
        write_json_lines(path, breaks_off())
    assert path.read_text(encoding="utf-8").split("\n") == lines
    assert names(path.parent) == ["step-1.jsonl"]


# -- folders


def fill(folder: Path, content: str) -> None:
    with folder_written_whole(folder) as beside:
        (beside / "model").write_text(content)
        (beside / "deeper").mkdir()
        (beside / "deeper" / "file").write_text(content)


def test_a_folder_appears_when_it_is_whole_and_takes_the_place_of_the_old(tmp_path: Path) -> None:
    best = tmp_path / "best"
    fill(best, "old")
    with folder_written_whole(best) as beside:
        (beside / "model").write_text("new")
        assert (best / "model").read_text() == "old"
        assert beside.parent == best.parent  # a rename must not cross file systems
    assert names(best) == ["model"]
    assert (best / "model").read_text() == "new"
    assert names(tmp_path) == ["best"]


def test_the_old_folder_stays_when_filling_the_new_one_fails(tmp_path: Path) -> None:
    best = tmp_path / "best"
    fill(best, "old")

    def fill_half() -> None:
        with folder_written_whole(best) as beside:
            (beside / "model").write_text("half")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        fill_half()
    assert (best / "model").read_text() == (best / "deeper" / "file").read_text() == "old"
    fill(best, "again")
    assert (best / "model").read_text() == "again"
    assert names(tmp_path) == ["best"]


def test_what_a_crash_left_behind_is_cleared_away(tmp_path: Path) -> None:
    best = tmp_path / "best"
    for left in (".best.writing", ".best.outgoing"):
        (tmp_path / left).mkdir()
        (tmp_path / left / "stale").write_text("")
    fill(best, "old")
    fill(best, "new")
    assert names(best) == ["deeper", "model"]
    assert names(tmp_path) == ["best"]


# -- writers at the same time, and a file system that refuses


def test_two_writers_of_a_shared_file_do_not_disturb_each_other(tmp_path: Path) -> None:
    path = tmp_path / "shared"
    with file_written_whole(path, is_shared=True) as first, file_written_whole(path, is_shared=True) as second:
        first.write_text("first")
        second.write_text("second")
    assert names(tmp_path) == ["shared"]
    assert path.read_text() == "first"  # the last to finish


@pytest.mark.parametrize(("code", "words"), [(errno.ENOSPC, "no space is left"), (errno.EROFS, "can't be written")])
def test_a_file_system_that_refuses_leaves_the_old_file_and_is_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, words: str
) -> None:
    path = tmp_path / "scores.json"
    write_text(path, "old")

    def refuse(_: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", refuse)
    with (
        refused("--output", words, value=path, remedy="another place"),
        write_errors_explained(path, setting="--output"),
    ):
        write_text(path, "new")
    assert (names(tmp_path), path.read_text()) == (["scores.json"], "old")
