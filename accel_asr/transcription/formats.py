"""Text with times as txt, json, srt or vtt."""

import json
from typing import Any

from accel_asr.transcription.segments import TimedText

FORMATS = ("txt", "json", "srt", "vtt")


def rendered(spoken: TimedText, *, output_format: str, name: str, indent: int | None = None) -> str:
    """The transcript in one of `FORMATS`, without a line end after its last line.

    Args:
        name: What the recording is called in the JSON object.
        indent: Of the JSON object; None puts it on one line.
    """
    if output_format == "json":
        return json.dumps(as_object(spoken, name=name), ensure_ascii=False, indent=indent)
    if output_format == "srt":
        return _srt(spoken)
    if output_format == "vtt":
        return _vtt(spoken)
    return spoken.text


def timestamp(time_s: float, *, decimal_mark: str) -> str:
    """Seconds as `HH:MM:SS,mmm`, with the mark that the format wants; hours may have more than two digits."""
    milliseconds = round(time_s * 1000)
    seconds, milliseconds = divmod(milliseconds, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{seconds:02}{decimal_mark}{milliseconds:03}"


def as_object(spoken: TimedText, *, name: str) -> dict[str, Any]:
    """The transcript as JSON has it. A file name that is no UTF-8 has backslashes in place of what is not."""
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
    cues = [
        f"{number}\n{timestamp(segment.start_s, decimal_mark=',')} --> {timestamp(segment.end_s, decimal_mark=',')}\n"
        f"{segment.text}"
        for number, segment in enumerate(spoken.segments, start=1)
    ]
    return "\n\n".join(cues)


def _vtt(spoken: TimedText) -> str:
    cues = [
        f"{timestamp(segment.start_s, decimal_mark='.')} --> {timestamp(segment.end_s, decimal_mark='.')}\n"
        f"{_escaped(segment.text)}"
        for segment in spoken.segments
    ]
    return "\n\n".join(["WEBVTT", *cues])


def _escaped(text: str) -> str:
    """As WebVTT wants it: `<` would open a tag, and `-->` another cue."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
