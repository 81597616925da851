"""Cells as seconds, and the lengths of recordings that tables state."""

import datetime
import math
import re
from collections.abc import Collection, Mapping, Sequence
from decimal import Decimal
from typing import Any

MAX_SECONDS = 1e9  # 31 years: no time in a recording
LENGTH_TOLERANCE_S, LENGTH_TOLERANCE = 0.1, 0.02  # tables round, and MP3s promise a little too much
_CLOCK = re.compile(r"(?:(?:(\d+) days? )?(\d{1,4}):)?(\d{1,4}):(\d{1,2}(?:[.,]\d*)?)")
_COMMA_NUMBER = re.compile(r"\s*\d+,\d+\s*")
_DECIMAL_COMMA = re.compile(r"\s*(0+,\d+|\d+,(\d{1,2}|\d{4,}))\s*")  # 1,500 may be a thousand and a half


def lengths_agree(stated_s: float, real_s: float) -> bool:
    """Whether two lengths are the same up to rounding."""
    is_whole = float(stated_s).is_integer() and stated_s > 0
    return abs(stated_s - real_s) <= max(LENGTH_TOLERANCE_S, LENGTH_TOLERANCE * real_s, 1.0 if is_whole else 0)


def length_fault(stated_s: float | None, real_s: float, *, sampling_rate_hz: int | None) -> str | None:
    """What is wrong if a recording is not as long as the table says: its text may belong to a part of it.

    The table may mean seconds, milliseconds or samples: a length that fits in any of them is no accident.
    """
    if stated_s is None or math.isnan(real_s):
        return None
    scales = [1.0, 1e3, *([float(sampling_rate_hz)] if sampling_rate_hz else [])]
    if any(lengths_agree(stated_s / scale, real_s) for scale in scales):
        return None
    return (
        f"its duration should be {stated_s:.2f} s, but the recording has {real_s:.2f} s: the text may belong to a part "
        "of it (give the start too; or --data.duration_column null if the column means something else)"
    )


def with_decimal_points(columns: Mapping[str, Sequence[Any]], *, others: Collection[str]) -> dict[str, Sequence[Any]]:
    """The columns, with points for decimal commas, if some cell shows that commas are decimal.

    A table is written in one way: `0,500` in one column decides what `1,500` means in another.

    Args:
        others: Columns that are not times; they stay as they are.
    """
    with_commas = [name for name, cells in columns.items() if name not in others and _have_commas(cells)]
    if not any(
        isinstance(cell, str) and _DECIMAL_COMMA.fullmatch(cell) for name in with_commas for cell in columns[name]
    ):
        return dict(columns)
    pointed: dict[str, Sequence[Any]] = {
        name: [cell.replace(",", ".") if isinstance(cell, str) else cell for cell in columns[name]]
        for name in with_commas
    }
    return {**columns, **pointed}


def _have_commas(cells: Sequence[Any]) -> bool:
    """Whether all texts among the cells are numbers, some with a comma."""
    texts = [cell for cell in cells if isinstance(cell, str) and cell.strip()]
    return any("," in text for text in texts) and all(
        _COMMA_NUMBER.fullmatch(text) or text.strip().isdigit() for text in texts
    )


def seconds(cell: Any, *, is_clock: bool = True) -> float | None:
    """A cell as a number of seconds, `62.5` or `00:01:02.5`; None if it is empty.

    Raises:
        ValueError: not a number of seconds from 0 on.
    """
    if cell is None or (isinstance(cell, str) and not cell.strip()):
        return None
    if isinstance(cell, float) and math.isnan(cell):
        return None
    if isinstance(cell, datetime.timedelta):
        cell = cell.total_seconds()
    elif isinstance(cell, datetime.time):
        cell = cell.hour * 3600 + cell.minute * 60 + cell.second + cell.microsecond / 1e6
    if isinstance(cell, bool) or not isinstance(cell, str | int | float | Decimal):
        raise ValueError
    if isinstance(cell, str):
        cell = cell.strip()
        if is_clock and (match := _CLOCK.fullmatch(cell)):
            days, hours, minutes, rest = match.groups()
            cell = int(days or 0) * 86400 + int(hours or 0) * 3600 + int(minutes) * 60 + float(rest.replace(",", "."))
        elif is_clock and re.fullmatch(r"[\d.]+ ?s", cell):
            cell = cell[:-1]
    try:
        value = float(cell)
    except OverflowError:  # an integer of hundreds of digits
        value = MAX_SECONDS
    if not 0 <= value < MAX_SECONDS:
        raise ValueError
    return value
