"""Control tokens that are written out in a text: Whisper's times, and others, which are never speech.

`<|0.00|> five<|0.50|><|0.50|> six<|1.02|>`: five from 0 to 0.5 s, six from 0.5 to 1.02 s.
"""

import re
from dataclasses import dataclass

CONTROL_TOKEN = re.compile(r"<\|[^<>|\s]+\|>")  # of any model
# Thai, Lao, Burmese, Khmer, Chinese, Japanese: a space between two of these would be wrong
UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3000-\u30ff\u3400-\u9fff\uf900-\ufaff\uff00-\uffef"
_TIME = re.compile(r"<\|(\d+(?:\.\d+)?)\|>")
_TIMES = re.compile(r"(?:<\|\d+(?:\.\d+)?\|>)+")
_NEEDS_NO_SPACE = re.compile(rf".?\s.?|[{UNSPACED}]{{2}}|.?")  # the characters on both sides of a joint
_SHOWN_CHARACTERS = 40


@dataclass(frozen=True, slots=True)
class TimedWords:
    """A part of a text with its times in the recording. All but the first begin with a space if they need one."""

    text: str
    start_s: float
    end_s: float


def written_time(text: str) -> str | None:
    """The first time in a text, such as `<|0.00|>`."""
    time = _TIME.search(text)
    return time.group() if time else None


def written_control_token(text: str) -> str | None:
    """The first control token in a text that is not a time, such as `<|endoftext|>`."""
    return next((token for token in CONTROL_TOKEN.findall(text) if not _TIME.fullmatch(token)), None)


def without_times(text: str) -> str:
    """The words only, with a space in place of times between words."""
    return _TIMES.sub(lambda times: joint(text[: times.start()], text[times.end() :]), text)


def timed_words(text: str) -> tuple[TimedWords, ...]:
    """The words between each time and the next; empty for a text without times.

    Raises:
        ValueError: words before the first time or after the last, or a time that is earlier than the one before it.
    """
    before, *rest = _TIME.split(text)
    if not rest:
        return ()
    times, spoken = rest[::2], rest[1::2]
    for words, where in ((before, "before the first time"), (spoken[-1], "after the last time")):
        if words.strip():
            raise ValueError(f"words {where}: {words.strip()[:_SHOWN_CHARACTERS]!r}")
    timed: list[TimedWords] = []
    for start, end, words in zip(times, times[1:], spoken, strict=False):
        if float(end) < float(start):
            raise ValueError(f"<|{end}|> after <|{start}|>")
        if words.strip():
            spaced = words[0].isspace() or joint(timed[-1].text if timed else "", words)
            timed.append(TimedWords((" " if timed and spaced else "") + words.strip(), float(start), float(end)))
    return tuple(timed)


def joint(before: str, after: str) -> str:
    """What comes between two texts that are joined: a space, or nothing."""
    return "" if _NEEDS_NO_SPACE.fullmatch(before[-1:] + after[:1]) else " "
