"""TIMIT's transcripts: `0 46797 She had your dark suit ...` in a .txt, words in a .wrd; times count samples."""

import re
from pathlib import Path

import soundfile

from accel_asr.data.reading.text_files import AUDIO_SUFFIXES
from accel_asr.data.reading.timed_texts.timed_cues import AnnotationFile, TimedCue

_LINE = re.compile(r"(\d+)\s+(\d+)\s+(.+)")
_SHORTEST = 800  # samples: no sentence is shorter, and `1 2 3 go` is a text
_SPEAKER = re.compile(r"[FM][A-Z]{3}\d", re.IGNORECASE)  # a folder of TIMIT: sex, initials, a number
_WORDS = "words"


def is_timit_sentence(file: AnnotationFile) -> bool:
    """Whether it is one line that begins with two numbers of samples, which lie within the recording beside it."""
    match = _LINE.fullmatch(file.text.strip())
    if match is None or int(match[2]) - int(match[1]) < _SHORTEST:
        return False
    recording = _recording_beside(file.path)
    return recording is not None and int(match[2]) <= recording.frames + recording.samplerate / 10


def read_timit(file: AnnotationFile) -> list[TimedCue]:
    """The sentence of a .txt; the words of a .wrd as one tier.

    Raises:
        OSError: it can't be read.
        ValueError: its encoding is not known, or a line is something else; there is no readable recording beside it.
    """
    recording = _recording_beside(file.path)
    if recording is None:
        raise ValueError("its times count samples, and there is no recording beside it that says how many a second has")
    tier = _WORDS if file.path.suffix.lower() == ".wrd" else None
    speaker = file.path.parent.name if _SPEAKER.fullmatch(file.path.parent.name) else None
    cues = []
    for number, line in enumerate(file.text.split("\n"), start=1):
        if not line.strip():
            continue
        match = _LINE.fullmatch(line.strip())
        if match is None:
            raise ValueError(f"line {number} is not: first-sample last-sample text")
        start_s, end_s = int(match[1]) / recording.samplerate, int(match[2]) / recording.samplerate
        cues.append(TimedCue(start_s, end_s, match[3], speaker, tier))
    return cues


def _recording_beside(path: Path) -> soundfile._SoundFileInfo | None:
    """The header of the recording with the same name but for its ending."""
    for other in sorted(path.parent.iterdir()):
        if other.stem == path.stem and other.suffix.lower() in AUDIO_SUFFIXES:
            try:
                return soundfile.info(other)
            except (OSError, soundfile.SoundFileError):
                continue
    return None
