"""Real Whisper on real recordings of minutes: as few wrong words as faster-whisper, and times that hold."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from benchmarks.long_form import (
    LongRecording,
    edits,
    faster_whisper,
    ours,
    read_recordings,
    score_all,
    side_by_side,
    totals,
)

pytestmark = [pytest.mark.slow, pytest.mark.realmodel, pytest.mark.realdata]
MOST_POINTS = 1.0  # of WER above faster-whisper's, on each recording
MOST_MEDIAN_S = 0.5  # of the starts of LJ001's segments


@pytest.fixture(scope="module")
def recordings(realdata: Path) -> list[LongRecording]:
    return list(read_recordings(realdata / "longform"))


@pytest.mark.parametrize(("model", "languages"), [("whisper_tiny_en", ["en"]), ("whisper_base", ["fr", "da"])])
def test_no_more_words_are_wrong_than_by_faster_whisper(
    model: str,
    languages: list[str],
    recordings: list[LongRecording],
    request: pytest.FixtureRequest,
    tmp_path: Path,
    print_figure: Callable[[str], None],
) -> None:
    from accel_asr.transcription.transcriber_loading import load_transcriber

    folder: Path = request.getfixturevalue(model)
    of_language = [each for each in recordings if each.language in languages]
    transcriber = load_transcriber(str(folder), device="cpu")
    here = score_all(of_language, ours(transcriber), name=f"{folder.name}, accel-asr", say=print_figure)
    theirs = faster_whisper(folder, tmp_path)
    there = score_all(of_language, theirs, name=f"{folder.name}, faster-whisper", say=print_figure)
    assert len(here) == {"whisper_tiny_en": 5, "whisper_base": 2}[model]
    worse = {name: 100 * (here[name].wer - there[name].wer) for name in here}
    assert all(points <= MOST_POINTS for points in worse.values()), worse
    assert totals(here.values())[0] <= totals(there.values())[0]
    short = [each for each in of_language if each.path.name != "LJ001.opus"]
    texts, _ = side_by_side(short, transcriber)
    assert [edits(*pair) for pair in zip(short, texts, strict=True)] == [here[each.path.name].words for each in short]
    if "en" in languages:
        errors_s = here["LJ001.opus"].start_errors_s
        assert len(errors_s) > 170  # of 186: the words of the others were heard otherwise
        assert np.median(errors_s) <= MOST_MEDIAN_S
