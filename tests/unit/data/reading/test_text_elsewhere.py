"""Manifests whose texts are in files that they name, or in timed segments."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from accel_asr.config.settings import DataConfig
from accel_asr.data.selection.run_sources import open_part, resolved_sources
from accel_asr.data.selection.utterances import Utterances
from tests.unit.data.local_sources import RATE_HZ, load, refused

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
    source = load(manifest)
    assert [row.text for row in source.rows] == ["<|0.000|> Printing,<|9.655|><|9.955|> in being<|11.855|>", None]
    assert source.facts["has_times"]


def test_a_row_with_both_is_read_from_its_segments(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("Of the file", encoding="utf-8")
    rows = [{"file": "a.wav", "text_file": "a.txt"}, {"file": "b.wav", "text_file": "a.txt", "segments": SEGMENTS}]
    manifest = manifest_of(tmp_path, *rows)
    source = load(manifest)
    assert [row.text for row in source.rows] == [
        "Of the file",
        "<|0.000|> Printing,<|9.655|><|9.955|> in being<|11.855|>",
    ]
    assert source.facts["has_times"]
    assert not load(manifest_of(tmp_path, *rows[:1], name="plain.jsonl")).facts["has_times"]


def test_times_of_segments_are_read_whatever_is_done_with_times_in_texts(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(12 * RATE_HZ, np.float32), RATE_HZ)
    data = DataConfig(name_or_path=str(manifest_of(tmp_path, {"audio": "a.wav", "segments": SEGMENTS})))
    assert data.text.written_times == "refuse"
    part, _ = open_part(data, resolved_sources(data)[0], "train", sampling_rate_hz=RATE_HZ)
    (utterance,) = Utterances.of_part(part, np.arange(1))
    assert utterance.text == "Printing, in being"
    assert [(words.start_s, words.end_s) for words in utterance.timed] == [(0.0, 9.655), (9.955, 11.855)]


def test_what_can_not_be_read_is_refused_with_its_line(tmp_path: Path) -> None:
    missing = manifest_of(tmp_path, {"file": "a.wav", "text_file": "a.txt"}, {"file": "b.wav", "text_file": "b.txt"})
    (tmp_path / "a.txt").write_text("fine", encoding="utf-8")
    refused(missing, "--data.name_or_path", "line 2", "b.txt")
    (tmp_path / "b.txt").write_bytes(b"caf\xe9")
    refused(missing, "--data.name_or_path", "line 2", "UTF-8")
    outside = manifest_of(tmp_path, {"file": "a.wav", "text_file": "../a.txt"}, name="outside.jsonl")
    (tmp_path.parent / "a.txt").write_text("not ours", encoding="utf-8")
    refused(outside, "--data.allow_outside_paths", "a.txt")
    for cell in ({"start": 0.0, "text": "no end"}, {"start": 10**400, "end": 1.0, "text": "never"}, "five"):
        wrong = manifest_of(tmp_path, {"file": "a.wav", "segments": [cell]}, name="wrong.jsonl")
        refused(wrong, "--data.name_or_path", "segments", "line 1")
