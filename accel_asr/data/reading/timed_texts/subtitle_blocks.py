"""SubRip, WebVTT, SubViewer and YouTube's .sbv: a line with two times, and the text below it.

Read here and not by pysubs2, which knows no cue identifiers, comments, voices or rolling captions of WebVTT, and no
times without hours in SubRip.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from accel_asr.data.reading.timed_texts.cue_markup import plain_text, text_and_speaker
from accel_asr.data.reading.timed_texts.timed_cues import AnnotationFile, TimedCue

_TIME = r"(-?)\s*(?:(\d+)\s*:\s*)?(\d{1,2})\s*:\s*(\d{1,2})(?:\s*[.,]\s*(\d{1,9}))?"
_ARROW_LINE = re.compile(rf"\s*{_TIME}\s*[-\u2013\u2014]+\s*(?:>|&gt;)\s*{_TIME}(?:\s.*)?")
_COMMA_LINE = re.compile(rf"\s*{_TIME}\s*,\s*{_TIME}\s*")  # .sbv and SubViewer
_WORD_TIME = re.compile(r"<\d+:\d{2}[\d:.]*>")
_MOST_GAP_S = 0.1  # between a caption and its next state


@dataclass(frozen=True)
class _Block:
    start_s: float
    end_s: float
    markup: str


def read_arrow_times(file: AnnotationFile) -> list[TimedCue]:
    """The cues of a SubRip or WebVTT file, which its content tells apart: only in WebVTT a blank line ends a cue.

    Raises:
        ValueError: it has no line of times, but text.
    """
    return _cues(_blocks(file.text, _ARROW_LINE, ends_at_blank=file.text.startswith("WEBVTT")), file)


def read_comma_times(file: AnnotationFile) -> list[TimedCue]:
    """The cues of an .sbv or SubViewer file; raises as `read_arrow_times`."""
    text = re.sub(r"\[br\]", "\n", file.text, flags=re.IGNORECASE)
    return _cues(_blocks(text, _COMMA_LINE, ends_at_blank=True), file)


def has_arrow_lines(file: AnnotationFile) -> bool:
    """Whether some line holds two times with an arrow between them, whatever the file is called."""
    return any(_ARROW_LINE.fullmatch(line) for line in file.text.split("\n"))


def has_comma_lines(file: AnnotationFile) -> bool:
    """Whether some line holds two times with a comma between them and nothing else."""
    return any(_COMMA_LINE.fullmatch(line) for line in file.text.split("\n"))


def _blocks(text: str, time_line: re.Pattern[str], *, ends_at_blank: bool) -> list[_Block]:
    lines = text.split("\n")
    places = [(number, match) for number, line in enumerate(lines) if (match := time_line.fullmatch(line))]
    followers = [*(number for number, _ in places), None][1:]
    blocks = []
    for (number, match), following in zip(places, followers, strict=True):
        body = lines[number + 1 : following]
        counter = lines[number - 1].strip() if number else ""
        if following is not None and body and _is_counter(body, after=counter):
            body.pop()
        if ends_at_blank and "" in body:
            body = body[: body.index("")]
        groups = match.groups()
        blocks.append(_Block(_seconds(*groups[:5]), _seconds(*groups[5:]), "\n".join(body)))
    return blocks


def _is_counter(body: Sequence[str], *, after: str) -> bool:
    """Whether the last line before the next line of times is the next cue's number, and no text."""
    last = body[-1].strip()
    if not last.isdecimal():
        return False
    is_next = after.isdecimal() and int(last) == int(after) + 1
    return is_next or len(body) == 1 or not body[-2].strip()


def _seconds(sign: str, hours: str | None, minutes: str, seconds: str, fraction: str | None) -> float:
    value_s = int(hours or 0) * 3600 + int(minutes) * 60 + float(f"{seconds}.{fraction or 0}")
    return -value_s if sign else value_s


def _cues(blocks: list[_Block], file: AnnotationFile) -> list[TimedCue]:
    if not blocks and sum(line.strip() not in ("", "WEBVTT") for line in file.text.split("\n")):
        raise ValueError("it has no line with two times")
    blocks = _without_highlights(_without_rolling(blocks))
    return [TimedCue(block.start_s, block.end_s, *text_and_speaker(block.markup)) for block in blocks]


def _without_rolling(blocks: list[_Block]) -> list[_Block]:
    """Blocks without the lines of the one before, in captions that roll up, as YouTube's do."""
    texts = [[line.strip() for line in plain_text(block.markup).split("\n") if line.strip()] for block in blocks]
    carried = [0] * len(blocks)
    for number in range(1, len(blocks)):
        if blocks[number].start_s - blocks[number - 1].end_s <= _MOST_GAP_S:
            carried[number] = _carried_lines(texts[number - 1], texts[number])
    has_word_times = any(_WORD_TIME.search(block.markup) for block in blocks)
    if not has_word_times and 2 * sum(map(bool, carried)) <= len(blocks):
        return blocks
    return [
        replace(block, markup="\n".join(_nonblank(block.markup)[count:])) if count else block
        for block, count in zip(blocks, carried, strict=True)
    ]


def _carried_lines(before: list[str], lines: list[str]) -> int:
    """How many of the first lines are the last ones of the caption before."""
    most = min(len(before), len(lines))
    return next((count for count in range(most, 0, -1) if before[-count:] == lines[:count]), 0)


def _nonblank(markup: str) -> list[str]:
    return [line for line in markup.split("\n") if plain_text(line).strip()]


def _without_highlights(blocks: list[_Block]) -> list[_Block]:
    """One block for each run of blocks that differ only in the word that is underlined, as Whisper writes them."""
    if 2 * sum("<u>" in block.markup for block in blocks) <= len(blocks):
        return blocks
    joined: list[_Block] = []
    for block in blocks:
        last = joined[-1] if joined else None
        if (
            last is not None
            and block.start_s - last.end_s <= _MOST_GAP_S
            and plain_text(last.markup) == plain_text(block.markup)
        ):
            joined[-1] = replace(last, end_s=block.end_s)
        else:
            joined.append(block)
    return joined
