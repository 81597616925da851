"""The manifest of all aligned rows, to train on as it stands, beside the list of what was left out."""

import heapq
import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from accel_asr.alignment.aligned import AlignedRecording, AlignedRow, LeftOut
from accel_asr.alignment.kept_alignments import KeptAlignments, short_name
from accel_asr.alignment.spoken_texts import SpokenText
from accel_asr.files.atomic_writes import file_written_whole, to_json, write_json_lines
from accel_asr.transcription.segments import TIME_DIGITS

MANIFEST, LEFT_OUT = "metadata.jsonl", "left_out.jsonl"
AUDIO_FOLDER = "audio"
WHY = {"text": "not spoken", "speech": "not in the text", "recording": "could not be aligned"}


@dataclass(frozen=True)
class Cut:
    """A row and where it is from. `number` counts all rows of the manifest from 0; the recording `ends_s`."""

    number: int
    spoken: SpokenText
    row: AlignedRow
    language: str | None
    ends_s: float


@dataclass
class AlignedTotals:
    """Sums over all recordings; the worst rows, worst first; the longest stretches that are left out, in order."""

    recordings: int = 0
    duration_s: float = 0.0
    rows: int = 0
    rows_s: float = 0.0
    words_in_rows: int = 0
    words_in_text: int = 0
    stretches: dict[str, int] = field(default_factory=lambda: {"text": 0, "speech": 0})
    speech_left_out_s: float = 0.0
    without_rows: list[str] = field(default_factory=list)
    worst: list[Cut] = field(default_factory=list)
    left_out: list[tuple[SpokenText, LeftOut]] = field(default_factory=list)


def write_manifest(
    kept: KeptAlignments,
    finished: Sequence[SpokenText],
    failures: Mapping[str, str],
    *,
    spoken_language: str | None,
    most_cuts: int,
    most_left_out: int,
) -> AlignedTotals:
    """Write both files from the finished recordings, one recording in memory at a time.

    Recordings outside of the output folder are linked into it, or copied where the file system has no hard links:
    training reads no file outside of a manifest's folder unless it is allowed to.

    Args:
        failures: Why each of the others could not be aligned, by name.
        spoken_language: As the user named it, where another stands in for it; else it is the recording's own.
        most_cuts: How many of the worst rows the result holds.
        most_left_out: How many of the stretches that are left out, likewise.

    Raises:
        OSError: something can't be written.
    """
    totals = AlignedTotals()
    cuts: list[Cut] = []
    stretches: list[tuple[SpokenText, LeftOut]] = []
    left_out_lines: list[dict[str, Any]] = []
    with file_written_whole(kept.output_dir / MANIFEST) as beside, beside.open("w", encoding="utf-8") as file:
        for spoken in finished:
            aligned = kept.load(spoken)
            language = spoken.language or spoken_language or aligned.language
            ends_s = (spoken.start_s or 0.0) + aligned.duration_s
            audio = _place(spoken.path, kept.output_dir) if aligned.rows else str(spoken.path)
            for row in aligned.rows:
                file.write(to_json(_line(row, audio=audio, language=language)) + "\n")
                cuts.append(Cut(totals.rows, spoken, row, language, ends_s))
                totals.rows += 1
                totals.rows_s += row.end_s - row.start_s
            cuts = heapq.nsmallest(most_cuts, cuts, key=lambda cut: (cut.row.score, cut.number))
            left_out_lines += [_left_out_line(left_out, audio=audio) for left_out in aligned.left_out]
            stretches += [(spoken, left_out) for left_out in aligned.left_out]
            stretches = heapq.nlargest(most_left_out, stretches, key=lambda pair: _size(pair[1]))
            _add(totals, spoken, aligned)
    left_out_lines += [
        {"audio": name, "kind": "recording", "why": WHY["recording"], "reason": reason}
        for name, reason in failures.items()
    ]
    write_json_lines(kept.output_dir / LEFT_OUT, iter(left_out_lines))
    places = {id(spoken): place for place, spoken in enumerate(finished)}
    totals.worst = cuts
    totals.left_out = sorted(stretches, key=lambda pair: (places[id(pair[0])], pair[1].start_s))
    return totals


def _add(totals: AlignedTotals, spoken: SpokenText, aligned: AlignedRecording) -> None:
    totals.recordings += 1
    totals.duration_s += aligned.duration_s
    totals.words_in_rows += aligned.words_in_rows
    totals.words_in_text += aligned.words_in_text
    for left_out in aligned.left_out:
        totals.stretches[left_out.kind] += 1
        if left_out.kind == "speech":
            totals.speech_left_out_s += left_out.end_s - left_out.start_s
    if not aligned.rows:
        totals.without_rows.append(spoken.name)


def _line(row: AlignedRow, *, audio: str, language: str | None) -> dict[str, Any]:
    line = {
        "audio": audio,
        "start": round(row.start_s, TIME_DIGITS),
        "end": round(row.end_s, TIME_DIGITS),
        "text": row.text,
        "prompt": row.previous_text,
        "score": round(row.score, TIME_DIGITS),
    }
    return line if language is None else {**line, "language": language}


def _left_out_line(left_out: LeftOut, *, audio: str) -> dict[str, Any]:
    return {
        "audio": audio,
        "kind": left_out.kind,
        "why": WHY[left_out.kind],
        "start": round(left_out.start_s, TIME_DIGITS),
        "end": round(left_out.end_s, TIME_DIGITS),
        "text": left_out.text,
    }


def _size(left_out: LeftOut) -> int:
    """Letters: of text that is not spoken, and of speech as it was heard."""
    return len(left_out.text)


def _place(path: Path, folder: Path) -> str:
    """The name of a recording relative to the manifest's folder, into which it is linked if it lies elsewhere."""
    real_folder = os.path.realpath(folder)
    real = os.path.realpath(path)
    if real.startswith(os.path.join(real_folder, "")):
        return Path(os.path.relpath(real, real_folder)).as_posix()
    name = f"{AUDIO_FOLDER}/{short_name(path, folder)}{path.suffix}"
    target = folder / name
    if not _is_same(Path(real), target):
        with file_written_whole(target) as beside:
            _link_or_copy(real, beside)
    return name


def _is_same(path: Path, target: Path) -> bool:
    """Whether `target` is a link to `path`, or a copy that is as new."""
    if not target.exists():
        return False
    ours, theirs = target.stat(), path.stat()
    return os.path.samestat(ours, theirs) or (ours.st_size, ours.st_mtime_ns) == (theirs.st_size, theirs.st_mtime_ns)


def _link_or_copy(real: str, target: Path) -> None:
    with suppress(OSError):
        target.unlink(missing_ok=True)
        os.link(real, target)
        return
    shutil.copy2(real, target)
