"""JSON with segments: what programs that run Whisper write, YouTube's json3, and others of the same build."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from accel_asr.data.reading.text_files import is_audio_name
from accel_asr.data.reading.timed_texts.cue_markup import text_and_speaker
from accel_asr.data.reading.timed_texts.timed_cues import AnnotationFile, TimedCue
from accel_asr.data.reading.timed_texts.timed_tables import in_seconds

# where segments are: whisper.cpp's and transformers' names, those of services, YouTube's and pysubs2's, Bilibili's
_LISTS = ("segments", "transcription", "chunks", "utterances", "audio_segments", "captions", "events", "body")
_TEXTS = ("text", "transcript", "content", "sentence")
_STARTS = ("start", "start_time", "startTime", "from", "begin")
_ENDS = ("end", "end_time", "endTime", "to", "stop")
_SPEAKERS = ("speaker", "speaker_label", "speaker_id", "speakerId", "name")  # the last is pysubs2's

Record = Mapping[str, Any]


def is_json_of_segments(file: AnnotationFile) -> bool:
    """Whether it is a JSON document with segments that have times and texts, and is no manifest of recordings."""
    return _segments(file) is not None


def read_json_of_segments(file: AnnotationFile) -> list[TimedCue]:
    """A cue for each segment, with its speaker if it has one."""
    segments = _segments(file) or []
    sure = [_sure_times(segment) for segment in segments]
    if None in sure:
        times = in_seconds([_plain_times(segment) for segment in segments])
    else:
        times = [pair for pair in sure if pair is not None]
    cues = []
    for (start_s, end_s), segment in zip(times, segments, strict=True):
        text, speaker = text_and_speaker(_text(segment))
        named = _first(segment, _SPEAKERS)
        cues.append(TimedCue(start_s, end_s, text, str(named) if named not in (None, "") else speaker))
    return cues


def _segments(file: AnnotationFile) -> list[Record] | None:
    """The segments of a document; None if it is something else."""
    try:
        document = json.loads(file.text)
    except (ValueError, RecursionError):
        return None
    for candidate in _lists(document):
        # YouTube's list has events without text of their own: the window's place, and line breaks
        records = [record for record in candidate if not (isinstance(record, dict) and _is_youtube_blank(record))]
        if all(isinstance(record, dict) and _is_segment(record) for record in records):
            return None if any(map(is_audio_name, _texts_in(records))) else records
    return None


def _lists(document: Any) -> Iterator[list[Any]]:
    """The lists in a document that may be segments; those of an object inside it too."""
    if isinstance(document, list):
        yield document
    if isinstance(document, dict):
        yield from (document[name] for name in _LISTS if isinstance(document.get(name), list))
        for value in document.values():
            if isinstance(value, dict):
                yield from (value[name] for name in _LISTS if isinstance(value.get(name), list))


def _is_youtube_blank(record: Record) -> bool:
    return "tStartMs" in record and not _text(record).strip()


def _texts_in(records: list[Record]) -> Iterator[str]:
    return (value for record in records for value in record.values() if isinstance(value, str))


def _is_segment(record: Record) -> bool:
    if "tStartMs" not in record and _first(record, _TEXTS) is None:
        return False
    try:
        return (_sure_times(record) or _plain_times(record)) is not None
    except (KeyError, TypeError, ValueError, IndexError, OverflowError):  # the last for a huge number
        return False


def _sure_times(record: Record) -> tuple[float, float | None] | None:
    """The times of a segment in seconds, where the names of its fields tell their unit."""
    if "offsets" in record:  # whisper.cpp's, in milliseconds
        return record["offsets"]["from"] / 1000, record["offsets"]["to"] / 1000
    if "tStartMs" in record:  # YouTube's
        start_s = record["tStartMs"] / 1000
        return start_s, start_s + record["dDurationMs"] / 1000 if "dDurationMs" in record else None
    if "start_s" in record:  # our own
        return _numbers(record["start_s"], record.get("end_s"))
    if isinstance(record.get("timestamp"), list):  # transformers'
        return _numbers(*record["timestamp"])
    return None


def _plain_times(record: Record) -> tuple[float, float | None]:
    return _numbers(_first(record, _STARTS), _first(record, _ENDS))


def _numbers(start: Any, end: Any) -> tuple[float, float | None]:
    return float(start), None if end is None else float(end)


def _text(record: Record) -> str:
    if "segs" in record or "tStartMs" in record:
        return "".join(str(piece.get("utf8", "")) for piece in record.get("segs", ()))
    return str(_first(record, _TEXTS) or "")


def _first(record: Record, names: tuple[str, ...]) -> Any:
    return next((record[name] for name in names if record.get(name) is not None), None)
