"""The part of its recording that each row of a table selects, from columns of times under any of their usual names."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from accel_asr.data.reading.audio_paths import named, shown
from accel_asr.data.reading.source_table import Table, place_of_row
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
from accel_asr.errors import UserError

_MAX_DEPTH = 3  # of structures in which times are looked for
_SHORTEST_S = 0.02  # a segment below holds no word: where most are so short, their unit is another one
_SECONDS_OF = {"": 1.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9, "minutes": 60.0}

_RANGE = re.compile(r"\s*[\[(]?\s*([\d:.]+)\s*s?\s*(?:-->|-|\u2013|\u2014|,\s|;|to)\s*([\d:.]+)\s*s?\s*[\])]?\s*")

Segment = tuple[float | None, float | None]  # begin and end in seconds; None is the recording's own


@dataclass(frozen=True)
class Segments:
    """What a table says of times. Each list has one item a row; `stated_s` is how long the whole recording should be.

    `columns` are those that were used.
    """

    spans: list[Segment]
    stated_s: list[float | None]
    notices: list[str] = field(default_factory=list)
    columns: tuple[str, ...] = ()


def find_segments(table: Table, settings: TimeSettings, *, audio_column: str, others: Collection[str] = ()) -> Segments:
    """The segments of the rows, and the lengths that they state.

    A start with an end or a duration is a segment, and so is one of them alone. A duration without them says how long
    the recording is, which is compared with it later. What looks like times and can't be used is refused.

    Args:
        others: Columns that are used for something else, such as the text.

    Raises:
        UserError: columns that contradict each other, or whose unit is unknown; a cell that is no time, or an end that
            is not after its start. Says all of it, with the rows.
    """
    rows = len(table[audio_column])
    view = with_decimal_points(_with_nested(table, audio_column=audio_column, others=others), others=others)
    problems = [
        f"{setting}: there is no column {column!r}; the columns are: {named(list(map(repr, view)), most=50)}"
        for setting, column in _asked_for(settings)
        if column not in view
    ]
    if problems:
        raise UserError("\n".join(problems))
    free = [name for name in view if name not in others and name != audio_column]
    nested = {name for name in view if name not in table or name.startswith(f"{audio_column}.")}
    named_ones = {column for _, column in _asked_for(settings)}
    columns = [
        column
        for column in time_columns(free, settings, nested=nested)
        if column.name in named_ones or _says_something(view[column.name])
    ]
    if not _are_meant(columns, view):
        columns = [column for column in columns if column.is_sure or column.role == "length"]
    chosen, problems = _one_of_each(columns, view)
    problems += _misfits(chosen, view)
    if problems:
        raise UserError("\n".join(problems))
    used = {column.name for column in columns}
    unused = {name: view[name] for name in free if name not in used}
    refuse_suspected_times(chosen, view, unused, table[audio_column], settings)
    return _read(chosen, view, rows=rows, table=table)


def _asked_for(settings: TimeSettings) -> list[tuple[str, str]]:
    """The settings that name a column, and the names."""
    return [
        (f"data.{role}_column", column)
        for role, column in (("start", settings.start), ("end", settings.end), ("duration", settings.duration))
        if column is not None and column != AUTO
    ]


def _with_nested(table: Table, *, audio_column: str, others: Collection[str]) -> dict[str, Sequence[Any]]:
    """The columns, and those within: `audio.start_time` of structures, `timestamp.start` of pairs of times."""
    view: dict[str, Sequence[Any]] = dict(table)
    for name, cells in table.items():
        if name in others and name != audio_column:
            continue
        inside = _within(name, cells)
        if name == audio_column or may_hold_intervals(name) or _holds_a_segment(inside):
            view |= {inner: found for inner, found in inside.items() if inner not in view}
    return view


def _holds_a_segment(inside: Mapping[str, Sequence[Any]]) -> bool:
    """Whether a structure under any name has times within it by their usual names: `meta: {start: 0.5, end: 1.5}`."""
    of_role = {column.role: cells for name, cells in inside.items() if (column := time_column(name.rpartition(".")[2]))}
    start = of_role.get("start", of_role.get("offset"))
    if start is None:
        return False
    if "end" in of_role:
        return goes_before(start, of_role["end"])
    return "duration" in of_role and are_numbers(start) and are_numbers(of_role["duration"])


def _within(name: str, cells: Sequence[Any], depth: int = 0) -> dict[str, Sequence[Any]]:
    """The columns within one whose cells are structures or pairs of times; none within any other."""
    if depth == _MAX_DEPTH or not any(isinstance(cell, Mapping | list | tuple | str) for cell in cells):
        return {}
    structures = [cell for cell in cells if isinstance(cell, Mapping)]
    found: dict[str, Sequence[Any]] = {}
    for key in dict.fromkeys(key for cell in structures for key in cell if key not in ("path", "bytes", "array")):
        inner = [cell.get(key) if isinstance(cell, Mapping) else None for cell in cells]
        found |= {f"{name}.{key}": inner} | _within(f"{name}.{key}", inner, depth + 1)
    last = name.rpartition(".")[2]
    if not structures and may_hold_intervals(last) and (pairs := _pairs(cells)) is not None:
        found[f"{name}.start"], found[f"{name}.end"] = ([pair[index] for pair in pairs] for index in (0, 1))
    return found


def _pairs(cells: Sequence[Any]) -> list[tuple[Any, Any]] | None:
    """The two times of each cell, `[0.5, 1.5]` or `0.5-1.5`; None if some cell is something else, or all are empty."""
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
    """Whether names that may mean something else, such as `from` and `to`, hold times: the second always higher."""
    unsure = [column for column in columns if not column.is_sure and column.role != "length"]
    starts, ends = ([column for column in unsure if column.role == role] for role in ("start", "end"))
    return len(starts) == len(ends) and all(
        goes_before(view[start.name], view[end.name]) for start, end in zip(starts, ends, strict=True)
    )


def _one_of_each(
    columns: Sequence[TimeColumn], view: Mapping[str, Sequence[Any]]
) -> tuple[dict[str, TimeColumn], list[str]]:
    """The column of each role; of several that say the same, the first. And what is said of those that don't."""
    chosen: dict[str, TimeColumn] = {}
    problems = []
    for column in columns:
        first = chosen.setdefault(column.role, column)
        if first is column or _say_the_same(first, column, view):
            continue
        role = "duration" if column.role == "length" else column.role
        if column.role == "duration" and first.of_recording != column.of_recording:  # of the segment goes before
            chosen[column.role] = first if column.of_recording else column
            continue
        if column.role != "length":
            problems.append(
                f"data.{role}_column: {first.name!r} and {column.name!r} both look like it, and differ; say which with "
                f"--data.{role}_column NAME, or null for neither"
            )
    return chosen, problems


def _say_the_same(first: TimeColumn, second: TimeColumn, view: Mapping[str, Sequence[Any]]) -> bool:
    if {first.unit, second.unit} & {"samples", "frames"}:
        return {first.unit, second.unit} != {"samples", "frames"}  # counts beside seconds: the seconds are used
    for one, other in zip(view[first.name], view[second.name], strict=True):
        try:
            a, b = (
                cell_s if cell_s is None else cell_s * _SECONDS_OF[column.unit]
                for column, cell_s in ((first, seconds(one)), (second, seconds(other)))
            )
        except ValueError:
            return False
        if (a is None) != (b is None) or (a is not None and b is not None and abs(a - b) > 0.01):
            return False
    return True


def _misfits(chosen: dict[str, TimeColumn], view: Mapping[str, Sequence[Any]]) -> list[str]:
    """Why the chosen columns can't be used together, such as times in unknown units; none where they can."""
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
            f"data.duration_column: {unsure[0].name!r} beside {placed[0].name!r} may be the length of the segment or "
            f"something else; say which: --data.duration_column {unsure[0].name}, or null"
        )
    units = {column.unit for column in used}
    if "frames" in units and used:
        problems.append(
            f"data.start_column, data.end_column, data.duration_column: {_names(used)} count frames, whose length is "
            f"not known; {remedy}"
        )
    if "samples" in units and placed and not _rate_column(view):
        problems.append(
            f"data.start_column, data.end_column, data.duration_column: {_names(used)} count samples, and no column "
            f"says the sampling rate; add one called sampling_rate, or {remedy}"
        )
    if "" in units and units & {"ms", "us", "samples", "minutes"} and placed:
        problems.append(
            f"data.start_column, data.end_column, data.duration_column: {_names(used)} are not in one unit, by their "
            f"names; {remedy}"
        )
    return problems


def _names(columns: Sequence[TimeColumn]) -> str:
    return " and ".join(repr(column.name) for column in columns)


def _rate_column(view: Mapping[str, Sequence[Any]]) -> str | None:
    return next((name for name in view if is_rate_column(name.rpartition(".")[2])), None)


def _read(chosen: dict[str, TimeColumn], view: Mapping[str, Sequence[Any]], *, rows: int, table: Table) -> Segments:
    """The cells of the chosen columns as segments.

    Raises:
        UserError: some are impossible; names them.
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
            said = ", ".join(f"{column.name} {shown(cells[column.role])}" for column in columns)
            bad.append(f"{place_of_row(table, index)}: {said}")
            continue
        spans.append(span)
        stated.append(stated_s)
    names = " and ".join(column.name for column in columns)
    if bad:
        comma = ", with a point before the decimals" if any(re.search(r"\d,\d", said) for said in bad) else ""
        rules = ["an end is after its start"] if is_placed else []
        rules += ["a duration is the end less the start"] if len(columns) == 3 else []
        raise UserError(
            f"data.name_or_path: {len(bad):,} of {rows:,} rows have no possible segment ({named(bad)}). Times are "
            f"seconds from 0 on{comma}{''.join(f', {rule}' for rule in rules)}, and an empty cell means the whole "
            "file; correct them, or set --data.start_column, --data.end_column and --data.duration_column to null if "
            "they mean something else"
        )
    cut = sum(span != (None, None) for span in spans)
    lengths_s = [end_s - (start_s or 0) for start_s, end_s in spans if end_s is not None]
    if sum(length_s < _SHORTEST_S for length_s in lengths_s) > cut / 2:
        first = next(index for index, (_, end_s) in enumerate(spans) if end_s is not None)
        said = ", ".join(f"{column.name} {shown(view[column.name][first])}" for column in columns)
        raise UserError(
            f"data.start_column, data.end_column: most segments would be shorter than {_SHORTEST_S:g} s "
            f"({place_of_row(table, first)}: {said}), so {names} can't be in the unit that their names say; rename "
            "them, such as start_s for seconds and start_ms for milliseconds, or set both to null"
        )
    notices = []
    if is_placed:
        verb = "selects" if len(columns) == 1 else "select"
        up_to = "" if len(columns) > 1 or "end" in chosen else ", each up to the end of its recording"
        notices.append(f"{names} {verb} segments of the recordings, in {cut:,} of {rows:,} rows{up_to}")
    return Segments(spans, stated, notices, tuple(column.name for column in columns))


def _scaled(cell: Any, column: TimeColumn, rate_hz: float | None, *, is_placed: bool) -> float | None:
    """A cell in seconds; a stated length of the recording as it is, where nothing tells its unit."""
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
    """The segment, and how long the whole recording should be where the duration says that.

    Raises:
        ValueError: the end is not after the start, or all three are there and don't fit.
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
