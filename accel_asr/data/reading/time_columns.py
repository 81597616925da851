"""Which columns of a table give the begin and end of a row in its recording, and in which unit, by their names."""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

AUTO = "auto"
Role = Literal["start", "end", "offset", "duration", "length"]

_UNITS = {
    "s": ("s", "sec", "secs", "second", "seconds"),
    "ms": ("ms", "msec", "msecs", "millis", "millisecond", "milliseconds"),
    "us": ("us", "usec", "micros", "microsecond", "microseconds"),
    "samples": ("sample", "samples"),
    "frames": ("frame", "frames"),
    "ns": ("ns", "nanosecond", "nanoseconds"),
    "minutes": ("minute", "minutes", "min", "mins"),
}
_UNIT_OF = {word: unit for unit, words in _UNITS.items() for word in words}
_ROLES: dict[Role, tuple[str, ...]] = {
    "start": ("start", "starts", "begin", "begins", "beginning", "bgn", "onset", "starttime", "begintime", "stime"),
    "end": ("end", "ends", "ending", "stop", "stops", "finish", "endtime", "stoptime", "etime"),
    "offset": ("offset",),  # NeMo's is a row's start; beside an onset it is the end
    "duration": ("duration", "durations", "dur"),
    "length": ("length", "len"),
}
_ROLE_OF: dict[str, Role] = {word: role for role, words in _ROLES.items() for word in words}
_TIME_WORDS = frozenset(
    ("time", "times", "timestamp", "timestamps", "ts", "t", "at", "in", "of", "point", "position", "pos")
)
_SEGMENT_WORDS = frozenset(
    ("segment", "seg", "clip", "utt", "utterance", "speech", "chunk", "cue", "subtitle", "caption", "window", "crop")
)
_RECORDING_WORDS = frozenset(
    ("audio", "file", "recording", "wav", "video", "media", "track", "total", "full", "original", "orig", "source")
)
_OTHER_WORDS = _TIME_WORDS | _SEGMENT_WORDS | _RECORDING_WORDS
# only if both hold numbers, the second always higher
_PAIRS = (
    *(("from", "to"), ("from_time", "to_time"), ("time_from", "time_to"), ("in", "out"), ("cue_in", "cue_out")),
    *(("t0", "t1"), ("tmin", "tmax"), ("xmin", "xmax"), ("ts", "te"), ("st", "et"), ("s", "e")),
    *(("von", "bis"), ("anfang", "ende"), ("debut", "fin"), ("inicio", "fin"), ("inizio", "fine"), ("desde", "hasta")),
)
_INTERVALS = _TIME_WORDS | _SEGMENT_WORDS | frozenset(("interval", "span", "audio", "offsets", "range", "timecode"))
_BOTH = ({"start", "end"}, {"start", "stop"}, {"begin", "end"}, {"onset", "offset"}, {"from", "to"})
_ONE_WORD = re.compile(r"(start|begin|end|stop|duration|dur)(?:time)?(ms|secs?)")
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


@dataclass(frozen=True)
class TimeSettings:
    """Columns of times by name: `auto` finds the usual names, None is no column."""

    start: str | None = AUTO
    end: str | None = AUTO
    duration: str | None = AUTO


@dataclass(frozen=True, slots=True)
class TimeColumn:
    """A column of times. `unit` is empty if its name gives none.

    `of_recording`: by its name, the duration of the recording. `is_sure`: `length` alone may count letters.
    """

    name: str
    role: Role
    unit: str = ""
    of_recording: bool = False
    is_sure: bool = True


@lru_cache(maxsize=4096)
def time_column(name: str) -> TimeColumn | None:
    """The column of times that a name such as `segment_start_ms` or `startTime` means; None for other names."""
    words = words_of(name)
    if match := _ONE_WORD.fullmatch("".join(words)):
        words = [match[1], match[2]]
    unit = ""
    if len(words) > 1:
        unit = _UNIT_OF.get(words[-1], "")
        words = words[:-1] if unit else words
    if not unit and len(words) > 1 and _UNIT_OF.get(words[0], "") in ("samples", "frames", "ms"):  # frame_offset
        unit, words = _UNIT_OF[words[0]], words[1:]
    roles = [word for word in words if word in _ROLE_OF]
    if len(roles) == 2 and "offset" in roles:  # start_offset
        roles.remove("offset")
        words.remove("offset")
    others = [word for word in words if word not in _ROLE_OF]
    if len(roles) != 1 or not _OTHER_WORDS.issuperset(others):
        return None
    role = _ROLE_OF[roles[0]]
    is_length = role in ("duration", "length")
    return TimeColumn(
        name,
        role,
        unit,
        of_recording=is_length and not _RECORDING_WORDS.isdisjoint(others),
        is_sure=role != "length" or bool(unit) or bool(set(others) - _TIME_WORDS),
    )


def words_of(name: str) -> list[str]:
    """The words of a column's name, in lower case: `start`, `time` and `s` of `StartTime (s)`."""
    return re.findall(r"[a-z]+\d*", _HUMP.sub(" ", name).lower())


def may_hold_intervals(name: str) -> bool:
    """Whether a column of pairs or of nested values may be about times: `timestamp`, `segment`, `audio`."""
    words = words_of(name)
    return bool(words) and (_INTERVALS.issuperset(words) or set(words) in _BOTH or words == ["supervision"])


def is_rate_column(name: str) -> bool:
    """Whether a column of this name holds sampling rates."""
    words = words_of(name)
    while words and words[-1] in ("hz", "in"):
        words.pop()
    return words in (["sampling", "rate"], ["sample", "rate"], ["samplerate"], ["sr"], ["fs"])


def time_columns(names: Iterable[str], settings: TimeSettings, *, nested: Collection[str] = ()) -> list[TimeColumn]:
    """The columns of times, by their names or the settings.

    Of `nested` ones, such as `clip.start_time`, the last part of the name counts.
    """
    names = list(names)
    columns = []
    for name in names:
        column = time_column(name.rpartition(".")[2] if name in nested else name)
        if column is not None:
            columns.append(replace(column, name=name))
    has_onset = any("onset" in words_of(column.name) for column in columns)
    offset: Role = "end" if has_onset else "start"
    columns = [replace(column, role=offset) if column.role == "offset" else column for column in columns]
    if not any(column.role in ("start", "end") for column in columns):
        lower = {name.lower(): name for name in names}
        for home in ("", *dict.fromkeys(name.rpartition(".")[0].lower() + "." for name in nested)):
            for begin, end in ((f"{home}{begin}", f"{home}{end}") for begin, end in _PAIRS):
                if begin in lower and end in lower:
                    columns += [
                        TimeColumn(lower[begin], "start", is_sure=False),
                        TimeColumn(lower[end], "end", is_sure=False),
                    ]
    chosen: list[TimeColumn] = []
    roles: tuple[tuple[str | None, tuple[Role, ...]], ...] = (
        (settings.start, ("start",)),
        (settings.end, ("end",)),
        (settings.duration, ("duration", "length")),
    )
    configured = {setting for setting, _ in roles}
    for setting, kinds in roles:
        if setting == AUTO:
            chosen += [column for column in columns if column.role in kinds and column.name not in configured]
        elif setting is not None:
            words = words_of(setting)
            unit = _UNIT_OF.get(words[-1], "") if len(words) > 1 else ""
            chosen.append(TimeColumn(setting, kinds[0], unit))
    return chosen
