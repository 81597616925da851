"""Neighbours of one recording as windows of it, cut anew in each epoch: a pure function of (seed, epoch).

As OpenAI trained Whisper (Radford et al. 2022, section 2.3): a window is one stretch of the recording with its pauses,
labels carry the times of its utterances, and where the end of the window cuts an utterance in two, the label ends with
the time at which that one begins. The next window begins there, as it does when a long recording is transcribed.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from accel_asr.data.labels import LabelEncoder
from accel_asr.data.order.packing import label_groups, text_tokens
from accel_asr.data.selection.neighbours import NONE, next_rows, spans_s
from accel_asr.data.selection.utterances import Part, Utterances

# Of windows with a random length. Measured on rows of 0.5 to 7 s: without them, cuts come back to the same places soon
# after the first window, and 80% of all windows are the same in two epochs; so 20% are, and windows 86% full, not 92%
SHORT_SHARE = 0.1


@dataclass(frozen=True, slots=True)
class Stretch:
    """What is heard of a recording. `cut_at_s` is where an utterance begins that does not end in it."""

    start_s: float
    end_s: float
    cut_at_s: float | None = None


@dataclass(frozen=True)
class Stitching:
    """Which utterances follow one another in a recording. Arrays have the shape (utterances,).

    Args:
        next_row: The utterance that follows, or NONE.
        start_s, end_s: Of each, in its recording.
        tokens: Of each text with its times, at most, wherever it stands in a label.
        window_s: Length of a stretch at most.
        most_tokens: The most that a label has room for beside its special tokens.
    """

    next_row: np.ndarray = field(repr=False)
    start_s: np.ndarray = field(repr=False)
    end_s: np.ndarray = field(repr=False)
    tokens: np.ndarray = field(repr=False)
    window_s: float
    most_tokens: int

    @classmethod
    def of_utterances(
        cls,
        utterances: Utterances,
        *,
        encoder: LabelEncoder,
        groups: np.ndarray | None = None,
        validation: Sequence[Part],
        longest_pause_s: float,
        window_s: float,
    ) -> "Stitching":
        """Utterances of one recording, of equal language and task.

        Args:
            groups: Of equal groups instead, shape (utterances,).
            validation: Parts whose rows are never heard in a stretch.
            window_s: The model's window, or as much of a recording as fills it when it is slowed down.
        """
        start_s, end_s = spans_s(utterances)
        groups = label_groups(utterances, encoder) if groups is None else groups
        following = next_rows(utterances, validation, groups=groups, longest_pause_s=longest_pause_s)
        tokens, most_tokens = text_tokens(utterances, encoder, timestamps=True)
        return cls(following, start_s, end_s, tokens, window_s, most_tokens)

    def with_no_speech(self, durations_s: np.ndarray) -> "Stitching":
        """With more rows after these, without a text, each in a window of its own."""
        zeros = np.zeros(len(durations_s))
        return replace(
            self,
            next_row=np.concatenate([self.next_row, np.full(len(zeros), NONE)]),
            start_s=np.concatenate([self.start_s, zeros]),
            end_s=np.concatenate([self.end_s, durations_s]),
            tokens=np.concatenate([self.tokens, zeros.astype(np.int64)]),
        )

    @property
    def checksum(self) -> int:
        """Of all that windows depend on beside seed and epoch."""
        limits = np.array([self.window_s, self.most_tokens])
        checksum = zlib.crc32(b"recordings")
        for numbers in (self.next_row, self.start_s, self.end_s, self.tokens, limits):
            checksum = zlib.crc32(np.ascontiguousarray(numbers).tobytes(), checksum)
        return checksum

    @property
    def previous_row(self) -> np.ndarray:
        """The utterance that each one follows, or NONE."""
        before = np.full(len(self.next_row), NONE)
        linked = np.flatnonzero(self.next_row != NONE)
        before[self.next_row[linked]] = linked
        return before

    @property
    def has_neighbour(self) -> np.ndarray:
        """Whether each utterance is part of a longer stretch of its recording: bool, shape (utterances,)."""
        return (self.next_row != NONE) | (self.previous_row != NONE)

    def packs(self, rows: np.ndarray, draws: np.random.Generator | None = None) -> list[list[int]]:
        """`rows` in windows: each once, or as often as it is in `rows`; neighbours together, in their order.

        The first window of each run of neighbours and some of the others have random lengths, so that epochs cut at
        other places; without draws all are filled.
        """
        packs: list[list[int]] = []
        before = self.previous_row
        left = dict(zip(*(counts.tolist() for counts in np.unique(rows, return_counts=True)), strict=True))
        while left:
            present = np.zeros(len(self.next_row) + 1, dtype=bool)  # the last is that of NONE
            present[list(left)] = True
            heads = [row for row in dict.fromkeys(rows.tolist()) if row in left and not present[before[row]]]
            for head in heads:
                run = [head]
                while present[following := int(self.next_row[run[-1]])]:
                    run.append(following)
                packs += self._windows(run, draws)
            left = {row: count - 1 for row, count in left.items() if count > 1}
        return packs

    def _windows(self, run: Sequence[int], draws: np.random.Generator | None) -> list[list[int]]:
        """Consecutive neighbours in windows, which are filled but for those that are drawn to be shorter."""
        starts_s, ends_s, tokens = (numbers[run].tolist() for numbers in (self.start_s, self.end_s, self.tokens))
        is_one = ends_s[-1] - starts_s[0] <= self.window_s
        windows: list[list[int]] = []
        window: list[int] = []
        start_s, tokens_left = starts_s[0], self.most_tokens
        limit_s = self.window_s * (float(draws.random()) if draws is not None and not is_one else 1.0)
        for row, begin_s, end_s, count in zip(run, starts_s, ends_s, tokens, strict=True):
            if window and (end_s - start_s > limit_s or count > tokens_left):
                windows.append(window)
                window, start_s, tokens_left = [], begin_s, self.most_tokens
                is_short = draws is not None and draws.random() < SHORT_SHARE
                limit_s = self.window_s * (float(draws.random()) if draws is not None and is_short else 1.0)
            window.append(row)
            tokens_left -= count
        return [*windows, window]

    def stretch(self, rows: Sequence[int], *, is_cut: bool) -> Stretch:
        """What is heard of the recording in the window of these rows.

        Args:
            is_cut: Fill the window with the beginning of an utterance that does not fit; else it ends before that one.
        """
        start_s, end_s = float(self.start_s[rows[0]]), float(self.end_s[rows[-1]])
        following = self.next_row[rows[-1]]
        if following == NONE:
            return Stretch(start_s, end_s)
        next_s, full_s = float(self.start_s[following]), start_s + self.window_s
        if is_cut and next_s < full_s < self.end_s[following]:
            return Stretch(start_s, max(end_s, full_s), next_s)
        return Stretch(start_s, max(end_s, min(next_s, full_s)))

    def fill_share(self, packs: Sequence[Sequence[int]]) -> float:
        """How much of all windows is sound that is learnt, with its pauses, between 0 and 1."""
        heard_s = sum(float(self.end_s[pack[-1]] - self.start_s[pack[0]]) for pack in packs)
        return heard_s / (len(packs) * self.window_s)
