"""Short utterances packed into whole windows of the model: which go together, as a pure function of (seed, epoch).

Whisper pads every clip to its window, so ten clips of 3 s cost ten windows, and packed one or two. It is not the same
training: the clips of a pack are heard one after another, and their texts are one label, joined by a space.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Protocol

import numpy as np

from accel_asr.data.labels import LabelEncoder
from accel_asr.data.order.epoch_order import EpochWindows, PackKey, WindowPlan, by_count
from accel_asr.data.selection.preparation import label_lengths
from accel_asr.data.selection.utterances import Utterances

# As long as a pause between phrases: two clips that were cut tightly are not heard as one word. It is digital silence,
# as the padding is; of clips of 3 s it takes 6% of a window.
GAP_S = 0.2
# Windows that are filled at a time, best fit. Measured on clips of 2 to 15 s and a window of 30 s: one (next fit) is
# 82% full, 2 are 90%, 16 are 96%, and so are 64, which take thrice the time.
OPEN_WINDOWS = 16
ALONE = -1  # the group of those that share no pack


class Packer(Protocol):
    """Says which rows share a window."""

    @property
    def checksum(self) -> int:
        """Of all that windows depend on beside the order of the rows and the draws."""

    def packs(self, rows: np.ndarray, draws: np.random.Generator) -> list[list[int]]:
        """`rows` in windows."""

    def fill_share(self, packs: Sequence[Sequence[int]]) -> float:
        """How much of all windows is sound, between 0 and 1."""


@dataclass(frozen=True)
class Packing:
    """What decides which utterances share a pack. Arrays have the shape (utterances,).

    Args:
        samples: Of each clip, at the model's rate, and no fewer than decoding gives.
        tokens: Of each text, at most, wherever it stands in a label.
        groups: Only utterances of the same group share a pack; those of ALONE never share.
        window_samples: Length of the model's window.
        gap_samples: Silence between two clips.
        most_tokens: The most that a label has room for beside its special tokens.
    """

    samples: np.ndarray = field(repr=False)
    tokens: np.ndarray = field(repr=False)
    groups: np.ndarray = field(repr=False)
    window_samples: int
    gap_samples: int
    most_tokens: int

    @classmethod
    def of_utterances(
        cls,
        utterances: Utterances,
        *,
        encoder: LabelEncoder,
        sampling_rate_hz: int,
        window_s: float,
        timestamps: bool = False,
        slowest: float = 1.0,
    ) -> "Packing":
        """Utterances of equal language and task form a group; those with a prompt stay alone, or it would be lost.

        Args:
            timestamps: Labels may say when each text begins and ends.
            slowest: How many times as long as it was a clip may become.
        """
        tokens, most_tokens = text_tokens(utterances, encoder, timestamps=timestamps)
        return cls(
            # + 1 for the rounding of resampling
            samples=np.ceil(utterances.durations_s() * slowest * sampling_rate_hz).astype(np.int64) + 1,
            tokens=tokens,
            groups=np.where(_has_prompt(utterances), ALONE, label_groups(utterances, encoder)),
            window_samples=int(window_s * sampling_rate_hz),
            gap_samples=round(GAP_S * sampling_rate_hz),
            most_tokens=most_tokens,
        )

    def with_no_speech(self, durations_s: np.ndarray, *, sampling_rate_hz: int) -> "Packing":
        """With more rows after these, without a text, which share packs among themselves only."""
        samples = np.ceil(durations_s * sampling_rate_hz).astype(np.int64) + 1
        group = self.groups.max(initial=ALONE) + 1
        return replace(
            self,
            samples=np.concatenate([self.samples, samples]),
            tokens=np.concatenate([self.tokens, np.zeros_like(samples)]),
            groups=np.concatenate([self.groups, np.full_like(samples, group)]),
        )

    @property
    def checksum(self) -> int:
        """Of all that packs depend on beside the order that they are filled in."""
        limits = np.array([self.window_samples, self.gap_samples, self.most_tokens, OPEN_WINDOWS])
        checksum = 0
        for numbers in (self.samples, self.tokens, self.groups, limits):
            checksum = zlib.crc32(numbers.tobytes(), checksum)
        return checksum

    def packs(self, rows: np.ndarray, draws: np.random.Generator | None = None) -> list[list[int]]:
        """`rows` in packs, without draws.

        Each goes to the open window of its group that it fills best, or opens a new one.
        """
        gap = self.gap_samples
        packs: list[list[int]] = []
        open_windows: dict[int, list[_Window]] = {}
        columns = (rows, self.samples[rows], self.tokens[rows], self.groups[rows])
        for row, samples, tokens, group in zip(*(column.tolist() for column in columns), strict=True):
            if group == ALONE:
                packs.append([row])
                continue
            windows = open_windows.setdefault(group, [])
            best = None
            for window in windows:
                fits = samples + gap <= window.samples_left and tokens <= window.tokens_left
                if fits and (best is None or window.samples_left < best.samples_left):
                    best = window
            if best is None:
                if len(windows) == OPEN_WINDOWS:
                    fullest = min(windows, key=_samples_left)
                    windows.remove(fullest)
                    packs.append(fullest.rows)
                windows.append(_Window([row], self.window_samples - samples, self.most_tokens - tokens))
            else:
                best.rows.append(row)
                best.samples_left -= samples + gap
                best.tokens_left -= tokens
        packs += [window.rows for windows in open_windows.values() for window in windows]
        return packs

    def fill_share(self, packs: Sequence[Sequence[int]]) -> float:
        """How much of all windows is sound, between 0 and 1."""
        sound = sum(int(self.samples[pack].sum()) for pack in packs)
        return sound / (len(packs) * self.window_samples)


@dataclass(frozen=True)
class PackPlan(WindowPlan):
    """A `WindowPlan` that counts packs: its micro-batches are of `micro_batch_size` of them.

    Every epoch is packed anew, so that not the same clips are always together; it has more steps or fewer than others.
    """

    packing: Packer = field(kw_only=True, compare=False)
    # by epoch: where in its rows each pack begins, and the end
    _starts: dict[int, np.ndarray] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def unit(self) -> str:
        return "packed windows"

    @property
    def epochs_differ(self) -> bool:
        return True

    @property
    def order_checksum(self) -> int:
        return zlib.crc32(f"{super().order_checksum} packed {self.packing.checksum}".encode())

    def micro_batches(self, step: int, rank: int) -> list[list[PackKey]]:  # type: ignore[override]
        """As that of a `WindowPlan`, with the rows of a pack in place of a row."""
        epoch, number = self.locate(step)
        rows, _ = self._windows(epoch)
        starts = self._starts[epoch][number * self.window_size : (number + 1) * self.window_size + 1].tolist()
        packs = [(epoch, tuple(rows[first:stop].tolist())) for first, stop in pairwise(starts)]
        size = self.micro_batch_size
        slots = [packs[first : first + size] for first in range(0, self.window_size, size)]
        return slots[rank :: self.num_processes]

    def _first_epoch(self) -> str:
        packs = len(packs_of_epoch(self.packing, self.shuffled_rows(0), seed=self.seed, epoch=0))
        return f"{packs} windows that the {self.num_rows} training utterances are packed into"

    def _make_windows(self, epoch: int) -> EpochWindows:
        packs = packs_of_epoch(self.packing, self.shuffled_rows(epoch), seed=self.seed, epoch=epoch)
        # else the windows that never filled up would come at the end of each epoch
        order = np.random.default_rng((self.seed, epoch, 1)).permutation(len(packs))
        starts = np.cumsum([0, *(len(packs[number]) for number in order)])
        windows = [(int(starts[first]), int(starts[stop])) for first, stop in by_count(len(packs), self.window_size)]
        full = len(packs) // self.window_size
        if self.drop_last:
            # a later epoch may have a pack fewer, so that no window is full: then it is its only window
            windows = windows[:full] or (windows if epoch else [])
        for old in self._starts.keys() - self._recent.keys():
            del self._starts[old]
        self._starts[epoch] = starts
        return np.concatenate([packs[number] for number in order]), windows


def packs_of_epoch(packer: Packer, rows: np.ndarray, *, seed: int, epoch: int) -> list[list[int]]:
    """The rows of an epoch in windows: a pure function."""
    return packer.packs(rows, np.random.default_rng((seed, epoch, 2)))


@dataclass(slots=True)
class _Window:
    """A window that is being filled."""

    rows: list[int]
    samples_left: int
    tokens_left: int


def _samples_left(window: _Window) -> int:
    return window.samples_left


def text_tokens(utterances: Utterances, encoder: LabelEncoder, *, timestamps: bool) -> tuple[np.ndarray, int]:
    """Tokens of each text at most, wherever it stands in a label, shape (utterances,); and what a label has room for.

    Args:
        timestamps: Labels may say when each text begins and ends.
    """
    around = len(encoder.prefix()) + 1  # and the end of the text
    first = utterances.numbers(lambda part: label_lengths(part, encoder))
    after_another = utterances.numbers(lambda part: label_lengths(part, encoder, follows=True))
    tokens = np.maximum(first, after_another).astype(np.int64) - around + 2 * timestamps
    return tokens, encoder.max_label_tokens - around


def label_groups(utterances: Utterances, encoder: LabelEncoder) -> np.ndarray:
    """A number for each language and task, shape (utterances,): utterances with equal ones may share a label."""
    groups = np.empty(len(utterances), dtype=np.int64)
    numbers: dict[tuple[int, ...], int] = {}
    for number, part in enumerate(utterances.parts):
        mine = np.flatnonzero(utterances.part_of == number)
        cells = [part.index.texts_of(name, utterances.row_of[mine]) for name in ("language", "task")]
        groups_by_cells: dict[tuple[str | None, str | None], int] = {}
        for place, language, task in zip(mine.tolist(), *cells, strict=True):
            if (language, task) not in groups_by_cells:
                # the decoder's prompt: a row that repeats the run's language is in the same group as a row without one
                prefix = encoder.prefix(*part.language_and_task(language, task))
                groups_by_cells[language, task] = numbers.setdefault(prefix, len(numbers))
            groups[place] = groups_by_cells[language, task]
    return groups


def _has_prompt(utterances: Utterances) -> np.ndarray:
    return np.array([bool(prompt and prompt.strip()) for prompt in utterances.cells("prompt")], dtype=bool)
