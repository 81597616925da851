"""What programs that run Whisper write, .json, .tsv or to the console: openai's, WhisperX, whisper.cpp and others."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from accel_asr.data.reading.text_files import is_audio_name
from accel_asr.data.reading.timed_texts.cue_markup import text_and_speaker
from accel_asr.data.reading.timed_texts.timed_cues import AnnotationFile, TimedCue

_TSV_HEADER = ["start", "end", "text"]
_LISTS = ("segments", "transcription", "chunks", "utterances")  # whisper.cpp's, transformers'; others' with speakers
_CONSOLE_LINE = re.compile(r"\[(?:(\d+):)?(\d+):(\d+\.\d+) -+> (?:(\d+):)?(\d+):(\d+\.\d+)\]\s*(.*)")


def is_whisper_json(file: AnnotationFile) -> bool:
    """Whether it is a JSON document with segments that have times and texts."""
    return bool(_segments(file)) or _segments(file) == []


def read_whisper_json(file: AnnotationFile) -> list[TimedCue]:
    """A cue for each segment, with its speaker if it has one."""
    return [_cue(segment) for segment in _segments(file) or ()]


def is_whisper_tsv(file: AnnotationFile) -> bool:
    """Whether its header is start, end, text, as in Whisper's."""
    return file.text.partition("\n")[0].strip().split("\t") == _TSV_HEADER


def read_whisper_tsv(file: AnnotationFile) -> list[TimedCue]:
    """A cue for each line; times are whole milliseconds, or seconds if any has a point."""
    rows = [line.split("\t", maxsplit=2) for line in file.text.split("\n")[1:] if line.strip()]
    odd = next((number for number, row in enumerate(rows, start=2) if len(row) < 2), None)
    if odd is not None:
        raise ValueError(f"line {odd} has no two times")
    scale = 1.0 if any("." in cell for row in rows for cell in row[:2]) else 1000.0
    return [
        TimedCue(float(row[0]) / scale, float(row[1]) / scale, *text_and_speaker(row[2] if len(row) > 2 else ""))
        for row in rows
    ]


def is_whisper_console(file: AnnotationFile) -> bool:
    """Whether it is what Whisper prints: `[00:00.000 --> 00:04.000]  text` on every line."""
    lines = [line for line in file.text.split("\n") if line.strip()]
    return bool(lines) and all(_CONSOLE_LINE.match(line) for line in lines)


def read_whisper_console(file: AnnotationFile) -> list[TimedCue]:
    """A cue for each line."""
    cues = []
    for line in file.text.split("\n"):
        if match := _CONSOLE_LINE.match(line):
            times = [
                int(match[part] or 0) * 3600 + int(match[part + 1]) * 60 + float(match[part + 2]) for part in (1, 4)
            ]
            cues.append(TimedCue(times[0], times[1], *text_and_speaker(match[7])))
    return cues


def _segments(file: AnnotationFile) -> list[dict[str, Any]] | None:
    """The segments of a document; None if it is something else."""
    try:
        document = json.loads(file.text)
    except (ValueError, RecursionError):
        return None
    lists = [document] if isinstance(document, list) else []
    if isinstance(document, Mapping):
        lists = [document[name] for name in _LISTS if isinstance(document.get(name), list)]
    for segments in lists:
        if all(isinstance(segment, dict) and "text" in segment and _has_times(segment) for segment in segments):
            return None if any(map(is_audio_name, _values(segments))) else segments  # rows of a manifest
    return None


def _values(segments: list[dict[str, Any]]) -> Iterator[str]:
    return (value for segment in segments for value in segment.values() if isinstance(value, str))


def _has_times(segment: Mapping[str, Any]) -> bool:
    try:
        _times(segment)
    except (KeyError, TypeError, ValueError, IndexError):
        return False
    return True


def _times(segment: Mapping[str, Any]) -> tuple[float, float | None]:
    """Start and end in seconds, where programs put them."""
    if "offsets" in segment:  # whisper.cpp's, in milliseconds
        return segment["offsets"]["from"] / 1000, segment["offsets"]["to"] / 1000
    start, end = segment["timestamp"] if "timestamp" in segment else (segment["start"], segment["end"])
    return float(start), None if end is None else float(end)


def _cue(segment: Mapping[str, Any]) -> TimedCue:
    start_s, end_s = _times(segment)
    text, speaker = text_and_speaker(str(segment["text"] or ""))
    named = segment.get("speaker")
    return TimedCue(start_s, end_s, text, str(named) if named is not None else speaker)
