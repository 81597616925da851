"""Which column of a table means what: as configured, or as a known kind of manifest names them."""

import math
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import Any

from accel_asr.audio.byte_ranges import ByteRange, DatasetCell
from accel_asr.config.settings import DataConfig
from accel_asr.data.reading.audio_paths import named, shown
from accel_asr.data.reading.source_table import Table, place_of_row
from accel_asr.data.reading.text_files import AUDIO_SUFFIXES
from accel_asr.errors import UserError

# kind, its audio column, its text column
CONVENTIONS = (
    ("an audiofolder", "file_name", "text"),
    ("a NeMo manifest", "audio_filepath", "text"),
    ("Common Voice", "path", "sentence"),
    ("a list of files", "file", "text"),
)
# other usual names, in lower case and without marks between words; taken where only one of them is there
_AUDIO_NAMES = frozenset(("audio", "filename", "audiofilepath", "path", "file", "audiofile", "audiopath"))
_AUDIO_NAMES |= {
    "audiofilename",
    "filepath",
    "wav",
    "wavpath",
    "wavfile",
    "wavfilename",
    "clip",
    "clippath",
    "recording",
}
_TEXT_NAMES = frozenset(("text", "sentence", "transcription", "transcript", "normalizedtext", "wrd", "words"))
COMMON_VOICE_COLUMNS = ("path", "sentence")
_MAX_COLUMNS = 50  # named in a message
_MAX_PATH = 4096  # letters; the system knows no longer ones
_EXACT = 2**53  # floats tell whole numbers apart up to here
_SURROGATES = re.compile("[\ud800-\udfff]")
_HALVES = re.compile("[\ud800-\udc7f\udd00-\udfff]")  # the others stand for bytes of a file's name that are no UTF-8
_WHOLE_NUMBER = re.compile(r"\s*-?\d+\.0\s*")


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
    taken = [
        _only_one_called(names, table) if name == default and _is_empty(table.get(name, [])) else None
        for name, default, names in usual
    ]
    if any(taken):
        notices = tuple(
            f"{f'the column {name!r} is empty' if name in table else f'there is no column {name!r}'}; took {other!r}"
            for (name, _, _), other in zip(usual, taken, strict=True)
            if other
        )
        audio_column, text_column = taken[0] or audio_column, taken[1] or text_column
    require_column(table, "data.audio_column", audio_column)
    require_column(table, "data.text_column", text_column)
    _refuse_wrong_cells(table, audio_column=audio_column, text_column=text_column)
    return Columns(audio_column, text_column, notices)


def _is_empty(cells: Sequence[Any]) -> bool:
    """Whether a column is missing, or says nothing, as the texts of tar shards whose JSON has them elsewhere."""
    return all(cell is None for cell in cells)


def _only_one_called(names: frozenset[str], table: Table) -> str | None:
    """The only column of texts that has one of these names; None if there are none, or several."""
    called = [
        name
        for name, cells in table.items()
        if re.sub(r"[^a-z]", "", name.lower()) in names and any(isinstance(cell, str) for cell in cells)
    ]
    return called[0] if len(called) == 1 else None


def _refuse_wrong_cells(table: Table, *, audio_column: str, text_column: str) -> None:
    """Refuse texts that are none, and would be learnt as Python writes them; audio that is neither file nor content;
    and halves of characters. Looks at every cell.

    Raises:
        UserError: some cell is so; says how many, and names the first of them.
    """
    problems = []
    texts = table[text_column]
    if wrong := _places(table, text_column, lambda cell: not is_text(cell)):
        problems.append(
            f"data.text_column: {len(wrong):,} of {len(texts):,} cells of {text_column!r} are no text ({named(wrong)})"
            "; give a column of texts"
        )
    elif {cell.is_integer() for cell in texts if isinstance(cell, float) and math.isfinite(cell)} == {True, False}:
        fractions = _places(table, text_column, lambda cell: isinstance(cell, float) and not cell.is_integer())
        problems.append(
            f"data.text_column: cells of {text_column!r} are numbers, some with a fraction ({named(fractions)}), so "
            "that 1.0 may stand for 1 or for 1.0; write them as texts"
        )
    if wrong := _places(table, audio_column, lambda cell: not _is_audio(cell)):
        problems.append(
            f"data.audio_column: {len(wrong):,} of {len(texts):,} cells of {audio_column!r} are no audio "
            f"({named(wrong)}); give paths of files, or the content of encoded files (WAV, FLAC ...), such as "
            "{'path': 'a.wav', 'bytes': ...}; write samples to files first, with soundfile.write"
        )
    for setting, column, halves_of in (
        ("data.audio_column", audio_column, _HALVES),
        ("data.text_column", text_column, _SURROGATES),
    ):
        halves = _places(table, column, partial(_is_half, halves_of))
        if halves:
            problems.append(
                f"{setting}: {len(halves):,} of {len(table[column]):,} cells of {column!r} hold half of a character "
                f"({named(halves)}): a lone surrogate, such as \\ud83d in JSON; write the whole character"
            )
    if problems:
        raise UserError("\n".join(problems))


def _places(table: Table, column: str, is_wrong: Callable[[Any], Any]) -> list[str]:
    """`line 7: <cell>` of each wrong cell."""
    return [f"{place_of_row(table, row)}: {shown(cell)}" for row, cell in enumerate(table[column]) if is_wrong(cell)]


def _is_half(halves: re.Pattern[str], cell: Any) -> bool:
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
    """Cells as texts; None where there is none.

    Data frames turn whole numbers beside a missing one into 1.0, 2.0: they become 1, 2 again, where all are so. In a
    file of texts such a column has an empty cell, and digits with .0 in all the others.
    """
    filled = [cell for cell in cells if isinstance(cell, str) and cell.strip()]
    are_whole = bool(filled) and len(filled) < len(cells) and all(map(_WHOLE_NUMBER.fullmatch, filled))
    return [
        cell.strip()[:-2] if are_whole and isinstance(cell, str) and cell.strip() else text_of(cell) for cell in cells
    ]


def text_of(cell: Any) -> str | None:
    """One cell as text; None for a missing value, which is NaN among numbers. A whole number is written as one."""
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
        UserError: it is not; lists those there are.
    """
    if column in table:
        return
    names = list(table)
    hint = ""
    if any(os.path.splitext(name.lower())[1] in AUDIO_SUFFIXES for name in names):
        hint = ". The first line looks like a row: write a line with the names of the columns before it"
    raise UserError(
        f"{setting}: there is no column {column!r}; the columns are: {named(names, most=_MAX_COLUMNS)}"
        f"{hint or f'; give one of them, with --{setting} NAME'}"
    )


def column_as_text(values: Sequence[Any]) -> list[str | None]:
    """Cells as text, for comparing; None where there is none."""
    return [text.strip() or None if text is not None else None for text in texts_of(values)]
