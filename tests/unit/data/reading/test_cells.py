"""Cells that are not what their column promises: numbers as texts, arrays as audio, values of any length."""

import datetime
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.unit.data.local_sources import load, refused


def parquet(path: Path, **columns: Any) -> Path:
    rows = len(next(iter(columns.values())))
    table = {"audio": [f"{number}.wav" for number in range(rows)], "text": ["x"] * rows} | columns
    pq.write_table(pa.table(table), path / "a.parquet")
    return path / "a.parquet"


def texts(path: Path, **options: Any) -> list[str | None]:
    return [row.text for row in load(path, **options).rows]


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        ([1.0, None, 3.0], ["1", None, "3"]),
        ([1.0, float("nan"), 1e15], ["1", None, "1000000000000000"]),
        ([1, None, 3], ["1", None, "3"]),
        ([1.5, None, 2.25], ["1.5", None, "2.25"]),
        ([Decimal("1.50"), None], ["1.50", None]),
        (["1.0", "one"], ["1.0", "one"]),
    ],
)
def test_whole_numbers_beside_a_missing_one_stay_whole(tmp_path: Path, cells: list[Any], expected: list[Any]) -> None:
    assert texts(parquet(tmp_path, text=pa.array(cells))) == expected
    records = [{"audio": "a", "text": str(cell) if isinstance(cell, Decimal) else cell} for cell in cells]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, records)))
    assert texts(tmp_path / "a.jsonl") == expected
    dataset = datasets.Dataset.from_dict({"audio": ["a.wav"] * len(cells), "text": cells})
    dataset.save_to_disk(str(tmp_path / "saved"))
    assert texts(tmp_path / "saved") == expected


def test_whole_numbers_that_a_data_frame_wrote_as_text_are_whole_again(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("audio,text,speaker\na,1.0,7.0\nb,,\nc,12.0,9.0\n")
    rows = load(tmp_path / "a.csv", group_column="speaker").rows
    assert [(row.text, row.group) for row in rows] == [("1", "7"), ("", None), ("12", "9")]
    (tmp_path / "b.csv").write_text("audio,text\na,1.0\nb,2.0\n")  # nothing is missing, so this is how it was written
    assert texts(tmp_path / "b.csv") == ["1.0", "2.0"]


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        ([True, False], "2 of 2 cells are not text (row 1: True, row 2: False)"),
        ([1.0, 1.5], "1 of 2 cells are numbers with a fraction"),
        ([datetime.date(2020, 1, 2), None], "1 of 2 cells are not text (row 1: datetime.date(2020, 1, 2))"),
        ([1e17, None], "(row 1: 1e+17)"),
        ([b"a\xe9c", None], "(row 1: b'a"),
    ],
)
def test_cells_that_are_ambiguous_as_text_are_refused(tmp_path: Path, cells: list[Any], words: str) -> None:
    refused(parquet(tmp_path, text=pa.array(cells)), "--data.text_column", words)


def test_arrays_of_samples_are_no_audio_and_the_message_is_short(tmp_path: Path) -> None:
    samples = [[0.25] * 40_000] * 8
    for audio in (samples, [{"array": cell, "sampling_rate": 16_000} for cell in samples]):
        words = ("8 of 8 cells are not audio (row 1: ", "soundfile.write")
        assert len(refused(parquet(tmp_path, audio=audio), "--data.audio_column", *words)) < 2_000


@pytest.mark.parametrize("column", ["audio", "text", "start", "split"])
def test_no_message_grows_with_a_cell(tmp_path: Path, column: str) -> None:
    (tmp_path / "a.jsonl").write_text(
        json.dumps({"audio": "a.wav", "text": "x", column: ["y" * 500_000]}) + "\n" + '{"audio": "b", "text": "x"}'
    )
    assert len(refused(tmp_path / "a.jsonl")) < 3_000
    (tmp_path / "b.jsonl").write_text(json.dumps({"x" * 500_000: "a.wav", "text": "x"}))
    assert len(refused(tmp_path / "b.jsonl")) < 3_000
    (tmp_path / "c.jsonl").write_text(json.dumps({"audio": "/" + "x" * 500_000, "text": "x"}))
    assert len(refused(tmp_path / "c.jsonl")) < 3_000


def test_a_file_named_by_a_number(tmp_path: Path) -> None:
    assert [row.utterance_id for row in load(parquet(tmp_path, audio=[7.0, None, 9.0])).rows] == [
        "7",
        "row-000001",
        "9",
    ]
