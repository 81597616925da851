"""Tables of times and texts alone, such as Whisper's .tsv and whisper.cpp's .csv, and the unit of their times."""

import csv
import statistics
from collections.abc import Callable, Sequence

from accel_asr.data.reading.timed_texts.cue_markup import text_and_speaker
from accel_asr.data.reading.timed_texts.timed_cues import AnnotationFile, TimedCue

_NEEDED = {"start", "end", "text"}
_ALLOWED = {*_NEEDED, "speaker", "id", "confidence"}
_SHORTEST_MS = 100.0  # the usual cue of a table in seconds is not that long


def is_table_of(delimiter: str) -> Callable[[AnnotationFile], bool]:
    """Tells whether the header of a file names a start, an end and a text, and no audio."""

    def is_it(file: AnnotationFile) -> bool:
        return _NEEDED <= set(_cells(file.text.partition("\n")[0], delimiter)) <= _ALLOWED

    return is_it


def reader_of_table(delimiter: str) -> Callable[[AnnotationFile], list[TimedCue]]:
    """A reader of such tables; a tab stands in no quotes, as Whisper writes it."""

    def read(file: AnnotationFile) -> list[TimedCue]:
        header, _, body = file.text.partition("\n")
        names = _cells(header, delimiter)
        if delimiter == "\t":
            rows = [line.split("\t", maxsplit=len(names) - 1) for line in body.split("\n") if line.strip()]
        else:
            rows = [row for row in csv.reader(body.split("\n"), skipinitialspace=True) if row]
        records = [dict(zip(names, row, strict=False)) for row in rows]
        if short := sum(len(row) < len(names) - 1 for row in rows):
            raise ValueError(f"{short:,} of its lines have fewer cells than its header")
        times = in_seconds([(float(record["start"]), float(record["end"])) for record in records])
        cues = []
        for (start_s, end_s), record in zip(times, records, strict=True):
            text, speaker = text_and_speaker(record.get("text", ""))
            cues.append(TimedCue(start_s, end_s, text, record.get("speaker", "").strip() or speaker))
        return cues

    return read


def in_seconds(times: Sequence[tuple[float, float | None]]) -> list[tuple[float, float | None]]:
    """Times whose unit nothing says, in seconds: whole numbers that would be minutes apart are milliseconds."""
    lengths = [end - start for start, end in times if end is not None]
    are_whole = all(float(time).is_integer() for pair in times for time in pair if time is not None)
    if not lengths or not are_whole or statistics.median(lengths) < _SHORTEST_MS:
        return list(times)
    return [(start / 1000, None if end is None else end / 1000) for start, end in times]


def _cells(header: str, delimiter: str) -> list[str]:
    return [cell.strip().strip('"').lower() for cell in header.split(delimiter)]
