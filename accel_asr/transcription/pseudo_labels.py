"""A manifest of what a model wrote, to train another model on: each row scored, and those that fail listed apart."""

import os
from collections.abc import Sequence
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


class PseudoLabels:
    """Collects the rows of recordings; `write` writes them.

    Args:
        folder: Where the files go; the names of recordings are relative to it.
        second: Transcribes each row once more, for `disagreement`.
    """

    def __init__(
        self, folder: Path, *, teacher: Transcriber, second: Transcriber | None, filters: RowFilters, batch_size: int
    ) -> None:
        self.folder = folder
        self.teacher, self.second, self.filters = teacher, second, filters
        self.batch_size = batch_size
        self.rows: list[dict[str, Any]] = []
        self.left_out: list[dict[str, Any]] = []
        self._waiting: list[tuple[Path, TranscribedRow, np.ndarray]] = []

    def add(self, recording: Recording, spoken: TimedText) -> None:
        """Make rows of a transcript.

        Raises:
            AudioError: the recording can no longer be decoded.
        """
        assert recording.path is not None
        rate_hz = self.teacher.sampling_rate_hz
        window_s = self.teacher.window_s
        samples = decode(recording.path, sampling_rate_hz=rate_hz)
        for row in rows_of_transcript(spoken, longest_s=window_s):
            if row.end_s - row.start_s > window_s or not row.text:
                reason = "no text" if not row.text else f"longer than {window_s:g} s"
                self.left_out.append(self._line(recording.path, row, RowScores()) | {"reason": reason})
                continue
            clip = samples[round(row.start_s * rate_hz) : round(row.end_s * rate_hz)]
            self._waiting.append((recording.path, row, clip))
            if len(self._waiting) == self.batch_size:
                self._score()

    def write(self, manifest: Path, left_out: Path) -> str:
        """Write the rows that are kept, and the others with the reason; returns the counts in words.

        Raises:
            UserError: a file can't be written.
        """
        self._score()
        with write_errors_explained(self.folder, setting="--output_dir"):
            write_json_lines(left_out, iter(self.left_out))
            write_json_lines(manifest, iter(self.rows))
        return summary(self.rows, self.left_out)

    def _score(self) -> None:
        if not self._waiting:
            return
        paths, rows, clips = (list(column) for column in zip(*self._waiting, strict=True))
        self._waiting.clear()
        labels = score_labels(self.teacher, clips, [row.text for row in rows], [row.language for row in rows])
        others = self._second_texts(clips)
        for path, row, label, other in zip(paths, rows, labels, others, strict=True):
            scores = RowScores(
                avg_logprob=label.avg_logprob,
                no_speech_prob=label.no_speech_prob,
                compression_ratio=compression_ratio(row.text),
                disagreement=None if other is None else disagreement(row.text, other),
                second_text=other,
            )
            reason = self.filters.why_left_out(scores)
            line = self._line(path, row, scores)
            if reason is None:
                self.rows.append(line)
            else:
                self.left_out.append(line | {"reason": reason})

    def _second_texts(self, clips: Sequence[np.ndarray]) -> Sequence[str | None]:
        if self.second is None:
            return [None] * len(clips)
        return [spoken.text for spoken in self.second.transcribe_short(clips, timed=False)]

    def _line(self, path: Path, row: TranscribedRow, scores: RowScores) -> dict[str, Any]:
        return {
            "audio": os.path.relpath(path.absolute(), self.folder.absolute()),
            "start": row.start_s,
            "end": row.end_s,
            "text": row.text,
            **({"language": row.language} if row.language else {}),
            **({"task": self.teacher.task} if self.teacher.task == "translate" else {}),
            **({"previous_text": row.previous_text} if row.previous_text else {}),
            **scores.to_json(),
        }
