"""Recordings shared out over ranks; a bad one fails alone; parts of recordings have the recording's times."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from accel_asr.alignment import many_recordings
from accel_asr.alignment.aligned import AlignedRecording, AlignedRow, LeftOut
from accel_asr.alignment.many_recordings import aligned_recordings, share_of_rank
from accel_asr.alignment.spoken_texts import SpokenText
from accel_asr.transcription.segments import Word
from accel_asr.transcription.transcriber import Transcriber

RATE_HZ = 16_000


def test_ranks_share_the_bytes(tmp_path: Path) -> None:
    sizes = {"a": 10, "b": 70, "c": 40, "d": 30, "e": 0}
    for name, size in sizes.items():
        (tmp_path / name).write_bytes(bytes(size))
    spoken = [SpokenText(name, tmp_path / name, "text") for name in sizes] + [SpokenText("gone", tmp_path / "gone", "")]
    shares = [[one.name for one in share_of_rank(spoken, rank=rank, ranks=2)] for rank in (0, 1)]
    assert sorted(name for share in shares for name in share) == sorted(["gone", *sizes])
    assert sorted(sum(sizes.get(name, 0) for name in share) for share in shares) == [70, 80]
    assert all(share == sorted(share) for share in shares)  # in the order given
    assert share_of_rank(spoken, rank=0, ranks=1) == spoken


def stand_in(transcriber: Transcriber, samples: np.ndarray, text: str, **options: object) -> AlignedRecording:
    """The first two seconds are the text, the rest is speech that it lacks."""
    words = tuple(Word(index / 2, index / 2 + 0.5, word, 0.5) for index, word in enumerate(text.split()))
    duration_s = len(samples) / RATE_HZ
    row = AlignedRow(0.0, 2.0, text, None, 0.5, words)
    left_out = (LeftOut("speech", 2.0, duration_s, "more"),)
    return AlignedRecording(duration_s, transcriber.language, (row,), left_out, len(words), len(words))


@pytest.fixture
def transcriber(model_and_processor) -> Transcriber:
    return Transcriber(*model_and_processor, task="transcribe")


def test_a_bad_recording_fails_alone(transcriber: Transcriber, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(many_recordings, "align_recording", stand_in)
    soundfile.write(tmp_path / "good.wav", np.zeros(5 * RATE_HZ), RATE_HZ)
    (tmp_path / "bad.wav").write_text("hello")
    spoken = [
        SpokenText("gone", tmp_path / "gone.wav", "text"),
        SpokenText("bad", tmp_path / "bad.wav", "text"),
        SpokenText("without", tmp_path / "good.wav", "", problem="its text is empty"),
        SpokenText("strange", tmp_path / "good.wav", "text", language="Klingon"),
        SpokenText("good", tmp_path / "good.wav", "two words", language="German"),
    ]
    outcomes = {one.name: outcome for one, outcome in aligned_recordings(transcriber, spoken, longest_s=2.0)}
    assert list(outcomes) == ["gone", "bad", "without", "strange", "good"]
    assert "does not exist" in str(outcomes["gone"])
    assert "can't read it" in str(outcomes["bad"])
    assert outcomes["without"] == "its text is empty"
    assert "does not know 'Klingon'" in str(outcomes["strange"])
    good = outcomes["good"]
    assert isinstance(good, AlignedRecording)
    assert (good.duration_s, good.language, good.words_in_rows) == (5.0, "de", 2)


def test_times_of_a_part_are_those_of_its_recording(
    transcriber: Transcriber, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(many_recordings, "align_recording", stand_in)
    soundfile.write(tmp_path / "good.wav", np.zeros(9 * RATE_HZ), RATE_HZ)
    part = SpokenText("part", tmp_path / "good.wav", "two words", start_s=4.0, end_s=7.0)
    [(_, aligned)] = aligned_recordings(transcriber, [part], longest_s=2.0)
    assert isinstance(aligned, AlignedRecording)
    assert aligned.duration_s == 3.0
    [row] = aligned.rows
    assert (row.start_s, row.end_s) == (4.0, 6.0)
    assert [(word.start_s, word.end_s) for word in row.words] == [(4.0, 4.5), (4.5, 5.0)]
    assert [(stretch.start_s, stretch.end_s) for stretch in aligned.left_out] == [(6.0, 7.0)]
