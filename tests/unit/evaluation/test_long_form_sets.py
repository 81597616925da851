"""The long recordings of a run as they are loaded, and what is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from accel_asr.config.settings import DataConfig
from accel_asr.data.selection.long_recordings import LongRecording
from accel_asr.evaluation.long_form_sets import load_long_recordings
from tests.refusals import refused

RATE_HZ = 16_000


@pytest.fixture
def talks(tmp_path: Path) -> Path:
    """Four recordings of 5, 1, 3 and 4 s, with their texts beside them."""
    for name, seconds in (("a", 5), ("b", 1), ("c", 3), ("d", 4)):
        noise = np.random.default_rng(seconds).standard_normal(seconds * RATE_HZ) / 10
        soundfile.write(tmp_path / f"{name}.wav", noise, RATE_HZ)
        (tmp_path / f"{name}.txt").write_text(f"talk {name} " + "and so on " * 300, encoding="utf-8")
    return tmp_path


@pytest.fixture
def load(encoder, utterances) -> Any:
    def run(wanted: str, *, most: int = 9, window_s: float = 2.0, **data: Any) -> tuple[list[LongRecording], list[str]]:
        return load_long_recordings(
            wanted,
            DataConfig(name_or_path="another", **data),
            validation=utterances,
            most=most,
            encoder=encoder,
            sampling_rate_hz=RATE_HZ,
            window_s=window_s,
        )

    return run


def test_rows_longer_than_the_window_are_taken_whole_with_texts_of_any_length(load, talks: Path) -> None:
    recordings, notices = load(str(talks), max_duration_s=1.5, eval_fraction=0.5, group_column="speaker")
    assert [recording.recording_id for recording in recordings] == ["a.wav", "c.wav", "d.wav"]
    assert [recording.duration_s for recording in recordings] == [5.0, 3.0, 4.0]
    assert len(recordings[0].text.split()) == 902
    assert "3 of 3 rows longer than 2 s" in notices[-1]
    assert len(load(str(talks), most=2)[0]) == 2


def test_short_rows_and_what_is_not_there_are_refused(load, talks: Path) -> None:
    for text in talks.glob("*.txt"):
        text.write_text("talk", encoding="utf-8")  # for the label of a short row there is a limit
    with refused("--evaluation.long_form", "no row is longer", value=str(talks), remedy="30 s, or joined"):
        load(str(talks), window_s=30.0)
    with refused("--evaluation.long_form", value=str(talks / "none.csv")):
        load(str(talks / "none.csv"))


def test_validation_clips_are_joined_or_too_few(load, utterances) -> None:
    (recording,), notices = load("joined")
    assert (recording.utterances.ids(), notices) == (utterances.ids(), [])
    recordings, (notice,) = load("joined", window_s=300.0)
    assert recordings == []
    assert "too little validation data" in notice
    assert load("none") == ([], [])
