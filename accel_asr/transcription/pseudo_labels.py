"""A manifest of what a model wrote, to train another model on: each row scored, and those that fail listed apart."""

import os
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from accel_asr.audio.decoding import decode
from accel_asr.files.atomic_writes import write_errors_explained, write_json_lines
from accel_asr.transcription.inputs import Recording
from accel_asr.transcription.label_scores import score_labels
from accel_asr.transcription.manifest_rows import (
    RowFilters,
    RowScores,
    TranscribedRow,
    compression_ratio,
    disagreement,
    rows_of_transcript,
    summary,
)
from accel_asr.transcription.segments import TimedText
from accel_asr.transcription.transcriber import Transcriber
from accel_asr.transcription.unfinished_rows import UnfinishedRows


class PseudoLabels:
    """Collects the rows of recordings; `write` writes them.

    Args:
        folder: Where the files go; the names of recordings are relative to it.
        second: Transcribes each row once more, for `disagreement`.
        unfinished: Keeps the rows of recordings that are done.
    """

    def __init__(
        self,
        folder: Path,
        *,
        teacher: Transcriber,
        second: Transcriber | None,
        filters: RowFilters,
        batch_size: int,
        unfinished: UnfinishedRows,
    ) -> None:
        self.folder = folder
        self.teacher, self.second, self.filters = teacher, second, filters
        self.batch_size = batch_size
        self.unfinished = unfinished
        self._new: dict[Path, list[dict[str, Any]]] = {}
        self._waiting: list[tuple[dict[str, Any], TranscribedRow, np.ndarray]] = []

    def pending(self, recordings: Sequence[Recording]) -> list[Recording]:
        """Those that are not done yet."""
        return [each for each in recordings if not self.unfinished.is_done(_path(each))]

    def add(self, recording: Recording, spoken: TimedText) -> None:
        """Make rows of a transcript.

        Raises:
            AudioError: the recording can no longer be decoded.
            UserError: rows can't be kept.
        """
        path = _path(recording)
        rate_hz = self.teacher.sampling_rate_hz
        window_s = self.teacher.window_s
        samples = decode(path, sampling_rate_hz=rate_hz)
        lines = self._new[path] = []
        is_batch_full = False
        for row in rows_of_transcript(spoken, longest_s=window_s):
            lines.append(self._line(path, row))
            if row.end_s - row.start_s > window_s or not row.text:
                lines[-1]["reason"] = "no text" if not row.text else f"longer than {window_s:g} s"
                continue
            self._waiting.append((lines[-1], row, samples[round(row.start_s * rate_hz) : round(row.end_s * rate_hz)]))
            if len(self._waiting) == self.batch_size:
                self._score()
                is_batch_full = True
        if is_batch_full:
            self._keep()

    def write(self, manifest: Path, left_out: Path, recordings: Sequence[Recording]) -> str:
        """Write the rows of these recordings that pass, and the others with the reason; returns the counts in words.

        Raises:
            UserError: a file can't be written.
        """
        self._keep()
        rows: list[dict[str, Any]] = []
        others: list[dict[str, Any]] = []
        for recording in recordings:
            for line in self.unfinished.rows_of(_path(recording)):
                scores = RowScores(*(line.get(field.name) for field in fields(RowScores)))
                reason = line.get("reason") or self.filters.why_left_out(scores)
                if reason is None:
                    rows.append(line)
                else:
                    others.append(line | {"reason": reason})
        with write_errors_explained(self.folder, setting="--output_dir"):
            write_json_lines(left_out, iter(others))
            write_json_lines(manifest, iter(rows))
            self.unfinished.remove()
        return summary(rows, others)

    def _keep(self) -> None:
        """Score what is waiting; then all recordings so far are done."""
        self._score()
        for path, lines in self._new.items():
            self.unfinished.add(path, lines)
        self._new.clear()

    def _score(self) -> None:
        if not self._waiting:
            return
        lines, rows, clips = (list(column) for column in zip(*self._waiting, strict=True))
        self._waiting.clear()
        labels = score_labels(self.teacher, clips, [row.text for row in rows], [row.language for row in rows])
        others = self._second_texts(clips)
        for line, row, label, other in zip(lines, rows, labels, others, strict=True):
            scores = RowScores(
                avg_logprob=label.avg_logprob,
                no_speech_prob=label.no_speech_prob,
                compression_ratio=compression_ratio(row.text),
                disagreement=None if other is None else disagreement(row.text, other),
                second_text=other,
            )
            line.update(scores.to_json())

    def _second_texts(self, clips: Sequence[np.ndarray]) -> Sequence[str | None]:
        if self.second is None:
            return [None] * len(clips)
        return [spoken.text for spoken in self.second.transcribe_short(clips, timed=False)]

    def _line(self, path: Path, row: TranscribedRow) -> dict[str, Any]:
        return {
            "audio": os.path.relpath(path.absolute(), self.folder.absolute()),
            "start": row.start_s,
            "end": row.end_s,
            "text": row.text,
            **({"language": row.language} if row.language else {}),
            **({"task": self.teacher.task} if self.teacher.task == "translate" else {}),
            **({"previous_text": row.previous_text} if row.previous_text else {}),
        }


def _path(recording: Recording) -> Path:
    assert recording.path is not None, "a manifest can't name stdin"
    return recording.path
