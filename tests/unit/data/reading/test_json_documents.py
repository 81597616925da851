"""Tables in one JSON value: each shape gives the same rows, and an object that is itself a row stays one."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.data.local_sources import load, refused

ROWS = [{"audio": "a.wav", "text": "one"}, {"audio": "b.wav", "text": "two"}]


@pytest.mark.parametrize(
    "document",
    [
        ROWS,
        {"version": 1, "data": ROWS},
        {"a.wav": "one", "b.wav": "two"},
        {"a.wav": {"text": "one", "speaker": "x"}, "b.wav": {"text": "two", "speaker": "y"}},
        {"u1": {"wav": "a.wav", "words": "one", "length": 1.0}, "u2": {"wav": "b.wav", "words": "two", "length": 1.0}},
        {"audio": ["a.wav", "b.wav"], "text": ["one", "two"]},
        {"audio": {"0": "a.wav", "1": "b.wav"}, "text": {"0": "one", "1": "two"}},
    ],
)
@pytest.mark.parametrize("indent", [None, 1])
def test_every_shape_of_a_table_gives_its_rows(tmp_path: Path, document: Any, indent: int | None) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps(document, indent=indent), encoding="utf-8")
    rows = load(path).rows
    assert [(Path(str(row.audio)).name, row.text) for row in rows] == [("a.wav", "one"), ("b.wav", "two")]


@pytest.mark.parametrize("indent", [None, 1])
def test_an_object_that_is_a_row_stays_one(tmp_path: Path, indent: int | None) -> None:
    row = {"audio": "a.wav", "text": "one", "words": [{"word": "one", "file": "b.wav"}]}
    (tmp_path / "a.json").write_text(json.dumps(row, indent=indent), encoding="utf-8")
    assert [row.text for row in load(tmp_path / "a.json").rows] == ["one"]


def test_other_values_are_refused_with_what_they_hold(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"columns": ["audio"], "data": [["a.wav"]]}', encoding="utf-8")
    refused(tmp_path / "a.json", "--data.audio_column", "the columns are: columns, data")
    (tmp_path / "a.json").write_text("[1, 2]", encoding="utf-8")
    refused(tmp_path / "a.json", "--data.name_or_path", "not of objects")
