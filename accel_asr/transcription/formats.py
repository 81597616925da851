"""A transcript with times as txt, json, srt, vtt, tsv or ctm."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import PurePath
from typing import Any

from accel_asr.transcription.cues import Cue, LineLimits, cues_of_segments, cues_within
from accel_asr.transcription.segments import Segment, TimedText

FORMATS = ("txt", "json", "srt", "vtt", "tsv", "ctm")
SUBTITLES = ("srt", "vtt")
OF_ONE_RECORDING = (*SUBTITLES, "tsv")  # two such files in a row are not one


@dataclass(frozen=True, slots=True)
class Style:
    """How transcripts are written.

    Args:
        limits: Of the lines of subtitles; None makes each segment a cue of one line.
        with_words: json and vtt hold the times of words too.
    """

    limits: LineLimits | None = None
    with_words: bool = False


PLAIN = Style()


def rendered(
    spoken: TimedText, *, output_format: str, name: str, style: Style = PLAIN, indent: int | None = None
) -> str:
    """The transcript in one of `FORMATS`, without a final newline.

    Args:
        name: The recording's name in json and ctm.
        indent: Of the JSON object; None is one line.
    """
    if output_format == "json":
        return json.dumps(as_object(spoken, name=name, style=style), ensure_ascii=False, indent=indent)
    if output_format in SUBTITLES:
        cues = cues_of_segments(spoken) if style.limits is None else cues_within(spoken, style.limits)
        return _srt(cues) if output_format == "srt" else _vtt(cues, style)
    if output_format == "tsv":
        return _tsv(spoken.segments)
    if output_format == "ctm":
        return "\n".join(_ctm_lines(spoken, name))
    return spoken.text


def timestamp(time_s: float, *, decimal_mark: str) -> str:
    """Seconds as `HH:MM:SS,mmm` with the format's decimal mark; hours may have more than two digits."""
    milliseconds = round(time_s * 1000)
    seconds, milliseconds = divmod(milliseconds, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{seconds:02}{decimal_mark}{milliseconds:03}"


def as_object(spoken: TimedText, *, name: str, style: Style = PLAIN) -> dict[str, Any]:
    """The transcript for JSON. Bytes of the file name that are not UTF-8 are escaped with backslashes."""
    probability = spoken.language_probability
    return {
        "file": name.encode("utf-8", "backslashreplace").decode(),
        "duration_s": round(spoken.duration_s, 3),
        "language": spoken.language,
        **({} if probability is None else {"language_probability": round(probability, 3)}),
        "text": spoken.text,
        "segments": [_segment_object(segment, style) for segment in spoken.segments],
    }


def _segment_object(segment: Segment, style: Style) -> dict[str, Any]:
    words = [asdict(word) for word in segment.words]
    about = {"start_s": segment.start_s, "end_s": segment.end_s, "text": segment.text}
    return about | ({"words": words} if style.with_words else {})


def _srt(cues: Sequence[Cue]) -> str:
    return "\n\n".join(f"{number}\n{_times(cue, ',')}\n{cue.text}" for number, cue in enumerate(cues, start=1))


def _vtt(cues: Sequence[Cue], style: Style) -> str:
    """WebVTT. With times of words each begins with its own, which players can show as karaoke (`::cue(:past)`)."""
    texts = [_karaoke(cue) if style.with_words else _escaped(cue.text) for cue in cues]
    return "\n\n".join(["WEBVTT", *(f"{_times(cue, '.')}\n{text}" for cue, text in zip(cues, texts, strict=True))])


def _karaoke(cue: Cue) -> str:
    """The escaped lines; a time stands where it is within the cue and later than the one before, as WebVTT demands."""
    lines, last_ms = [], _ms(cue.start_s)
    for pieces in cue.lines:
        line = ""
        for piece in pieces:
            is_shown = piece.is_timed and last_ms < _ms(piece.start_s) < _ms(cue.end_s)
            tag = f"<{timestamp(piece.start_s, decimal_mark='.')}>" if is_shown else ""
            line += piece.gap + tag + _escaped(piece.text)
            last_ms = _ms(piece.start_s) if is_shown else last_ms
        lines.append(line.lstrip())
    return "\n".join(lines)


def _tsv(segments: Sequence[Segment]) -> str:
    """Whisper's: milliseconds, and no tab in a text."""
    rows = [f"{_ms(segment.start_s)}\t{_ms(segment.end_s)}\t{' '.join(segment.text.split())}" for segment in segments]
    return "\n".join(["start\tend\ttext", *rows])


def _ctm_lines(spoken: TimedText, name: str) -> Iterator[str]:
    """NIST's `recording channel start duration word confidence`: a line for each word.

    Spaces in the name of the recording are written as `_`: they would begin the next field.
    """
    recording = re.sub(r"\s", "_", PurePath(name).stem) or "_"
    for word in (word for segment in spoken.segments for word in segment.words):
        length_s = word.end_s - word.start_s
        yield f"{recording} 1 {word.start_s:.3f} {length_s:.3f} {word.text} {word.probability:.3f}"


def _ms(time_s: float) -> int:
    return round(time_s * 1000)


def _times(cue: Cue, decimal_mark: str) -> str:
    start, end = (timestamp(time_s, decimal_mark=decimal_mark) for time_s in (cue.start_s, cue.end_s))
    return f"{start} --> {end}"


def _escaped(text: str) -> str:
    """In WebVTT `<` would open a tag, and `-->` a cue."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
