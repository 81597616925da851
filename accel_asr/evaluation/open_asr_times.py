"""Times of day as the Open ASR leaderboard writes them: `half past seven` and `7:30` are the same."""

import re

_TEENS = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
]
_TENS = {"twenty": 20, "thirty": 30, "forty": 40, "fifty": 50}
_VALUES = {word: value for value, word in enumerate(_TEENS)} | _TENS
_NUMBER = rf"(?:[0-9]{{1,2}}|(?:{'|'.join(_TENS)})(?:[\s-]+(?:{'|'.join(_TEENS[1:10])}))?|{'|'.join(_TEENS)})"
_CLOCK = r"o\s*['’]?\s*clock"  # noqa: RUF001 - as it is typeset
_START = r"(?<![\w.:])"
_RELATIVE = re.compile(
    rf"{_START}(half|(?:a\s+)?quarter|{_NUMBER}\s+minutes?)\s+(past|after|to|before)\s+({_NUMBER})(?:\s+{_CLOCK})?\b"
)
_ON_THE_HOUR = re.compile(rf"{_START}({_NUMBER})\s+{_CLOCK}\b")
_NUMERIC = re.compile(r"(?<![\w:./])([01]?[0-9]|2[0-3]):([0-5][0-9])(?![\w:]|\.[0-9])")


def standard_times(text: str) -> str:
    """Lower-case English with each time as `7:30`, or `7` on the hour."""
    text = _RELATIVE.sub(_relative, text)
    text = _ON_THE_HOUR.sub(lambda match: f"{_value(match[1])}:00" if _value(match[1]) < 24 else match[0], text)
    return _NUMERIC.sub(lambda match: str(int(match[1])) + (f":{match[2]}" if int(match[2]) else ""), text)


def _relative(match: re.Match[str]) -> str:
    amount, relation, hour = match[1], match[2], _value(match[3])
    minute = 30 if amount == "half" else 15 if amount.endswith("quarter") else _value(amount.rpartition("minute")[0])
    if hour > 23 or minute > 59:
        return match[0]
    if relation in ("to", "before") and minute:
        hour = (hour - 2) % 12 + 1 if 1 <= hour <= 12 else (hour - 1) % 24
        minute = 60 - minute
    return f"{hour}:{minute:02d}"


def _value(words: str) -> int:
    """`7`, `seven`, `twenty-five`."""
    return sum(int(word) if word.isdigit() else _VALUES[word] for word in re.split(r"[\s-]+", words.strip()))
