"""Which column of a table means what: as configured, or as a known kind of manifest names them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from accel_asr.config import DataConfig
from accel_asr.data.reading.audio_paths import named
from accel_asr.data.reading.manifests import Table
from accel_asr.errors import UserError

# kind, its audio column, its text column
CONVENTIONS = (
    ("an audiofolder", "file_name", "text"),
    ("a NeMo manifest", "audio_filepath", "text"),
    ("Common Voice", "path", "sentence"),
    ("a list of files", "file", "text"),
)
NEMO_AUDIO = "audio_filepath"
COMMON_VOICE_COLUMNS = ("path", "sentence")
MAX_SHOWN = 60  # letters of a cell
MAX_SECONDS = 1e9  # 31 years: more is no time in a recording

Segment = tuple[float | None, float | None]  # begin and end in seconds; None is the recording's own


@dataclass(frozen=True)
class Columns:
    """Names of columns that the table has."""

    audio: str
    text: str
    notices: tuple[str, ...] = ()


def find_columns(table: Table, *, audio_column: str, text_column: str) -> Columns:
    """The configured columns, or, where a default name is absent, those of a known kind of manifest.

    A name that the user has set is never replaced.

    Raises:
        UserError: a column is missing (lists those there are), or holds cells that are no text.
    """
    notices: tuple[str, ...] = ()
    audio_is_open = audio_column not in table and audio_column == DataConfig.audio_column
    if audio_is_open and "file_name" in table:
        audio_column = "file_name"  # the audiofolder convention, which needs no mention
        audio_is_open = False
    if audio_column not in table or text_column not in table:
        text_is_open = text_column not in table and text_column == DataConfig.text_column
        for kind, usual_audio, usual_text in CONVENTIONS:
            audio = usual_audio if audio_is_open else audio_column
            text = usual_text if text_is_open else text_column
            if audio in table and text in table:
                replaced = [(audio_column, audio)] * audio_is_open + [(text_column, text)] * text_is_open
                notices = (
                    f"there is no column {' or '.join(repr(before) for before, _ in replaced)}; "
                    f"took {' and '.join(repr(after) for _, after in replaced)}, as in {kind}",
                )
                audio_column, text_column = audio, text
                break
    require_column(table, "data.audio_column", audio_column)
    require_column(table, "data.text_column", text_column)
    _refuse_what_is_no_text(table, audio_column=audio_column, text_column=text_column)
    return Columns(audio_column, text_column, notices)


def _refuse_what_is_no_text(table: Table, *, audio_column: str, text_column: str) -> None:
    """Refuse nested texts, which would be trained on as Python writes them, and halves of characters, in any cell.

    Raises:
        UserError: some cell is so; names the first of them.
    """
    problems = []
    nested = [
        f"{number}: {_shown(cell)}"
        for number, cell in enumerate(table[text_column], start=1)
        if isinstance(cell, Mapping | list | tuple | bytes)
    ]
    if nested:
        problems.append(
            f"data.text_column: {len(nested):,} of {len(table[text_column]):,} cells of {text_column!r} are no text "
            f"(row {named(nested)}); give a column of texts"
        )
    for setting, column in (("data.audio_column", audio_column), ("data.text_column", text_column)):
        halves = [
            f"{number}: {_shown(cell)}"
            for number, cell in enumerate(table[column], start=1)
            if isinstance(cell, str) and not cell.isascii() and _is_not_unicode(cell)
        ]
        if halves:
            problems.append(
                f"{setting}: {len(halves):,} of {len(table[column]):,} cells of {column!r} hold half of a character "
                f"(row {named(halves)}): a lone surrogate, such as \\ud83d in JSON; write the whole character"
            )
    if problems:
        raise UserError("\n".join(problems))


def _is_not_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def _shown(cell: Any) -> str:
    written = ascii(cell) if isinstance(cell, str) and _is_not_unicode(cell) else repr(cell)
    return written if len(written) <= MAX_SHOWN else f"{written[:MAX_SHOWN]}..."


def require_column(table: Table, setting: str, column: str) -> None:
    """Check that a column is there.

    Raises:
        UserError: it is not; lists those there are.
    """
    if column not in table:
        raise UserError(f"{setting}: there is no column {column!r}; the columns are: {', '.join(table)}")


def find_segments(table: Table, *, audio_column: str) -> tuple[list[Segment] | None, list[str]]:
    """The segments that the rows of a manifest select, and what to tell about them; None if all rows are whole files.

    They are the columns `start` and `end`, in seconds; in a NeMo manifest `offset` and `duration`. NeMo's `duration`
    alone only says how long the file is.

    Raises:
        UserError: a cell is not a time, or an end is not after its start; names the first of them.
    """
    if "start" in table or "end" in table:
        begin_name, end_name = "start", "end"
    elif audio_column == NEMO_AUDIO and "offset" in table:
        begin_name, end_name = "offset", "duration"
    else:
        return None, []
    rows = len(table[audio_column])
    begins, ends = (table.get(name, [None] * rows) for name in (begin_name, end_name))
    bad: list[str] = []
    segments: list[Segment] = []
    for number, (begin, end) in enumerate(zip(begins, ends, strict=True), start=1):
        try:
            begin_s, end_s = _seconds(begin), _seconds(end)
            if end_name == "duration":
                end_s = None if begin_s is None or end_s is None else begin_s + end_s
            if end_s is not None and end_s <= (begin_s or 0):
                raise ValueError
        except ValueError:
            bad.append(f"{number}: {begin_name} {_shown(begin)}, {end_name} {_shown(end)}")
            continue
        segments.append((begin_s, end_s))
    if bad:
        raise UserError(
            f"data.name_or_path: {len(bad):,} of {rows:,} rows have no possible segment (row {named(bad)}); "
            f"{begin_name} and {end_name} are seconds from 0 on, empty for the whole file; rename the columns if they "
            "mean something else"
        )
    cut = sum(segment != (None, None) for segment in segments)
    return segments, [f"{begin_name} and {end_name} select segments of the recordings, in {cut:,} of {rows:,} rows"]


def _seconds(cell: Any) -> float | None:
    """A cell as seconds; None if it is empty.

    Raises:
        ValueError: it is no number of seconds from 0 on.
    """
    if cell is None or (isinstance(cell, str) and not cell.strip()):
        return None
    if isinstance(cell, bool) or not isinstance(cell, str | int | float | Decimal):
        raise ValueError
    try:
        seconds = float(cell)
    except OverflowError:  # an integer of hundreds of digits
        seconds = MAX_SECONDS
    if not 0 <= seconds < MAX_SECONDS:
        raise ValueError
    return seconds


def column_as_text(values: Sequence[Any]) -> list[str | None]:
    """Cells as text, for comparing; None where there is none."""
    return [None if value is None or not str(value).strip() else str(value).strip() for value in values]
