"""Columns of numbers that may be times under unknown names: left unused, texts would be learnt from too much audio."""

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
    """Refuse a table in which columns that are not used look like the times of its rows.

    Where a start is known, that is any number after it, which may be its end. Where nothing is known, it is a pair of
    columns like `x_start` and `x_end`, or, if several rows name one recording, any two of which one always comes first.

    Args:
        chosen: The columns of times that are used, by what they say.
        unused: The other columns.

    Raises:
        UserError: there are such columns; names them, and the settings that say what they are.
    """
    if AUTO not in (settings.start, settings.end, settings.duration):
        return
    numbers = _numbers(unused)
    start, end = chosen.get("start"), chosen.get("end")
    if start and not end and "duration" not in chosen and settings.end == settings.duration == AUTO:
        for name, cells in numbers.items():
            if goes_before(view[start.name], cells) and _are_alike(view[start.name], cells):
                raise UserError(
                    f"data.end_column: {name!r} may say where rows end that start at {start.name!r}; say so with "
                    f"--data.end_column {name}, or null to use each recording up to its end"
                )
    if end and not start and "duration" not in chosen and settings.start == settings.duration == AUTO:
        for name, cells in numbers.items():
            if goes_before(cells, view[end.name]) and _are_alike(view[end.name], cells):
                raise UserError(
                    f"data.start_column: {name!r} may say where rows start that end at {end.name!r}; say so with "
                    f"--data.start_column {name}, or null to use each recording from its beginning"
                )
    if start or end or settings.start != AUTO or settings.end != AUTO:
        return
    pair = _named_pair(numbers) or (_ordered_pair(numbers) if _shares_recordings(audios) else None)
    if pair is not None:
        raise UserError(
            f"data.start_column, data.end_column: {pair[0]!r} and {pair[1]!r} look like times, and are not used; say "
            f"so with --data.start_column {pair[0]} --data.end_column {pair[1]}, or set both to null if they mean "
            "something else"
        )


def goes_before(firsts: Sequence[Any], lasts: Sequence[Any]) -> bool:
    """Whether both hold numbers or times, and of each row that has both the first is lower; some row has both."""
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
    """The columns of numbers whose names say nothing else."""
    return {
        name: cells
        for name, cells in list(columns.items())
        if _NO_TIMES.isdisjoint(words_of(name)) and are_numbers(cells)
    }


def are_numbers(cells: Sequence[Any]) -> bool:
    """Whether all cells are numbers or times, but for empty ones; some are not empty."""
    filled = False
    for cell in cells:
        try:
            filled |= seconds(cell) is not None
        except ValueError:
            return False
    return filled


def _has_fractions(cells: Sequence[Any]) -> bool:
    return any(value is not None and not value.is_integer() for value in map(seconds, cells))


def _are_alike(known: Sequence[Any], cells: Sequence[Any]) -> bool:
    """Whether a column may be in the unit of one that is known: beside fractions of seconds, whole numbers are not."""
    return _has_fractions(cells) or not _has_fractions(known)


def _named_pair(numbers: Mapping[str, Sequence[Any]]) -> tuple[str, str] | None:
    for name in numbers:
        for start, end in product(_STARTS, _ENDS):
            other = re.sub(rf"(?i)(?<![a-z]){start}(?![a-z])", end, name)
            if other != name and other in numbers and goes_before(numbers[name], numbers[other]):
                return name, other
    return None


def _ordered_pair(numbers: Mapping[str, Sequence[Any]]) -> tuple[str, str] | None:
    names = [name for name, cells in numbers.items()][:_MOST_COLUMNS]
    for first, second in permutations(names, 2):
        if goes_before(numbers[first], numbers[second]) and _has_fractions(numbers[first]):
            return first, second
    return None


def _shares_recordings(audios: Sequence[Any]) -> bool:
    """Whether a recording is named by several rows."""
    names = [audio.get("path") if isinstance(audio, Mapping) else audio for audio in audios]
    counts = Counter(name for name in names if isinstance(name, str) and name)
    return any(count > 1 for count in counts.values())
