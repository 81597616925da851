"""The order of an epoch: which utterances are in which step, as pure functions of (seed, step, rank)."""

import json
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np

from accel_asr.console.printing import counted
from accel_asr.errors import UserError

RowKey = tuple[int, int]  # (epoch, row)
PackKey = tuple[int, tuple[int, ...]]  # (epoch, rows that share a window of the model)
EpochWindows = tuple[np.ndarray, list[tuple[int, int]]]  # rows in order; first and stop of each window in them
WINDOWS_SORTED_TOGETHER = 64  # by length; fewer would mix lengths, more would make epochs too similar


@dataclass(frozen=True)
class WindowPlan:
    """The order of training: optimizer step 1, 2, 3, ... each has one window of rows.

    A window is the global batch: processes x accumulation steps x micro-batch. Its rows depend on the seed and the
    step alone, however it is split over processes and micro-batches.

    Args:
        part_sizes: Rows of each part of a mixture; `weights` say how often each part's rows come, and without them
            every row comes once in an epoch.
        durations_s: Of each row, shape (rows,); the next two arguments need it.
        group_by_length: Windows hold rows of similar length.
        batch_seconds: Seconds of audio in a micro-batch, instead of `micro_batch_size` rows.
    """

    num_rows: int
    micro_batch_size: int
    accumulation_steps: int
    num_processes: int
    seed: int
    drop_last: bool
    part_sizes: tuple[int, ...] = ()
    weights: tuple[float, ...] = ()
    durations_s: np.ndarray | None = field(default=None, repr=False, compare=False)
    group_by_length: bool = False
    batch_seconds: float | None = None
    _recent: dict[int, EpochWindows] = field(default_factory=dict, init=False, repr=False, compare=False)
    _steps: dict[int, int] = field(default_factory=dict, init=False, repr=False, compare=False)  # of each epoch

    def __post_init__(self) -> None:
        if self.weights:
            counts = rows_of_each_part(self.part_sizes, self.weights)
            never = [
                f"source {number} (weight {weight:g})"
                for number, (count, weight) in enumerate(zip(counts, self.weights, strict=True), start=1)
                if count == 0
            ]
            if never:
                raise UserError(
                    f"no utterance of {', '.join(never)} would be used: its share of an epoch of {self.num_rows:,} is "
                    "less than one",
                    setting="--data.sources",
                    remedy="give it more weight, or leave it out",
                )
        if self.batch_seconds is not None:
            assert self.durations_s is not None
            longest_s = float(self.durations_s.max())
            if longest_s > self.batch_seconds:
                raise UserError(
                    f"is less than the longest utterance, {longest_s:.2f} s",
                    setting="--training.batch_seconds",
                    value=self.batch_seconds,
                    remedy="give more, or a smaller --data.max_duration_s",
                )
        if self.steps_in(0) == 0:
            micro = f"{self.micro_batch_size}" if self.batch_seconds is None else f"{self.batch_seconds:g} s"
            size = f"{self.window_size} {self.unit}" if self.batch_seconds is None else f"{self.window_seconds:g} s"
            setting = "per_device_train_batch_size" if self.batch_seconds is None else "batch_seconds"
            raise UserError(
                f"the global batch of {size} ({counted(self.num_processes, 'process', 'processes')} x "
                f"{counted(self.accumulation_steps, 'accumulation step')} x {micro}) is larger than "
                f"the {self._first_epoch()}",
                setting=f"--training.{setting}",
                value=self.batch_seconds or self.micro_batch_size,
                remedy="make it smaller, or set --training.dataloader_drop_last false",
            )

    @property
    def unit(self) -> str:
        """What micro-batches are counted in."""
        return "utterances"

    @property
    def epochs_differ(self) -> bool:
        """Whether epochs have different numbers of steps."""
        return self.batch_seconds is not None

    @property
    def window_size(self) -> int:
        return self.num_processes * self.accumulation_steps * self.micro_batch_size

    @property
    def window_seconds(self) -> float:
        return self.num_processes * self.accumulation_steps * (self.batch_seconds or 0.0)

    @property
    def order_checksum(self) -> int:
        """Of what the order depends on beside the seed, the rows and the size of the window."""
        parts = [self.drop_last, self.part_sizes if self.weights else (), self.weights, self.group_by_length]
        return zlib.crc32(json.dumps([*parts, self.batch_seconds is not None]).encode())

    def in_one_piece(self) -> "WindowPlan":
        """The same windows, each as a single micro-batch of a single process."""
        return replace(
            self,
            num_processes=1,
            accumulation_steps=1,
            micro_batch_size=self.window_size,
            batch_seconds=self.window_seconds if self.batch_seconds is not None else None,
        )

    def _first_epoch(self) -> str:
        """How much of it there is, for a message."""
        return f"{self.num_rows} training utterances"

    # -- epochs and steps

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps of the first epoch: of all, unless epochs differ."""
        return self.steps_in(0)

    def steps_in(self, epoch: int) -> int:
        """Optimizer steps of one epoch, counted from 0; the same for all unless epochs differ."""
        if self.epochs_differ:
            if epoch not in self._steps:  # each step asks for all epochs before it
                self._steps[epoch] = len(self._windows(epoch)[1])
            return self._steps[epoch]
        full, rest = divmod(self.num_rows, self.window_size)
        return full if self.drop_last or rest == 0 else full + 1

    def last_step(self, num_epochs: int) -> int:
        """The last optimizer step of `num_epochs` epochs."""
        if not self.epochs_differ:
            return num_epochs * self.steps_in(0)
        return sum(self.steps_in(epoch) for epoch in range(num_epochs))

    def epoch_of(self, step: int) -> int:
        """The epoch, from 0, that optimizer step `step`, from 1, belongs to."""
        return self.locate(step)[0]

    def locate(self, step: int) -> tuple[int, int]:
        """(epoch, window in it), both from 0, of optimizer step `step`, from 1."""
        if not self.epochs_differ:
            return divmod(step - 1, self.steps_in(0))
        epoch, before = 0, 0
        while before + self.steps_in(epoch) < step:
            before += self.steps_in(epoch)
            epoch += 1
        return epoch, step - 1 - before

    def rows_by(self, step: int) -> int:
        """All rows, whatever the step."""
        return self.num_rows

    def epochs_at(self, step: int) -> float:
        """Epochs done after `step`, such as 1.5."""
        if step == 0:
            return 0.0
        epoch, window = self.locate(step)
        return epoch + (window + 1) / self.steps_in(epoch)

    def ends_epoch(self, step: int) -> bool:
        """Whether `step` is the last of its epoch."""
        epoch, window = self.locate(step)
        return window + 1 == self.steps_in(epoch)

    def epoch_ends(self, last_step: int) -> list[int]:
        """The steps before `last_step` that end an epoch, in order."""
        ends, epoch, end = [], 0, self.steps_in(0)
        while end < last_step:
            ends.append(end)
            epoch += 1
            end += self.steps_in(epoch)
        return ends

    # -- rows

    def shuffled_rows(self, epoch: int) -> np.ndarray:
        """The rows of an epoch, before they are cut into windows."""
        return shuffled_rows(self.num_rows, self.part_sizes, self.weights, seed=self.seed, epoch=epoch)

    def window(self, step: int) -> np.ndarray:
        """The rows of optimizer step `step`, from 1: all of the global batch, fewer in a short last window."""
        epoch, number = self.locate(step)
        rows, windows = self._windows(epoch)
        first, stop = windows[number]
        return rows[first:stop]

    def micro_batches(self, step: int, rank: int) -> list[list[RowKey]]:
        """What `rank` trains on in `step`: always `accumulation_steps` micro-batches, empty where rows ran out."""
        epoch, rows = self.epoch_of(step), self.window(step)
        slots = self._by_seconds(rows) if self.batch_seconds is not None else self._by_rows(rows)
        mine = slots[rank :: self.num_processes]
        return [[(epoch, int(row)) for row in slot] for slot in mine]

    def _windows(self, epoch: int) -> EpochWindows:
        """Windows of the two epochs used last are cached: making them takes as long as a shuffle of all rows."""
        if epoch not in self._recent:
            while len(self._recent) > 1:
                self._recent.pop(next(iter(self._recent)))
            self._recent[epoch] = self._make_windows(epoch)
        return self._recent[epoch]

    def _make_windows(self, epoch: int) -> EpochWindows:
        return _make_windows(self, epoch)

    def _by_rows(self, rows: np.ndarray) -> list[np.ndarray]:
        size = self.micro_batch_size
        return [rows[first : first + size] for first in range(0, self.window_size, size)]

    def _by_seconds(self, rows: np.ndarray) -> list[list[int]]:
        """Longest first, each to the shortest micro-batch so far, so that all are about as long."""
        assert self.durations_s is not None
        slots: list[list[int]] = [[] for _ in range(self.num_processes * self.accumulation_steps)]
        seconds = np.zeros(len(slots))
        for row in rows[np.argsort(-self.durations_s[rows], kind="stable")]:
            least = int(np.argmin(seconds))
            slots[least].append(int(row))
            seconds[least] += self.durations_s[row]
        return slots


@lru_cache(maxsize=2)
def epoch_order(num_rows: int, seed: int, epoch: int) -> np.ndarray:
    """The shuffle of an epoch, shape (num_rows,): a pure function, the same on every rank and after any restart."""
    return np.random.default_rng((seed, epoch)).permutation(num_rows)


def rows_of_each_part(sizes: Sequence[int], weights: Sequence[float]) -> list[int]:
    """How many rows of an epoch, as long as all parts together, are of each part: by weight, rounded to the sum."""
    total = sum(sizes)
    exact = [total * weight / sum(weights) for weight in weights]
    counts = [int(share) for share in exact]
    by_rest = sorted(range(len(exact)), key=lambda part: counts[part] - exact[part])
    for part in by_rest[: total - sum(counts)]:
        counts[part] += 1
    return counts


def mixed_order(sizes: Sequence[int], weights: Sequence[float], *, seed: int, epoch: int) -> np.ndarray:
    """The rows of an epoch of a mixture, shuffled: a pure function.

    A part with more rows than an epoch takes is used up over several epochs before a row repeats. In a smaller part
    each row comes equally often, and some once more. Rows are numbered through all parts.
    """
    pieces = []
    first_row = 0
    for part, (size, count) in enumerate(zip(sizes, rows_of_each_part(sizes, weights), strict=True)):
        times, rest = divmod(count, size)
        turns = size // rest if rest else 1  # epochs that one shuffle of the part lasts for
        turn, place = divmod(epoch, turns)
        shuffled = np.random.default_rng((seed, part, turn)).permutation(size)
        chosen = [*[np.arange(size)] * times, shuffled[place * rest : (place + 1) * rest]]
        pieces += [rows + first_row for rows in chosen]
        first_row += size
    rows = np.concatenate(pieces)
    return rows[np.random.default_rng((seed, epoch)).permutation(len(rows))]


def shuffled_rows(
    num_rows: int, part_sizes: Sequence[int], weights: Sequence[float], *, seed: int, epoch: int
) -> np.ndarray:
    """The rows of an epoch: each once, or as often as the weights of a mixture say. A pure function."""
    if weights:
        return mixed_order(part_sizes, weights, seed=seed, epoch=epoch)
    return epoch_order(num_rows, seed, epoch)


def _make_windows(plan: WindowPlan, epoch: int) -> EpochWindows:
    rows = plan.shuffled_rows(epoch)
    full = _rows_of_full_windows(rows, plan)
    if plan.group_by_length and full:
        # not the short last window: it would hold the shortest rows in each epoch
        rows = np.concatenate([_sorted_in_pieces(rows[:full], plan), rows[full:]])
    windows = _cut(rows[:full], plan)
    if plan.group_by_length:  # else each epoch would go from long to short
        order = np.random.default_rng((plan.seed, epoch, 1)).permutation(len(windows))
        windows = [windows[number] for number in order]
    if full < len(rows) and not plan.drop_last:
        windows.append((full, len(rows)))
    return rows, windows


def _rows_of_full_windows(rows: np.ndarray, plan: WindowPlan) -> int:
    """How many rows come before the short last window of an epoch; all of them where there is none."""
    if plan.batch_seconds is None:
        return len(rows) - len(rows) % plan.window_size
    assert plan.durations_s is not None
    windows = _cut(rows, plan)
    last_is_short = len(windows) > 1 or plan.durations_s[rows].sum() < plan.window_seconds / 2
    return windows[-1][0] if last_is_short else len(rows)


def _cut(rows: np.ndarray, plan: WindowPlan) -> list[tuple[int, int]]:
    if plan.batch_seconds is None:
        return list(by_count(len(rows), plan.window_size))
    assert plan.durations_s is not None
    return list(_by_duration(plan.durations_s[rows], plan.window_seconds))


def _sorted_in_pieces(rows: np.ndarray, plan: WindowPlan) -> np.ndarray:
    assert plan.durations_s is not None
    durations_s = plan.durations_s[rows]
    size = plan.window_size
    if plan.batch_seconds is not None:
        size = max(1, round(plan.window_seconds / float(durations_s.mean())))
    pieces = []
    for first in range(0, len(rows), size * WINDOWS_SORTED_TOGETHER):
        piece = slice(first, first + size * WINDOWS_SORTED_TOGETHER)
        pieces.append(rows[piece][np.argsort(-durations_s[piece], kind="stable")])
    return np.concatenate(pieces)


def by_count(rows: int, size: int) -> Iterator[tuple[int, int]]:
    """First and stop of each window of `size` rows, the last of which may be short."""
    return ((first, min(first + size, rows)) for first in range(0, rows, size))


def _by_duration(durations_s: np.ndarray, most_s: float) -> Iterator[tuple[int, int]]:
    """Cut before the row that would make a window longer than `most_s`."""
    ends_s = np.cumsum(durations_s)
    first, before_s = 0, 0.0
    while first < len(durations_s):
        stop = max(first + 1, int(np.searchsorted(ends_s, before_s + most_s + 1e-6, side="right")))
        yield first, stop
        first, before_s = stop, float(ends_s[stop - 1])
