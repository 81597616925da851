"""Manifests whose texts are in files that they name, or in timed segments."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.data.local_sources import load, refused

SEGMENTS = [{"start": 0.0, "end": 9.655, "text": "Printing, "}, {"start": 9.955, "end": 11.855, "text": "in being"}]


def manifest_of(folder: Path, *rows: dict[str, Any], name: str = "manifest.jsonl") -> Path:
    (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return folder / name


@pytest.mark.parametrize("whole_folder", [False, True])
def test_texts_of_named_files(tmp_path: Path, whole_folder: bool) -> None:
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("My fellow\n\n  Americans: é\n", encoding="utf-8-sig")
    rows = [{"file": "a.mp3", "text_file": "texts/a.txt"}, {"file": "b.mp3"}]
    manifest = manifest_of(tmp_path, *rows)
    source = load(tmp_path if whole_folder else manifest)
    assert [row.text for row in source.rows] == ["My fellow Americans: é", None]
    assert any("text_file" in notice for notice in source.notices)
    assert tmp_path / "texts" / "a.txt" in source.dependencies  # a changed text makes a new index


def test_a_column_of_texts_wins(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("of the file", encoding="utf-8")
    for column in ("text", "sentence"):
        manifest = manifest_of(tmp_path, {"file": "a.wav", column: "of the column", "text_file": "a.txt"})
        assert [row.text for row in load(manifest).rows] == ["of the column"]


def test_timed_segments_become_written_times(tmp_path: Path) -> None:
    manifest = manifest_of(tmp_path, {"file": "a.opus", "segments": SEGMENTS}, {"file": "b.opus", "segments": None})
    texts = [row.text for row in load(manifest).rows]
    assert texts == ["<|0.000|> Printing,<|9.655|><|9.955|> in being<|11.855|>", None]


def test_what_can_not_be_read_is_refused_with_its_line(tmp_path: Path) -> None:
    missing = manifest_of(tmp_path, {"file": "a.wav", "text_file": "a.txt"}, {"file": "b.wav", "text_file": "b.txt"})
    (tmp_path / "a.txt").write_text("fine", encoding="utf-8")
    refused(missing, "--data.name_or_path", "line 2", "b.txt")
    (tmp_path / "b.txt").write_bytes(b"caf\xe9")
    refused(missing, "--data.name_or_path", "line 2", "UTF-8")
    outside = manifest_of(tmp_path, {"file": "a.wav", "text_file": "../a.txt"}, name="outside.jsonl")
    (tmp_path.parent / "a.txt").write_text("not ours", encoding="utf-8")
    refused(outside, "--data.allow_outside_paths", "a.txt")
    wrong = manifest_of(tmp_path, {"file": "a.wav", "segments": [{"start": 0.0, "text": "no end"}]}, name="wrong.jsonl")
    refused(wrong, "--data.name_or_path", "segments", "line 1")
