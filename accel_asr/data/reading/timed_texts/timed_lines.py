"""Lines that begin with their times: lyrics (.lrc), Whisper's console output, TMPlayer, plain transcripts."""

import re

from accel_asr.data.reading.timed_texts.cue_markup import text_and_speaker
from accel_asr.data.reading.timed_texts.timed_cues import AnnotationFile, TimedCue

_CLOCK = r"(?:(\d+):)?(\d{1,3}):(\d{1,2}(?:[.,:]\d{1,3})?)"
_STAMP = re.compile(rf"\s*\[{_CLOCK}\]")
_STAMPS = re.compile(rf"(?:{_STAMP.pattern})*")
_LYRICS_TAG = re.compile(r"\s*\[([a-z#]+):(.*)\]\s*", re.IGNORECASE)
_SPAN = re.compile(rf"\s*\[{_CLOCK} -+> {_CLOCK}\]\s*(.*)")
_BARE_STAMP = re.compile(r"\s*(\d{1,2}):(\d{2}):(\d{2}(?:[.,]\d{1,3})?)(?:[:=]|\s+)(.*)")


def read_lyrics(file: AnnotationFile) -> list[TimedCue]:
    """A cue for each time of each line; it lasts until the next one begins. `[offset:500]` moves all half a second up.

    Raises:
        ValueError: no line has a time.
    """
    offset_s = 0.0
    cues = []
    for line in file.text.split("\n"):
        if (tag := _LYRICS_TAG.fullmatch(line)) and not _STAMP.match(line):
            if tag[1].lower() == "offset" and re.fullmatch(r"\s*[+-]?\d+\s*", tag[2]):
                offset_s = int(tag[2]) / 1000
            continue
        match = _STAMPS.match(line)
        stamps = match[0] if match else ""
        starts_s = [_seconds(match[1], match[2], match[3]) for match in _STAMP.finditer(stamps)]
        cues += [(start_s, *text_and_speaker(line[len(stamps) :])) for start_s in starts_s]
    if not cues and file.text.strip():
        raise ValueError("no line begins with a time")
    return [TimedCue(max(start_s - offset_s, 0.0), None, text, speaker) for start_s, text, speaker in sorted(cues)]


def is_stamped(file: AnnotationFile) -> bool:
    """Whether every line begins with one time in brackets: `[00:01:02] Hello`."""
    return _all_lines(file, _STAMP)


def is_console_output(file: AnnotationFile) -> bool:
    """Whether it is what Whisper prints: `[00:00.000 --> 00:04.000]  text` on every line."""
    return _all_lines(file, _SPAN)


def read_console_output(file: AnnotationFile) -> list[TimedCue]:
    """A cue for each line."""
    matches = [match for line in file.text.split("\n") if (match := _SPAN.match(line))]
    return [
        TimedCue(_seconds(*match.groups()[:3]), _seconds(*match.groups()[3:6]), *text_and_speaker(match[7]))
        for match in matches
    ]


def is_bare_stamped(file: AnnotationFile) -> bool:
    """Whether every line begins with a time: TMPlayer's `00:01:02:Hello`, `00:01:02=Hello`, `00:01:02 Hello`."""
    return _all_lines(file, _BARE_STAMP)


def read_bare_stamped(file: AnnotationFile) -> list[TimedCue]:
    """A cue for each line, which lasts until the next one begins; `|` is a line break."""
    matches = [match for line in file.text.split("\n") if (match := _BARE_STAMP.match(line))]
    if not matches and file.text.strip():
        raise ValueError("no line begins with a time")
    return [
        TimedCue(_seconds(match[1], match[2], match[3]), None, *text_and_speaker(match[4].replace("|", "\n")))
        for match in matches
    ]


def _all_lines(file: AnnotationFile, pattern: re.Pattern[str]) -> bool:
    lines = [line for line in file.text.split("\n") if line.strip()]
    return bool(lines) and all(pattern.match(line) for line in lines)


def _seconds(hours: str | None, minutes: str, seconds: str) -> float:
    return int(hours or 0) * 3600 + int(minutes) * 60 + float(re.sub("[,:]", ".", seconds))
