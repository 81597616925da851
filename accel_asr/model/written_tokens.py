"""Control tokens written out in a text: times, as Whisper writes them, can be read; all others are nothing one says.

`<|0.00|> five<|0.50|><|0.50|> six<|1.02|>` says five from 0 to 0.5 s, and six from there on to 1.02 s.
"""

import re
from dataclasses import dataclass

CONTROL_TOKEN = re.compile(r"<\|[^<>|\s]+\|>")  # of whatever model
# Thai, Lao, Burmese, Khmer, Chinese, Japanese: a space between two of these would be wrong
UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3000-\u30ff\u3400-\u9fff\uf900-\ufaff\uff00-\uffef"
_TIME = re.compile(r"<\|(\d+(?:\.\d+)?)\|>")
_TIMES = re.compile(r"(?:<\|\d+(?:\.\d+)?\|>)+")
_NEEDS_NO_SPACE = re.compile(rf".?\s.?|[{UNSPACED}]{{2}}|.?")  # the characters on both sides of a joint
_SHOWN_CHARACTERS = 40


@dataclass(frozen=True, slots=True)
class TimedWords:
    """A part of a text, and when it is said in its recording. All but the first begin with a space if they need one."""

    text: str
    start_s: float
    end_s: float


def written_time(text: str) -> str | None:
    """The first time in a text, such as `<|0.00|>`."""
    found = _TIME.search(text)
    return found.group() if found else None


def written_control_token(text: str) -> str | None:
    """The first control token in a text that is no time, such as `<|endoftext|>`."""
    return next((token for token in CONTROL_TOKEN.findall(text) if not _TIME.fullmatch(token)), None)


def without_times(text: str) -> str:
    """The words only, with a space in place of times that stand between words."""
    return _TIMES.sub(lambda found: _joint(text[: found.start()], text[found.end() :]), text)


def timed_words(text: str) -> tuple[TimedWords, ...]:
    """The words between one time and the next; none of a text without times.

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
    found: list[TimedWords] = []
    for start, end, words in zip(times, times[1:], spoken, strict=False):
        if float(end) < float(start):
            raise ValueError(f"<|{end}|> after <|{start}|>")
        if words.strip():
            spaced = words[0].isspace() or _joint(found[-1].text if found else "", words)
            found.append(TimedWords((" " if found and spaced else "") + words.strip(), float(start), float(end)))
    return tuple(found)


def _joint(before: str, after: str) -> str:
    return "" if _NEEDS_NO_SPACE.fullmatch(before[-1:] + after[:1]) else " "
