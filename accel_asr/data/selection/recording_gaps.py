"""Gaps between the segments of long recordings, where by the rows nobody speaks."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from accel_asr.audio.decoding import to_float32
from accel_asr.data.selection.utterances import Part
from accel_asr.errors import UserError

SHORTEST_S = 1.0  # of a gap, without its edges
EDGE_S = 0.2  # left out at both ends: segments are cut tightly, and words have tails


@dataclass(frozen=True)
class RecordingGaps:
    """Gaps, each as a row whose recording it lies in. Cheap to send to a process. Arrays have the shape (gaps,).

    Args:
        part_of, row_of: The part and its row.
        start_s, end_s: In the recording, edges left out.
    """

    parts: tuple[Part, ...]
    part_of: np.ndarray = field(repr=False)
    row_of: np.ndarray = field(repr=False)
    start_s: np.ndarray = field(repr=False)
    end_s: np.ndarray = field(repr=False)

    @classmethod
    def between_rows(cls, parts: Sequence[Part]) -> "RecordingGaps":
        """All gaps that no row of any part overlaps: a row that is dropped, or validated on, is speech too.

        Raises:
            UserError: there is none.
        """
        by_index = {part.index.folder: part for part in parts}  # parts of a mixture may share one
        kept = tuple(by_index.values())
        columns: list[list[np.ndarray]] = []
        for number, part in enumerate(kept):
            content = part.index.column("content").fill_null(0).to_numpy().astype(np.uint64)
            start_s, end_s = part.index.numbers("start_s"), part.index.numbers("end_s")
            # without an end, a row goes on to the end of its recording
            rows = np.flatnonzero(content > 0)
            begins, ends = np.where(np.isnan(start_s), 0.0, start_s), np.where(np.isnan(end_s), np.inf, end_s)
            columns.append([content[rows], begins[rows], ends[rows], np.full(len(rows), number), rows])
        content, start_s, end_s, part_of, row_of = (np.concatenate(column) for column in zip(*columns, strict=True))
        order = np.lexsort((start_s, content))
        content, start_s, end_s, part_of, row_of = (
            column[order] for column in (content, start_s, end_s, part_of, row_of)
        )
        gaps = _between(content, start_s, end_s)
        chosen = np.array([row for row, _ in gaps], dtype=np.int64)
        if not len(chosen):
            raise UserError(
                f"no recording has {SHORTEST_S + 2 * EDGE_S:g} s between two of its rows",
                setting="--data.no_speech_gaps",
                value=True,
                remedy="leave it out, or give recordings without speech by --data.no_speech_dir",
            )
        begins = np.array([begin_s for _, begin_s in gaps])
        return cls(kept, part_of[chosen], row_of[chosen], begins + EDGE_S, start_s[chosen] - EDGE_S)

    def notice(self) -> str:
        """What there is, for the user."""
        minutes = float((self.end_s - self.start_s).sum()) / 60
        return f"data.no_speech_gaps: {len(self.row_of):,} gaps between rows of one recording, {minutes:.1f} minutes"

    def __call__(self, samples: int, rate_hz: int, draws: np.random.Generator) -> tuple[np.ndarray, str]:
        """A random excerpt of a random gap; a shorter gap is repeated.

        Returns:
            float32, shape (samples,), and the utterance id of the row after the gap.

        Raises:
            AudioError: the recording can no longer be read.
        """
        gap, place = int(draws.integers(len(self.row_of))), float(draws.random())
        start_s, end_s = float(self.start_s[gap]), float(self.end_s[gap])
        spare_s = max(0.0, end_s - start_s - samples / rate_hz)
        start_s += place * spare_s
        utterance = self.parts[self.part_of[gap]].utterance(int(self.row_of[gap]))
        excerpt = replace(utterance.recording, start_s=start_s, end_s=end_s - (1 - place) * spare_s, kept=None)
        return np.resize(to_float32(excerpt.samples()), samples), utterance.utterance_id


def _between(content: np.ndarray, start_s: np.ndarray, end_s: np.ndarray) -> list[tuple[int, float]]:
    """(row after the gap, where the speech before it ends) of each gap that is long enough; rows are in order."""
    gaps: list[tuple[int, float]] = []
    recording, spoken_to_s = None, np.inf
    for row, (own, begin_s, stop_s) in enumerate(zip(content.tolist(), start_s.tolist(), end_s.tolist(), strict=True)):
        if own != recording:
            recording, spoken_to_s = own, stop_s
            continue
        if begin_s - spoken_to_s >= SHORTEST_S + 2 * EDGE_S - 1e-9:
            gaps.append((row, spoken_to_s))
        spoken_to_s = max(spoken_to_s, stop_s)
    return gaps
