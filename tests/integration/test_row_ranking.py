"""Texts in the wrong places are found: the quickstart's clips and model, a twentieth of the texts shuffled."""

import json
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from accel_asr.commands import check_data
from benchmarks.wrong_texts import count, spoil
from tests.conftest import forget_accelerate
from tests.integration.launching import REPOSITORY

CLIPS = 202


@pytest.fixture
def one_process() -> Iterator[None]:
    forget_accelerate()
    yield
    forget_accelerate()


@pytest.mark.usefixtures("one_process")
def test_nine_of_ten_shuffled_texts_are_in_the_worst_tenth(tmp_path: Path) -> None:
    data, out = tmp_path / "clips", tmp_path / "spoiled"
    data.mkdir()
    lines = []
    rows = pq.read_table(REPOSITORY / "accel_asr" / "quickstart" / "clips.parquet").slice(0, CLIPS).to_pylist()
    for number, row in enumerate(rows):
        (data / f"{number}.wav").write_bytes(row["audio"]["bytes"])
        split = "test" if number >= CLIPS - 2 else "train"
        lines.append(json.dumps({"file": f"{number}.wav", "text": row["english_transcription"], "split": split}))
    (data / "manifest.jsonl").write_text("\n".join(lines), encoding="utf-8")
    spoil(data, "shuffled", out)
    report = tmp_path / "rows.json"
    settings = ["--data.name_or_path", str(out), "--data.text_column", "text", "--data.audio_column", "file"]
    settings += ["--data.eval_split", "test", "--data.allow_outside_paths", "true", "--data.overlap", "allow"]
    assert check_data.main(["--model", "quickstart", *settings, "--json", str(report)]) == 0
    ranked = json.loads(report.read_text(encoding="utf-8"))["rows"]["ranked"]
    assert len(ranked) == CLIPS - 2
    found = count(out, report)
    assert found.startswith("of 10 wrong texts among 200 rows: ")
    assert int(found.split(", ")[1].split()[0]) >= 9, found
    assert any("another text" in row["reasons"] for row in ranked[:10])
