"""Real Whisper after a little tuning on rows of one recording: stitched, it keeps what sentences take away."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from benchmarks.long_form import ours, read_recordings, score
from benchmarks.stitching import TRAINED_S, tune, write_rows_and_rest

pytestmark = [pytest.mark.slow, pytest.mark.realmodel, pytest.mark.realdata]
SCORED_S = 120.0
MOST_WER = 0.08
MOST_MEDIAN_S, MOST_NINE_TENTHS_S, LOST_S = 0.15, 1.0, 5.0  # of the errors of the starts of segments


def test_stitched_rows_keep_the_times_of_long_recordings_and_sentences_do_not(
    realdata: Path, whisper_tiny_en: Path, tmp_path: Path, print_figure: Callable[[str], None]
) -> None:
    from accel_asr.transcription.transcriber_loading import load_transcriber

    with_times = next(each for each in read_recordings(realdata / "longform") if each.segments)
    rest = write_rows_and_rest(with_times, tmp_path, until_s=TRAINED_S + SCORED_S)
    dev = tmp_path / "dev.jsonl"
    dev.write_text("".join(dev.read_text().splitlines(keepends=True)[:2]))  # what the runs validate on is not looked at
    scores = {}
    for name in ("sentences", "stitched"):
        settings = ("--training.learning_rate", "2e-4")
        tune(name, str(whisper_tiny_en), tmp_path / name, *settings, steps=16, windows=1)
        transcriber = load_transcriber(str(tmp_path / name / "last"), device="cpu")
        scores[name] = score(rest, ours(transcriber))
        print_figure(f"whisper-tiny.en tuned on {name}: {scores[name].line()}")
    stitched, sentences = (scores[name].start_errors_s for name in ("stitched", "sentences"))
    assert len(stitched) >= 0.9 * len(rest.segments)
    assert np.median(stitched) <= MOST_MEDIAN_S
    assert np.quantile(stitched, 0.9) <= MOST_NINE_TENTHS_S
    assert np.quantile(sentences, 0.9) >= LOST_S
    assert scores["stitched"].wer <= MOST_WER
