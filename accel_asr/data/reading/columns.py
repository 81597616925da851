"""Which column of a table is which: as configured, or as known kinds of manifest name them; and cells as text."""

import math
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import Any

from accel_asr.audio.decoding import ByteRange
from accel_asr.config.settings import DataConfig
from accel_asr.data.reading.source_table import DatasetCell, Table, first_few, place_of_row, quoted
from accel_asr.data.reading.text_files import AUDIO_SUFFIXES
from accel_asr.errors import UserError, raise_all

# kind, its audio column, its text column
CONVENTIONS = (
    ("an audiofolder", "file_name", "text"),
    ("a NeMo manifest", "audio_filepath", "text"),
    ("Common Voice", "path", "sentence"),
    ("a list of files", "file", "text"),
)
# other usual names, in lower case and letters only; taken where only one of them is there
_AUDIO_NAMES = frozenset(
    [
        "audio",
        "filename",
        "audiofilepath",
        "path",
        "file",
        "audiofile",
        "audiopath",
        "audiofilename",
        "filepath",
        "wav",
        "wavpath",
        "wavfile",
        "wavfilename",
        "clip",
        "clippath",
        "recording",
    ]
)
_TEXT_NAMES = frozenset(["text", "sentence", "transcription", "transcript", "normalizedtext", "wrd", "words"])
COMMON_VOICE_COLUMNS = ("path", "sentence")
_MAX_COLUMNS = 50  # listed in a message
_MAX_PATH = 4096  # letters; the system accepts no longer ones
_EXACT = 2**53  # floats tell whole numbers apart up to here
_SURROGATES = re.compile("[\ud800-\udfff]")
_HALVES = re.compile("[\ud800-\udc7f\udd00-\udfff]")  # the others stand for bytes of a file name that is not UTF-8
_WHOLE_NUMBER = re.compile(r"\s*-?\d+\.0\s*")


@dataclass(frozen=True)
class Columns:
    """Names of the audio and text columns."""

    audio: str
    text: str
    notices: tuple[str, ...] = ()


def find_columns(table: Table, *, audio_column: str, text_column: str) -> Columns:
    """As `resolve_columns`, for columns that must be there and hold nothing but audio and text.

    Raises:
        UserError: a column is missing (lists those there are), or holds cells of the wrong kind.
    """
    columns = resolve_columns(table, audio_column=audio_column, text_column=text_column)
    require_column(table, "--data.audio_column", columns.audio)
    require_column(table, "--data.text_column", columns.text)
    _refuse_wrong_cells(table, audio_column=columns.audio, text_column=columns.text)
    return columns


def resolve_columns(table: Table, *, audio_column: str, text_column: str) -> Columns:
    """The configured columns; where a default name is absent or its column empty, those of a known kind of manifest.

    A name that the user has set is never replaced. Streams resolve the columns of each row, as a table of one row.
    """
    notices: tuple[str, ...] = ()
    lower = {name.lower(): name for name in reversed(list(table))}
    if audio_column not in table and audio_column == DataConfig.audio_column:
        audio_column = lower.get(audio_column, audio_column)  # Audio
    if text_column not in table and text_column == DataConfig.text_column:
        text_column = lower.get(text_column, text_column)
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
    usual = [(audio_column, DataConfig.audio_column, _AUDIO_NAMES), (text_column, DataConfig.text_column, _TEXT_NAMES)]
    replacements = [
        _only_one_called(names, table, instead_of=name) if name == default and _is_empty(table.get(name, [])) else None
        for name, default, names in usual
    ]
    if any(replacements):
        notices = tuple(
            f"{f'the column {name!r} is empty' if name in table else f'there is no column {name!r}'}; took {other!r}"
            for (name, _, _), other in zip(usual, replacements, strict=True)
            if other
        )
        audio_column, text_column = replacements[0] or audio_column, replacements[1] or text_column
    return Columns(audio_column, text_column, notices)


def _is_empty(cells: Sequence[Any]) -> bool:
    """Whether a column is missing or holds nothing, as the texts of tar shards whose JSON has them elsewhere."""
    return all(cell is None for cell in cells)


def _only_one_called(names: frozenset[str], table: Table, *, instead_of: str) -> str | None:
    """The only other column of texts that has one of these names; None if there are none, or several."""
    called = [name for name in table if name != instead_of and re.sub(r"[^a-z]", "", name.lower()) in names]
    of_texts = [name for name in called if any(isinstance(cell, str) for cell in table[name])]
    candidates = of_texts or [name for name in called if table[name] == [None]]  # a row of a stream may lack its text
    return candidates[0] if len(candidates) == 1 else None


def _refuse_wrong_cells(table: Table, *, audio_column: str, text_column: str) -> None:
    """Refuse cells that are not text, and would be learnt as Python writes them; audio that is neither a file nor its
    content; and halves of characters. Checks every cell.

    Raises:
        UserError: says how many cells are wrong, and names the first few.
    """
    problems: list[UserError] = []

    def collect(kind: str, column: str, is_wrong: Callable[[Any], Any], problem: str, remedy: str) -> None:
        if wrong := _places(table, column, is_wrong):
            problem = f"{len(wrong):,} of {len(table[column]):,} cells {problem} ({first_few(wrong)})"
            problems.append(UserError(problem, setting=f"--data.{kind}_column", value=column, remedy=remedy))

    collect("text", text_column, lambda cell: not is_text(cell), "are not text", "give a column of texts")
    numbers = [cell for cell in table[text_column] if isinstance(cell, float) and math.isfinite(cell)]
    if not problems and {cell.is_integer() for cell in numbers} == {True, False}:
        ambiguous = "are numbers with a fraction beside whole ones, where 1.0 may mean 1 or 1.0"
        collect("text", text_column, _has_fraction, ambiguous, "write them as texts")
    remedy = (
        "give paths of files, or the content of encoded files (WAV, FLAC ...), such as {'path': 'a.wav', 'bytes': ...};"
        " write samples to files first, with soundfile.write"
    )
    collect("audio", audio_column, lambda cell: not _is_audio(cell), "are not audio", remedy)
    half = "hold half of a character, a lone surrogate such as \\ud83d in JSON"
    collect("audio", audio_column, partial(_holds_half, _HALVES), half, "write the whole character")
    collect("text", text_column, partial(_holds_half, _SURROGATES), half, "write the whole character")
    raise_all(problems)


def _has_fraction(cell: Any) -> bool:
    return isinstance(cell, float) and not cell.is_integer()


def _places(table: Table, column: str, is_wrong: Callable[[Any], Any]) -> list[str]:
    """`line 7: <cell>` of each wrong cell."""
    return [f"{place_of_row(table, row)}: {quoted(cell)}" for row, cell in enumerate(table[column]) if is_wrong(cell)]


def _holds_half(halves: re.Pattern[str], cell: Any) -> bool:
    """Whether the text of a cell, or the path in it, holds halves of characters."""
    text = cell.get("path") if isinstance(cell, Mapping) else cell
    return isinstance(text, str) and not text.isascii() and halves.search(text) is not None


def is_text(cell: Any) -> bool:
    """Whether a cell can be written as the text that it stands for."""
    if isinstance(cell, float) and abs(cell) > _EXACT and math.isfinite(cell):
        return False  # digits are lost already
    if isinstance(cell, bytes):  # as Hive and old Spark write texts
        return _decoded(cell) is not None
    return cell is None or (isinstance(cell, str | int | float | Decimal) and not isinstance(cell, bool))


def _is_audio(cell: Any) -> bool:
    if isinstance(cell, Mapping):
        path, content = cell.get("path"), cell.get("bytes")
        is_known = "path" in cell or "bytes" in cell or not any(value is not None for value in cell.values())
        return is_known and isinstance(path, str | None) and isinstance(content, bytes | ByteRange | None)
    if isinstance(cell, str):
        return len(cell) <= _MAX_PATH
    return cell is None or (
        isinstance(cell, bytes | ByteRange | DatasetCell | int | float) and not isinstance(cell, bool)
    )


def texts_of(cells: Sequence[Any]) -> list[str | None]:
    """Cells as texts; None for a missing one.

    Data frames turn whole numbers beside a missing one into 1.0, 2.0: where all are so, they become 1, 2 again. In a
    text file such a column has an empty cell, and digits with .0 in all the others.
    """
    filled = [cell for cell in cells if isinstance(cell, str) and cell.strip()]
    are_whole = bool(filled) and len(filled) < len(cells) and all(map(_WHOLE_NUMBER.fullmatch, filled))
    return [
        cell.strip()[:-2] if are_whole and isinstance(cell, str) and cell.strip() else text_of(cell) for cell in cells
    ]


def text_of(cell: Any) -> str | None:
    """One cell as text; None for a missing value, which is NaN among numbers. 1.0 is written as 1."""
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return None
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return (_decoded(cell) or "") if isinstance(cell, bytes) else str(cell)


def _decoded(cell: bytes) -> str | None:
    try:
        return cell.decode()
    except UnicodeDecodeError:
        return None


def require_column(table: Mapping[str, Any], setting: str, column: str) -> None:
    """Check that a column is there.

    Raises:
        UserError: it is missing; lists those there are.
    """
    if column in table:
        return
    names = list(table)
    remedy = f"give one of them, with {setting} NAME"
    if any(os.path.splitext(name.lower())[1] in AUDIO_SUFFIXES for name in names):
        remedy = "the first line looks like a row: write a line with the names of the columns before it"
    raise UserError(
        f"there is no such column; the columns are: {first_few(names, most=_MAX_COLUMNS)}",
        setting=setting,
        value=column,
        remedy=remedy,
    )


def column_as_text(values: Sequence[Any]) -> list[str | None]:
    """Cells as stripped text, for comparing; None for empty ones."""
    return [text.strip() or None if text is not None else None for text in texts_of(values)]
