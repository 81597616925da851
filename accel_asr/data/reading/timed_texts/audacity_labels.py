"""Labels that Audacity exports: start, end and text between tabs; a line after it may give the frequencies."""

import re

from accel_asr.data.reading.timed_texts.timed_cues import AnnotationFile, TimedCue

_LABEL = re.compile(r"(-?\d+(?:[.,]\d+)?)\t(-?\d+(?:[.,]\d+)?)(?:\t(.*))?")
_FREQUENCIES = re.compile(r"\\\t.*")


def is_audacity(file: AnnotationFile) -> bool:
    """Whether every line is a label."""
    lines = _lines(file)
    return bool(lines) and all(_LABEL.fullmatch(line) for line in lines)


def read_audacity(file: AnnotationFile) -> list[TimedCue]:
    """A cue for each label; a label at one point in time holds for no time."""
    matches = [match for line in _lines(file) if (match := _LABEL.fullmatch(line))]
    return [
        TimedCue(float(match[1].replace(",", ".")), float(match[2].replace(",", ".")), match[3] or "")
        for match in matches
    ]


def _lines(file: AnnotationFile) -> list[str]:
    return [line for line in file.text.split("\n") if line.strip() and not _FREQUENCIES.fullmatch(line)]
