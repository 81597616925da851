"""`accel-asr align` with whisper-base on real recordings: where rows begin and end, and what is left out of them."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from accel_asr.audio.decoding import decode
from accel_asr.transcription.segments import Segment
from benchmarks.alignment import read_recordings
from benchmarks.alignment_scores import Truth, coverage, row_boundary_errors
from tests.integration.launching import run

pytestmark = [pytest.mark.realmodel, pytest.mark.realdata]
RATE_HZ = 16_000
SHARE_OF_LJ001 = 5  # the first fifth, four minutes; `python -m benchmarks.alignment` has all of it
MOST_MEDIAN_S, MOST_95_S, LEAST_IN_ROWS = 0.15, 0.5, 0.98


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def aligned(recording: Path, model: Path, output: Path) -> tuple[list[Segment], list[dict[str, Any]]]:
    """The rows, and what was left out."""
    command = [sys.executable, "-m", "accel_asr", "align", str(recording), "--model", str(model), "--language", "en"]
    finished = run([*command, "--output_dir", str(output)], cwd=output.parent, deadline_s=900)
    assert finished.code == 0, finished.err
    rows = [Segment(row["start"], row["end"], row["text"]) for row in lines(output / "metadata.jsonl")]
    return rows, lines(output / "left_out.jsonl")


def test_rows_of_a_chapter_begin_and_end_where_its_segments_do(
    realdata: Path, whisper_base: Path, tmp_path: Path, print_figure: Callable[[str], None]
) -> None:
    [chapter] = [each for each in read_recordings(realdata / "longform") if each.path.name == "LJ001.opus"]
    segments = chapter.truth.spoken[: len(chapter.truth.spoken) // SHARE_OF_LJ001]
    truth = Truth(" ".join(segment.text for segment in segments), segments)
    samples = decode(chapter.path, sampling_rate_hz=RATE_HZ, end_s=segments[-1].end_s)
    soundfile.write(tmp_path / "chapter.wav", samples, RATE_HZ)
    (tmp_path / "chapter.txt").write_text(truth.text, encoding="utf-8")
    rows, _ = aligned(tmp_path / "chapter.wav", whisper_base, tmp_path / "aligned")
    errors = row_boundary_errors(truth, rows)
    share = coverage(truth, rows, None, normalize=str.casefold).in_rows
    print_figure(f"rows at segments: {errors.line()}; {share:.2%} of words in rows")
    assert max(row.end_s - row.start_s for row in rows) <= 30
    assert len(errors.all_s) >= len(segments) // 2  # enough of them to judge by
    assert np.median(errors.all_s) <= MOST_MEDIAN_S
    assert np.quantile(errors.all_s, 0.95) <= MOST_95_S
    assert share >= LEAST_IN_ROWS


def test_speech_that_is_not_in_the_text_is_left_out_with_its_times(
    realdata: Path, whisper_base: Path, tmp_path: Path, print_figure: Callable[[str], None]
) -> None:
    # "Okay, is this recording? Yeah. So" goes before the text, "Thank you." after it
    [poem] = [each for each in read_recordings(realdata / "longform") if each.path.name == "anchors-needed.mp3"]
    extra = "Nobody ever spoke this sentence about seven purple elephants in the harbour."
    words = poem.truth.text.split()
    middle = len(words) // 2
    soundfile.write(tmp_path / "talk.wav", decode(poem.path, sampling_rate_hz=RATE_HZ), RATE_HZ)
    (tmp_path / "talk.txt").write_text(" ".join([*words[:middle], extra, *words[middle:]]), encoding="utf-8")
    rows, left_out = aligned(tmp_path / "talk.wav", whisper_base, tmp_path / "aligned")
    print_figure(f"{len(rows)} rows; left out: {left_out}")
    speech = [each for each in left_out if each["kind"] == "speech"]
    assert speech[0]["start"] < 1
    assert 4 < speech[0]["end"] < 7
    assert rows[0].start_s >= speech[0]["end"] - 0.5
    text = " ".join(each["text"] for each in left_out if each["kind"] == "text")
    assert "seven purple elephants" in text
    in_rows = " ".join(row.text for row in rows)
    assert "elephants" not in in_rows
    assert coverage(poem.truth, rows, None, normalize=str.casefold).in_rows >= 0.97
