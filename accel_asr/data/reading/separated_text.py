"""Read delimited text. The whole file decides which character delimits, and whether quotation marks quote.

A reading fits if every row has as many fields as the header. Where a quotation mark is part of a text, taking it for a
quote would swallow the rows up to the next one; so if both readings fit, marks quote only if each field with one is
written as a writer that quotes would write it. `csv.Sniffer`, which pandas uses too, guesses from a sample.
"""

import csv
import io
import re
from collections import Counter
from dataclasses import dataclass, field

from accel_asr.data.reading.source_table import SourceTable, first_few, refuse_equal_names
from accel_asr.data.reading.text_files import AUDIO_SUFFIXES

_DELIMITERS = {".csv": ",;|\t", ".tsv": "\t,;|"}  # the first is the usual one
_NAMES = {",": "comma", ";": "semicolon", "|": "vertical bar", "\t": "tab"}
_COMMON_VOICE = {"client_id", "path", "sentence"}
_SEPARATOR_LINE = re.compile(r"sep=(.)\r?\n")  # Excel's
_LINE = re.compile(r"\r\n|\r|\n")


@dataclass
class _Reading:
    """One way to read a file. Records begin at `lines`, and end before `stops`."""

    delimiter: str
    is_quoted: bool
    has_escapes: bool = False
    names: list[str] = field(default_factory=list)
    records: list[list[str]] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    stops: list[int] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


def read_separated(text: str, *, suffix: str) -> SourceTable:
    """The columns of a table of separated text, as text, with the line of each row.

    Raises:
        ValueError: rows with more or fewer fields than the header, quotation marks that don't close or that swallow
            other rows, columns with one name, zero bytes. Names the lines.
    """
    if "\0" in text:
        line = len(_LINE.findall(text[: text.index("\0")])) + 1
        raise ValueError(f"line {line} holds a zero byte; save UTF-16 text as UTF-8")
    delimiters = _DELIMITERS[suffix]
    if match := _SEPARATOR_LINE.match(text):
        delimiters = match[1]
        text = "\n" + text[match.end() :]  # so that the lines keep their numbers
    reading = _best_reading(text, delimiters)
    if reading.faults:
        raise ValueError("; ".join(reading.faults))
    return _table(reading, text, is_usual=reading.delimiter == _DELIMITERS[suffix][0])


def _best_reading(text: str, delimiters: str) -> _Reading:
    """The reading that fits, by the delimiters in the header; else the first, with its faults."""
    start = re.search(r"[^\r\n]+", text)
    header = start[0] if start else ""
    usual, others = delimiters[0], delimiters[1:]
    candidates = [usual, *sorted((letter for letter in others if letter in header), key=header.count, reverse=True)]
    if usual not in header and len(candidates) > 1:
        candidates = candidates[1:]
    readings = []
    for delimiter in candidates:
        reading = _reading_by(text, delimiter)
        if not reading.faults:
            return reading
        readings.append(reading)
    return readings[0]


def _reading_by(text: str, delimiter: str) -> _Reading:
    plain = _read(text, delimiter, is_quoted=False)
    if '"' not in text or _COMMON_VOICE.issubset(plain.names):  # Common Voice quotes nothing
        return plain
    quoted = _read(text, delimiter, is_quoted=True)
    if quoted.faults and '\\"' in text:  # as MySQL and Spark write a mark within a field
        escaped = _read(text, delimiter, is_quoted=True, escape="\\")
        quoted = quoted if escaped.faults else escaped
    marked = [cell for record in plain.records for cell in record if '"' in cell]
    if quoted.faults:
        if delimiter == "\t":
            return plain
        # a writer that quotes some fields quotes all that need it; or the file was cut
        is_cut = bool(marked) and bool(plain.records) and marked[-1] in plain.records[-1] and marked[-1].count('"') == 1
        return quoted if plain.faults or is_cut or any(map(_is_quoted, marked)) else plain
    if plain.faults or quoted.has_escapes:
        quoted.faults = _swallowed_rows(quoted, text)
        return quoted
    return quoted if all(map(_is_quoted, marked)) else plain


def _read(text: str, delimiter: str, *, is_quoted: bool, escape: str | None = None) -> _Reading:
    reading = _Reading(delimiter, is_quoted, escape is not None)
    header = _LINE.split(text.lstrip("\r\n"), maxsplit=1)[0].split(delimiter)
    reader = csv.reader(
        io.StringIO(text, newline=""),
        delimiter=delimiter,
        strict=True,
        escapechar=escape,
        doublequote=escape is None,
        quoting=csv.QUOTE_MINIMAL if is_quoted else csv.QUOTE_NONE,
        skipinitialspace=any(header[1:]) and all(name.startswith(" ") for name in header[1:] if name),
    )
    misfits = []
    line = 1
    try:
        for record in reader:
            first, line = line, reader.line_num + 1
            if not record:
                continue
            if not reading.names:
                reading.names = [name.strip() for name in record]
                continue
            if len(record) != len(reading.names):
                misfits.append(f"line {first} has {len(record)}")
            reading.records.append(record)
            reading.lines.append(first)
            reading.stops.append(line)
    except csv.Error as error:
        where = f"the row that begins in line {line}" if is_quoted else f"line {line}"
        remedy = "; close the quotation mark, or double the marks within a quoted field" if is_quoted else ""
        reading.faults.append(f"{where} can't be read ({error}){remedy}")
    if misfits:
        letter = _NAMES.get(delimiter, repr(delimiter))
        is_short = all(len(record) <= len(reading.names) for record in reading.records)
        remedy = (
            f"add the fields that are missing, or the {letter}s" if is_short else f"quote fields that hold a {letter}"
        )
        many = f"{len(misfits):,} rows have" if len(misfits) > 1 else "1 row has"
        reading.faults.append(
            f"{many} not as many fields as the header, {len(reading.names)} ({first_few(misfits)}); {remedy}"
        )
    return reading


def _is_quoted(cell: str) -> bool:
    """Whether a writer that quotes would write a field so: in marks, with those inside doubled."""
    return len(cell) > 1 and cell[0] == cell[-1] == '"' and '"' not in cell[1:-1].replace('""', "")


def _swallowed_rows(reading: _Reading, text: str) -> list[str]:
    """Faults of quoted fields that swallow rows: a mark that is part of a text was closed by another row's."""
    lines = _LINE.split(text)
    kinds = Counter(_shape(record[0]) for record in reading.records)
    usual = kinds.most_common(1)[0][0] if kinds else ""
    faults = []
    for first, stop in zip(reading.lines, reading.stops, strict=True):
        more = [number for number in range(first + 1, stop) if _looks_like_a_row(lines[number - 1], reading, usual)]
        if more:
            faults.append(
                f"the one in line {first} swallows line{'s' * (len(more) > 1)} {first_few(list(map(str, more)))}"
            )
    if not faults:
        return []
    return [
        f"{len(faults):,} quotation mark{'s' * (len(faults) > 1)} would swallow rows ({first_few(faults)}); double the "
        "marks that belong to a text and put the field in marks, or write the table without quotes and with tabs"
    ]


def _shape(cell: str) -> str:
    """The kind of name in a cell: `a_9.a` of `clip_0012.wav`."""
    return re.sub(r"[^\W\d_]+", "a", re.sub(r"\d+", "9", cell.strip()))


def _looks_like_a_row(line: str, reading: _Reading, usual: str) -> bool:
    """Whether a line within a quoted field may be a row: tabs are rare in texts, commas are not.

    `usual` is the shape of most first cells.
    """
    fields = line.split(reading.delimiter)
    if len(fields) != len(reading.names) or len(fields) < 2:
        return False
    if reading.delimiter == "\t" or (_shape(fields[0]) == usual and not usual.isalpha() and " " not in usual):
        return True
    return any(cell.strip(' "').lower().endswith(tuple(AUDIO_SUFFIXES)) for cell in fields)


def _table(reading: _Reading, text: str, *, is_usual: bool) -> SourceTable:
    """The columns of a reading that fits, without empty rows; notices say what was skipped.

    Raises:
        ValueError: several columns of one name.
    """
    notices = []
    if not is_usual:
        notices.append(f"its fields are separated by a {_NAMES.get(reading.delimiter, repr(reading.delimiter))}")
    if '"' in text and not reading.is_quoted and not _COMMON_VOICE.issubset(reading.names):
        notices.append("quotation marks are part of the texts: they quote no fields")
    several = [
        f"{first} to {stop - 1}"
        for first, stop, record in zip(reading.lines, reading.stops, reading.records, strict=True)
        if any("\n" in cell or "\r" in cell for cell in record)
    ]
    if several:
        notices.append(
            f"fields in quotation marks hold line breaks, in {len(several):,} rows (lines {first_few(several)})"
        )
    rows, lines = [], []
    empty, headers = [], []
    for record, line in zip(reading.records, reading.lines, strict=True):
        if [cell.strip() for cell in record] == reading.names:
            headers.append(str(line))
        elif not any(cell.strip() for cell in record):
            empty.append(str(line))
        else:
            rows.append(record)
            lines.append(line)
    for kind, skipped in (("rows without any content", empty), ("repetitions of the header", headers)):
        if skipped:
            notices.append(f"{len(skipped):,} {kind} skipped (line {first_few(skipped)})")
    columns = [
        (name, [record[index] for record in rows])
        for index, name in enumerate(reading.names)
        if name or any(record[index].strip() for record in rows)
    ]
    refuse_equal_names([name for name, _ in columns])
    return SourceTable(columns, lines=lines, notices=notices)
