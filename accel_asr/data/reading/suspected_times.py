"""Columns of numbers that may be times under unknown names: ignored, texts would be learnt from too much audio."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import permutations, product
from typing import Any

from accel_asr.data.reading.time_cells import seconds
from accel_asr.data.reading.time_columns import AUTO, TimeColumn, TimeSettings, words_of
from accel_asr.errors import UserError

_NO_TIMES = frozenset(("id", "ids", "index", "idx", "number", "no", "row", "line", "page", "char", "chars"))
_NO_TIMES |= {"token", "tokens", "word", "words", "byte", "bytes", "date", "year", "day", "age", "votes", "up", "down"}
_NO_TIMES |= {"score", "count", "size", "rate", "sr", "snr", "mos", "wer", "cer", "confidence", "channel"}
_STARTS, _ENDS = ("start", "begin", "onset"), ("end", "stop", "offset")
_MOST_COLUMNS = 40  # compared with each other


def refuse_suspected_times(
    chosen: Mapping[str, TimeColumn],
    view: Mapping[str, Sequence[Any]],
    unused: Mapping[str, Sequence[Any]],
    audios: Sequence[Any],
    settings: TimeSettings,
) -> None:
    """Refuse a table in which unused columns look like the times of its rows.

    With a known start, that is any column of numbers after it, which may be its end. With nothing known, it is a pair
    like `x_start` and `x_end`, or, if several rows name one recording, any two of which one is always lower.

    Args:
        chosen: The columns of times in use, by role.
        unused: The other columns.

    Raises:
        UserError: there are such columns; names them, and the settings for them.
    """
    if AUTO not in (settings.start, settings.end, settings.duration):
        return
    numbers = _numbers(unused)
    start, end = chosen.get("start"), chosen.get("end")
    if start and not end and "duration" not in chosen and settings.end == settings.duration == AUTO:
        for name, cells in numbers.items():
            if goes_before(view[start.name], cells) and _are_alike(view[start.name], cells):
                raise UserError(
                    f"{name!r} may be where rows end that start at {start.name!r}",
                    setting="--data.end_column",
                    remedy=f"give --data.end_column {name}, or null to use each recording up to its end",
                )
    if end and not start and "duration" not in chosen and settings.start == settings.duration == AUTO:
        for name, cells in numbers.items():
            if goes_before(cells, view[end.name]) and _are_alike(view[end.name], cells):
                raise UserError(
                    f"{name!r} may be where rows start that end at {end.name!r}",
                    setting="--data.start_column",
                    remedy=f"give --data.start_column {name}, or null to use each recording from its beginning",
                )
    if start or end or settings.start != AUTO or settings.end != AUTO:
        return
    pair = _named_pair(numbers) or (_ordered_pair(numbers) if _shares_recordings(audios) else None)
    if pair is not None:
        raise UserError(
            f"{pair[0]!r} and {pair[1]!r} look like times, and are not used",
            setting="--data.start_column, --data.end_column",
            remedy=f"give --data.start_column {pair[0]} --data.end_column {pair[1]}, or set both to null if they mean "
            "something else",
        )


def goes_before(firsts: Sequence[Any], lasts: Sequence[Any]) -> bool:
    """Whether both hold numbers or times, the first lower in every row that has both; and some row does."""
    compared = 0
    for first, second in zip(firsts, lasts, strict=True):
        try:
            a, b = seconds(first), seconds(second)
        except ValueError:
            return False
        if a is not None and b is not None:
            if a >= b:
                return False
            compared += 1
    return compared > 0


def _numbers(columns: Mapping[str, Sequence[Any]]) -> dict[str, Sequence[Any]]:
    """The columns of numbers whose names mean nothing else."""
    return {
        name: cells for name, cells in columns.items() if _NO_TIMES.isdisjoint(words_of(name)) and are_numbers(cells)
    }


def are_numbers(cells: Sequence[Any]) -> bool:
    """Whether all cells are numbers, times or empty, and some are not empty."""
    is_filled = False
    for cell in cells:
        try:
            is_filled |= seconds(cell) is not None
        except ValueError:
            return False
    return is_filled


def _has_fractions(cells: Sequence[Any]) -> bool:
    return any(value is not None and not value.is_integer() for value in map(seconds, cells))


def _are_alike(known: Sequence[Any], cells: Sequence[Any]) -> bool:
    """Whether a column may have the unit of a known one: beside fractions of seconds, whole numbers may not."""
    return _has_fractions(cells) or not _has_fractions(known)


def _named_pair(numbers: Mapping[str, Sequence[Any]]) -> tuple[str, str] | None:
    for name in numbers:
        for start, end in product(_STARTS, _ENDS):
            other = re.sub(rf"(?i)(?<![a-z]){start}(?![a-z])", end, name)
            if other != name and other in numbers and goes_before(numbers[name], numbers[other]):
                return name, other
    return None


def _ordered_pair(numbers: Mapping[str, Sequence[Any]]) -> tuple[str, str] | None:
    names = list(numbers)[:_MOST_COLUMNS]
    for first, second in permutations(names, 2):
        if goes_before(numbers[first], numbers[second]) and _has_fractions(numbers[first]):
            return first, second
    return None


def _shares_recordings(audios: Sequence[Any]) -> bool:
    """Whether several rows name one recording."""
    names = [audio.get("path") if isinstance(audio, Mapping) else audio for audio in audios]
    counts = Counter(name for name in names if isinstance(name, str) and name)
    return any(count > 1 for count in counts.values())
