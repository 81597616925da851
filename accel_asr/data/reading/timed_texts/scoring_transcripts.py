"""NIST's transcripts for scoring: STM with the utterances of recordings, CTM with their words.

Source: https://github.com/usnistgov/SCTK (doc/infmts.htm).
"""

import re
from collections.abc import Iterator

from accel_asr.data.reading.timed_texts.timed_cues import AnnotationFile, TimedCue

_COMMENT = ";;"
_LABELS = re.compile(r"<(?:[^<>\s]*,[^<>\s]*|o|na)>\s*", re.IGNORECASE)  # <o,f0,female>; <unk> is a word
_NUMBER = r"-?\d*\.?\d+(?:[eE][-+]?\d+)?"
_STM_LINE = re.compile(rf"(\S+)\s+(\S+)\s+(\S+)\s+({_NUMBER})\s+({_NUMBER})(?:\s+(.*))?")
_CTM_LINE = re.compile(rf"(\S+)\s+(\S+)\s+({_NUMBER})\s+({_NUMBER})\s+(\S+)(?:\s+\S+)*")
CTM_TIER = "words"


def read_stm(file: AnnotationFile) -> list[TimedCue]:
    """The utterances: `recording channel speaker start end <labels> text`, without the labels.

    Raises:
        OSError: it can't be read.
        ValueError: its encoding is not known, or a line is something else.
    """
    cues = []
    for number, line in _lines(file):
        match = _STM_LINE.fullmatch(line)
        if match is None:
            raise ValueError(f"line {number} is not: recording channel speaker start end <labels> text")
        recording, _, speaker, start, end, rest = match.groups()
        labels = _LABELS.match(rest or "")
        text = (rest or "")[labels.end() if labels else 0 :]
        cues.append(TimedCue(float(start), float(end), text, speaker, recording=recording))
    return cues


def is_stm(file: AnnotationFile) -> bool:
    """Whether its first line is one of STM: other programs use the suffix for other things."""
    _, line = next(_lines(file), (0, ""))
    return _STM_LINE.fullmatch(line) is not None


def read_ctm(file: AnnotationFile) -> list[TimedCue]:
    """The words: `recording channel start duration word confidence`, of one tier `words`.

    Raises:
        OSError: it can't be read.
        ValueError: its encoding is not known, or a line is something else.
    """
    cues = []
    for number, line in _lines(file):
        match = _CTM_LINE.fullmatch(line)
        if match is None:
            raise ValueError(f"line {number} is not: recording channel start duration word confidence")
        recording, _, start, duration, word = match.groups()
        cues.append(TimedCue(float(start), float(start) + float(duration), word, tier=CTM_TIER, recording=recording))
    return cues


def is_ctm(file: AnnotationFile) -> bool:
    """Whether its first line is one of CTM."""
    _, line = next(_lines(file), (0, ""))
    return _CTM_LINE.fullmatch(line) is not None


def _lines(file: AnnotationFile) -> Iterator[tuple[int, str]]:
    """(number, line) without comments and empty lines."""
    for number, line in enumerate(file.text.split("\n"), start=1):
        if line.strip() and not line.lstrip().startswith(_COMMENT):
            yield number, line.strip()
