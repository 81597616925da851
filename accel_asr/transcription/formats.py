"""A transcript with times as txt, json, srt or vtt."""

import json
from typing import Any

from accel_asr.transcription.segments import Segment, TimedText

FORMATS = ("txt", "json", "srt", "vtt")


def rendered(spoken: TimedText, *, output_format: str, name: str, indent: int | None = None) -> str:
    """The transcript in one of `FORMATS`, without a final newline.

    Args:
        name: The recording's name in the JSON object.
        indent: Of the JSON object; None is one line.
    """
    if output_format == "json":
        return json.dumps(as_object(spoken, name=name), ensure_ascii=False, indent=indent)
    if output_format == "srt":
        return _srt(spoken)
    if output_format == "vtt":
        return _vtt(spoken)
    return spoken.text


def timestamp(time_s: float, *, decimal_mark: str) -> str:
    """Seconds as `HH:MM:SS,mmm` with the format's decimal mark; hours may have more than two digits."""
    milliseconds = round(time_s * 1000)
    seconds, milliseconds = divmod(milliseconds, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{seconds:02}{decimal_mark}{milliseconds:03}"


def as_object(spoken: TimedText, *, name: str) -> dict[str, Any]:
    """The transcript for JSON. Bytes of the file name that are not UTF-8 are escaped with backslashes."""
    return {
        "file": name.encode("utf-8", "backslashreplace").decode(),
        "duration_s": round(spoken.duration_s, 3),
        "language": spoken.language,
        "text": spoken.text,
        "segments": [
            {"start_s": segment.start_s, "end_s": segment.end_s, "text": segment.text} for segment in spoken.segments
        ],
    }


def _srt(spoken: TimedText) -> str:
    cues = [f"{number}\n{_times(cue, ',')}\n{cue.text}" for number, cue in enumerate(spoken.segments, start=1)]
    return "\n\n".join(cues)


def _vtt(spoken: TimedText) -> str:
    cues = [f"{_times(cue, '.')}\n{_escaped(cue.text)}" for cue in spoken.segments]
    return "\n\n".join(["WEBVTT", *cues])


def _times(cue: Segment, decimal_mark: str) -> str:
    start, end = (timestamp(time_s, decimal_mark=decimal_mark) for time_s in (cue.start_s, cue.end_s))
    return f"{start} --> {end}"


def _escaped(text: str) -> str:
    """In WebVTT `<` would open a tag, and `-->` a cue."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
