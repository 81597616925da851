"""Finished recordings are kept whole, found again, and done again where something has changed."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from accel_asr.alignment.aligned import AlignedRecording, AlignedRow, LeftOut
from accel_asr.alignment.kept_alignments import FOLDER, KeptAlignments, short_name
from accel_asr.alignment.spoken_texts import SpokenText
from accel_asr.transcription.segments import Word
from tests.refusals import refused

MADE_BY = {"model": "abc", "language": "en", "longest_s": 30.0}
WORDS = (Word(0.5, 1.0, "Hello", 0.9), Word(1.0, 4.25, "there,", 0.85))
ALIGNED = AlignedRecording(
    duration_s=12.3456789,
    language="en",
    rows=(
        AlignedRow(0.5, 4.25, "Hello there,", None, 0.875, WORDS),
        AlignedRow(4.5, 9.0, "Łódź 東京", "Hello there,", 0.25),
    ),
    left_out=(LeftOut("text", 9.0, 9.0, "not said"), LeftOut("speech", 9.5, 12.0, "and so on")),
    words_in_rows=4,
    words_in_text=6,
)


@pytest.fixture
def spoken(tmp_path: Path) -> SpokenText:
    (tmp_path / "a.wav").write_bytes(b"sound")
    return SpokenText("a.wav", tmp_path / "a.wav", "Hello there, Łódź 東京 not said")


@pytest.fixture
def kept(tmp_path: Path) -> KeptAlignments:
    return KeptAlignments(tmp_path / "out", MADE_BY)


def test_what_is_kept_comes_back(kept: KeptAlignments, spoken: SpokenText) -> None:
    assert kept.pending([spoken]) == ([spoken], [])
    kept.save(spoken, ALIGNED)
    assert kept.pending([spoken]) == ([], [])
    assert kept.load(spoken) == replace(ALIGNED, duration_s=12.346)  # times to the millisecond


def test_a_changed_text_or_recording_is_aligned_again(kept: KeptAlignments, spoken: SpokenText) -> None:
    kept.save(spoken, ALIGNED)
    corrected = replace(spoken, text="Hello here.")
    assert kept.pending([corrected]) == ([corrected], ["a.wav"])
    spoken.path.write_bytes(b"other sound")
    assert kept.pending([spoken]) == ([spoken], ["a.wav"])


def test_another_model_or_setting_is_refused_by_its_name(kept: KeptAlignments, spoken: SpokenText) -> None:
    kept.save(spoken, ALIGNED)
    other = KeptAlignments(kept.output_dir, {**MADE_BY, "longest_s": 20.0})
    with refused("--output_dir", "1 recording", "longest_s 30.0", value=kept.output_dir, remedy="--overwrite"):
        other.pending([spoken])


def test_parts_of_one_recording_are_kept_apart(kept: KeptAlignments, spoken: SpokenText) -> None:
    first, second = replace(spoken, start_s=0.0, end_s=6.0), replace(spoken, start_s=6.0)
    kept.save(first, ALIGNED)
    assert kept.pending([first, second]) == ([second], [])


@pytest.mark.parametrize("content", ['{"format": 1, "rows"', '{"format": 0}', "[]"])
def test_a_file_that_is_not_of_this_format_is_made_again(
    kept: KeptAlignments, spoken: SpokenText, content: str
) -> None:
    kept.save(spoken, ALIGNED)
    [file] = (kept.output_dir / FOLDER).iterdir()
    assert json.loads(file.read_text())["recording"] == str(spoken.path)
    file.write_text(content)
    assert kept.pending([spoken]) == ([spoken], [])


def test_a_recording_that_has_gone_is_pending(kept: KeptAlignments, spoken: SpokenText) -> None:
    kept.save(spoken, ALIGNED)
    spoken.path.unlink()
    assert kept.pending([spoken])[0] == [spoken]


def test_names_keep_recordings_of_one_name_apart_and_survive_a_move(tmp_path: Path) -> None:
    names = [short_name(tmp_path / folder / "talk.mp3", tmp_path / "out") for folder in ("x", "y")]
    assert len(set(names)) == 2
    assert all(name.startswith("talk-") for name in names)
    assert short_name(tmp_path / "new" / "x" / "talk.mp3", tmp_path / "new" / "out") == names[0]
