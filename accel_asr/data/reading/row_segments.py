"""The part of its recording that each row selects, by columns of times under any of their usual names."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from accel_asr.data.reading.source_table import Table, first_few, place_of_row, quoted
from accel_asr.data.reading.suspected_times import are_numbers, goes_before, refuse_suspected_times
from accel_asr.data.reading.time_cells import LENGTH_TOLERANCE_S, lengths_agree, seconds, with_decimal_points
from accel_asr.data.reading.time_columns import (
    AUTO,
    TimeColumn,
    TimeSettings,
    is_rate_column,
    may_hold_intervals,
    time_column,
    time_columns,
)
from accel_asr.errors import UserError, raise_all

_ALL_TIMES = "--data.start_column, --data.end_column, --data.duration_column"
_MAX_DEPTH = 3  # of nested cells
_SHORTEST_S = 0.02  # no word is shorter: if most segments are, their unit is another one
_SECONDS_OF = {"": 1.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9, "minutes": 60.0}

_RANGE = re.compile(r"\s*[\[(]?\s*([\d:.]+)\s*s?\s*(?:-->|-|\u2013|\u2014|,\s|;|to)\s*([\d:.]+)\s*s?\s*[\])]?\s*")

Segment = tuple[float | None, float | None]  # begin and end in seconds; None is the recording's


@dataclass(frozen=True)
class Segments:
    """The times in a table, one a row; how long each recording should be (`stated_s`); and the columns in use."""

    spans: list[Segment]
    stated_s: list[float | None]
    notices: list[str] = field(default_factory=list)
    columns: tuple[str, ...] = ()


def find_segments(table: Table, settings: TimeSettings, *, audio_column: str, others: Collection[str] = ()) -> Segments:
    """The segments of the rows, and the lengths that they state.

    A start with an end or a duration is a segment, and so is a start or an end alone. A duration alone says how long
    the recording is, which is compared with it later. Columns that look like times and can't be used are refused.

    Args:
        others: Columns in use for something else, such as the text.

    Raises:
        UserError: columns that contradict each other, or have an unknown unit; a cell that is not a time, or an end
            that is not after its start. Lists all of them, with the rows.
    """
    rows = len(table[audio_column])
    view = with_decimal_points(_with_nested(table, audio_column=audio_column, others=others), others=others)
    problems = [
        UserError(
            f"there is no such column; the columns are: {first_few(list(map(repr, view)), most=50)}",
            setting=setting,
            value=column,
        )
        for setting, column in _asked_for(settings)
        if column not in view
    ]
    raise_all(problems)
    free = [name for name in view if name not in others and name != audio_column]
    nested = {name for name in view if name not in table or name.startswith(f"{audio_column}.")}
    configured = {column for _, column in _asked_for(settings)}
    columns = [
        column
        for column in time_columns(free, settings, nested=nested)
        if column.name in configured or _says_something(view[column.name])
    ]
    if not _are_meant(columns, view):
        columns = [column for column in columns if column.is_sure or column.role == "length"]
    chosen, problems = _one_of_each(columns, view)
    problems += _misfits(chosen, view)
    raise_all(problems)
    used = {column.name for column in columns}
    unused = {name: view[name] for name in free if name not in used}
    refuse_suspected_times(chosen, view, unused, table[audio_column], settings)
    return _read(chosen, view, rows=rows, table=table)


def _asked_for(settings: TimeSettings) -> list[tuple[str, str]]:
    """The settings that name a column, and the names."""
    return [
        (f"--data.{role}_column", column)
        for role, column in (("start", settings.start), ("end", settings.end), ("duration", settings.duration))
        if column is not None and column != AUTO
    ]


def _with_nested(table: Table, *, audio_column: str, others: Collection[str]) -> dict[str, Sequence[Any]]:
    """The columns and nested ones: `audio.start_time` of structures, `timestamp.start` of pairs of times."""
    view: dict[str, Sequence[Any]] = dict(table)
    for name, cells in table.items():
        if name in others and name != audio_column:
            continue
        inside = _within(name, cells)
        if name == audio_column or may_hold_intervals(name) or _holds_a_segment(inside):
            view |= {inner: nested for inner, nested in inside.items() if inner not in view}
    return view


def _holds_a_segment(inside: Mapping[str, Sequence[Any]]) -> bool:
    """Whether a structure of any name holds times under their usual names: `meta: {start: 0.5, end: 1.5}`."""
    of_role = {column.role: cells for name, cells in inside.items() if (column := time_column(name.rpartition(".")[2]))}
    start = of_role.get("start", of_role.get("offset"))
    if start is None:
        return False
    if "end" in of_role:
        return goes_before(start, of_role["end"])
    return "duration" in of_role and are_numbers(start) and are_numbers(of_role["duration"])


def _within(name: str, cells: Sequence[Any], depth: int = 0) -> dict[str, Sequence[Any]]:
    """The columns nested in one whose cells are structures or pairs of times."""
    if depth == _MAX_DEPTH or not any(isinstance(cell, Mapping | list | tuple | str) for cell in cells):
        return {}
    structures = [cell for cell in cells if isinstance(cell, Mapping)]
    nested: dict[str, Sequence[Any]] = {}
    for key in dict.fromkeys(key for cell in structures for key in cell if key not in ("path", "bytes", "array")):
        inner = [cell.get(key) if isinstance(cell, Mapping) else None for cell in cells]
        nested |= {f"{name}.{key}": inner} | _within(f"{name}.{key}", inner, depth + 1)
    last = name.rpartition(".")[2]
    if not structures and may_hold_intervals(last) and (pairs := _pairs(cells)) is not None:
        nested[f"{name}.start"], nested[f"{name}.end"] = ([pair[index] for pair in pairs] for index in (0, 1))
    return nested


def _pairs(cells: Sequence[Any]) -> list[tuple[Any, Any]] | None:
    """The two times of each cell, `[0.5, 1.5]` or `0.5-1.5`; None if a cell is anything else, or all are empty."""
    pairs: list[tuple[Any, Any]] = []
    for cell in cells:
        if cell is None or cell == "":
            pairs.append((None, None))
        elif isinstance(cell, list | tuple) and len(cell) == 2:
            pairs.append((cell[0], cell[1]))
        elif isinstance(cell, str) and (match := _RANGE.fullmatch(cell)):
            pairs.append((match[1], match[2]))
        else:
            return None
    return pairs if any(pair != (None, None) for pair in pairs) else None


def _says_something(cells: Sequence[Any]) -> bool:
    return any(cell is not None and cell != "" for cell in cells)


def _are_meant(columns: Sequence[TimeColumn], view: Mapping[str, Sequence[Any]]) -> bool:
    """Whether ambiguous names, such as `from` and `to`, hold times: the second is always higher."""
    unsure = [column for column in columns if not column.is_sure and column.role != "length"]
    starts, ends = ([column for column in unsure if column.role == role] for role in ("start", "end"))
    return len(starts) == len(ends) and all(
        goes_before(view[start.name], view[end.name]) for start, end in zip(starts, ends, strict=True)
    )


def _one_of_each(
    columns: Sequence[TimeColumn], view: Mapping[str, Sequence[Any]]
) -> tuple[dict[str, TimeColumn], list[UserError]]:
    """The column of each role, of equal ones the first; and refusals of those that differ."""
    chosen: dict[str, TimeColumn] = {}
    problems = []
    for column in columns:
        first = chosen.setdefault(column.role, column)
        if first is column or _say_the_same(first, column, view):
            continue
        role = "duration" if column.role == "length" else column.role
        if column.role == "duration" and first.of_recording != column.of_recording:  # a segment's wins
            chosen[column.role] = first if column.of_recording else column
            continue
        if column.role != "length":
            problems.append(
                UserError(
                    f"{first.name!r} and {column.name!r} both look like it, and differ",
                    setting=f"--data.{role}_column",
                    remedy=f"give --data.{role}_column NAME, or null for neither",
                )
            )
    return chosen, problems


def _say_the_same(first: TimeColumn, second: TimeColumn, view: Mapping[str, Sequence[Any]]) -> bool:
    if {first.unit, second.unit} & {"samples", "frames"}:
        return {first.unit, second.unit} != {"samples", "frames"}  # counts beside seconds: the seconds are used
    for first_cell, second_cell in zip(view[first.name], view[second.name], strict=True):
        try:
            a, b = (
                cell_s if cell_s is None else cell_s * _SECONDS_OF[column.unit]
                for column, cell_s in ((first, seconds(first_cell)), (second, seconds(second_cell)))
            )
        except ValueError:
            return False
        if (a is None) != (b is None) or (a is not None and b is not None and abs(a - b) > 0.01):
            return False
    return True


def _misfits(chosen: dict[str, TimeColumn], view: Mapping[str, Sequence[Any]]) -> list[UserError]:
    """Why the chosen columns can't be used together, such as for unknown units."""
    problems = []
    placed = [chosen[role] for role in ("start", "end") if role in chosen]
    used = [*placed, *([chosen["duration"]] if "duration" in chosen else [])]
    remedy = (
        "name columns in seconds with --data.start_column, --data.end_column or --data.duration_column, or set those "
        "to null"
    )
    unsure = [
        column
        for column in (chosen.get("length"), chosen.get("duration"))
        if column is not None and ((column.role == "length" and not column.is_sure) or column.of_recording)
    ]
    if len(placed) == 1 and unsure and not any(column for column in used if column not in (*placed, *unsure)):
        problems.append(
            UserError(
                f"{unsure[0].name!r} beside {placed[0].name!r} may be the length of the segment or something else",
                setting="--data.duration_column",
                remedy=f"give --data.duration_column {unsure[0].name}, or null",
            )
        )
    units = {column.unit for column in used}
    if "frames" in units and used:
        problem = f"{_names(used)} count frames of unknown length"
        problems.append(UserError(problem, setting=_ALL_TIMES, remedy=remedy))
    if "samples" in units and placed and not _rate_column(view):
        problem = f"{_names(used)} count samples, and no column gives the sampling rate"
        remedy_with_rate = f"add a column sampling_rate, or {remedy}"
        problems.append(UserError(problem, setting=_ALL_TIMES, remedy=remedy_with_rate))
    if "" in units and units & {"ms", "us", "samples", "minutes"} and placed:
        problem = f"{_names(used)} are not in one unit, by their names"
        problems.append(UserError(problem, setting=_ALL_TIMES, remedy=remedy))
    return problems


def _names(columns: Sequence[TimeColumn]) -> str:
    return " and ".join(repr(column.name) for column in columns)


def _rate_column(view: Mapping[str, Sequence[Any]]) -> str | None:
    return next((name for name in view if is_rate_column(name.rpartition(".")[2])), None)


def _read(chosen: dict[str, TimeColumn], view: Mapping[str, Sequence[Any]], *, rows: int, table: Table) -> Segments:
    """The cells of the chosen columns as segments.

    Raises:
        UserError: some are impossible; names the first few.
    """
    is_placed = "start" in chosen or "end" in chosen
    columns = [column for role, column in chosen.items() if role != "length"]
    if not columns:
        return Segments([(None, None)] * rows, [None] * rows)
    rate_column = _rate_column(view) if any(column.unit == "samples" for column in columns) else None
    spans: list[Segment] = []
    stated: list[float | None] = []
    bad: list[str] = []
    for index in range(rows):
        cells = {column.role: view[column.name][index] for column in columns}
        try:
            rate_hz = seconds(view[rate_column][index]) if rate_column else None
            times = {
                column.role: _scaled(cells[column.role], column, rate_hz, is_placed=is_placed) for column in columns
            }
            span, stated_s = _segment(times.get("start"), times.get("end"), times.get("duration"))
        except ValueError:
            bad.append(f"{place_of_row(table, index)}: {_quoted_cells(columns, view, index)}")
            continue
        spans.append(span)
        stated.append(stated_s)
    names = " and ".join(column.name for column in columns)
    if bad:
        comma = ", with a point before the decimals" if any(re.search(r"\d,\d", row) for row in bad) else ""
        rules = ["an end is after its start"] if is_placed else []
        rules += ["a duration is the end less the start"] if len(columns) == 3 else []
        raise UserError(
            f"{len(bad):,} of {rows:,} rows have an impossible segment ({first_few(bad)})",
            setting=_ALL_TIMES,
            remedy=f"correct them (times are seconds from 0 on{comma}{''.join(f', {rule}' for rule in rules)}, and an "
            "empty cell means the whole file), or set these to null if they mean something else",
        )
    cut = sum(span != (None, None) for span in spans)
    lengths_s = [end_s - (start_s or 0) for start_s, end_s in spans if end_s is not None]
    if sum(length_s < _SHORTEST_S for length_s in lengths_s) > cut / 2:
        first = next(index for index, (_, end_s) in enumerate(spans) if end_s is not None)
        raise UserError(
            f"most segments would be shorter than {_SHORTEST_S:g} s ({place_of_row(table, first)}: "
            f"{_quoted_cells(columns, view, first)}), so {names} can't be in the unit of their names",
            setting="--data.start_column, --data.end_column",
            remedy="rename them, such as start_s for seconds and start_ms for milliseconds, or set both to null",
        )
    notices = []
    if is_placed:
        verb = "selects" if len(columns) == 1 else "select"
        up_to = "" if len(columns) > 1 or "end" in chosen else ", each up to the end of its recording"
        notices.append(f"{names} {verb} segments of the recordings, in {cut:,} of {rows:,} rows{up_to}")
    return Segments(spans, stated, notices, tuple(column.name for column in columns))


def _quoted_cells(columns: Sequence[TimeColumn], view: Mapping[str, Sequence[Any]], row: int) -> str:
    return ", ".join(f"{column.name} {quoted(view[column.name][row])}" for column in columns)


def _scaled(cell: Any, column: TimeColumn, rate_hz: float | None, *, is_placed: bool) -> float | None:
    """A cell in seconds; a stated length in an unknown unit stays as it is."""
    if column.role == "end" and str(cell).strip() in ("-1", "-1.0", "-1.00"):  # Kaldi's end of the recording
        return None
    value = seconds(cell, is_clock=column.unit in ("", "s"))
    if value is None:
        return None
    if column.unit == "samples":
        if rate_hz is None and is_placed:
            raise ValueError
        return value / rate_hz if rate_hz else value
    return value * _SECONDS_OF.get(column.unit, 1.0)


def _segment(start_s: float | None, end_s: float | None, duration_s: float | None) -> tuple[Segment, float | None]:
    """The segment, and how long the whole recording should be if the duration says that.

    Raises:
        ValueError: the end is not after the start, or the three contradict each other.
    """
    stated_s = None
    if start_s is None and end_s is None:
        stated_s = duration_s
    elif duration_s == 0:
        raise ValueError
    elif duration_s is not None:
        if end_s is None:
            end_s = (start_s or 0) + duration_s
        elif start_s is None:
            if not lengths_agree(duration_s, end_s):
                start_s = max(end_s - duration_s, 0.0)
        elif not lengths_agree(duration_s, end_s - start_s):
            if duration_s < end_s - LENGTH_TOLERANCE_S:
                raise ValueError
            stated_s = duration_s
    if end_s is not None and end_s <= (start_s or 0):
        raise ValueError
    return (start_s, end_s), stated_s
