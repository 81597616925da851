"""Which utterances are in which batch: pure functions of (seed, step, rank), so that resuming skips nothing."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset
from transformers import WhisperFeatureExtractor

from accel_asr.data.collator import Batch, Collator, Item
from accel_asr.data.features import log_mel
from accel_asr.data.preparation import LabelEncoder, Utterance
from accel_asr.errors import UserError

RowKey = tuple[int, int]  # (epoch, row)


@dataclass(frozen=True)
class WindowPlan:
    """The order of training: optimizer step 1, 2, 3, ... each has one window of rows.

    A window is the global batch: processes x accumulation steps x micro-batch. Its rows depend on the seed and the
    step alone, so the same window is trained on however it is dealt out.
    """

    num_rows: int
    micro_batch_size: int
    accumulation_steps: int
    num_processes: int
    seed: int
    drop_last: bool

    def __post_init__(self) -> None:
        if self.steps_per_epoch == 0:
            raise UserError(
                f"training.per_device_train_batch_size: the global batch of {self.window_size} utterances "
                f"({self.num_processes} processes x {self.accumulation_steps} accumulation steps x "
                f"{self.micro_batch_size}) is larger than the {self.num_rows} training utterances; "
                "make it smaller, or set --training.dataloader_drop_last false"
            )

    @property
    def window_size(self) -> int:
        return self.num_processes * self.accumulation_steps * self.micro_batch_size

    @property
    def steps_per_epoch(self) -> int:
        full, rest = divmod(self.num_rows, self.window_size)
        return full if self.drop_last or rest == 0 else full + 1

    def epoch_of(self, step: int) -> int:
        """The epoch, from 0, that optimizer step `step`, from 1, belongs to."""
        return (step - 1) // self.steps_per_epoch

    def window(self, step: int) -> np.ndarray:
        """The rows of optimizer step `step`, from 1: all of the global batch, fewer in a short last window."""
        epoch = self.epoch_of(step)
        first = (step - 1 - epoch * self.steps_per_epoch) * self.window_size
        return epoch_order(self.num_rows, self.seed, epoch)[first : first + self.window_size]

    def micro_batches(self, step: int, rank: int) -> list[list[RowKey]]:
        """What `rank` trains on in `step`: always `accumulation_steps` micro-batches, empty where rows ran out."""
        epoch, rows = self.epoch_of(step), self.window(step)
        slots = [
            (micro * self.num_processes + rank) * self.micro_batch_size for micro in range(self.accumulation_steps)
        ]
        return [[(epoch, int(row)) for row in rows[slot : slot + self.micro_batch_size]] for slot in slots]


@lru_cache(maxsize=2)
def epoch_order(num_rows: int, seed: int, epoch: int) -> np.ndarray:
    """The shuffle of one epoch, shape (num_rows,): a pure function, the same on every rank and after any restart."""
    return np.random.default_rng((seed, epoch)).permutation(num_rows)


class MicroBatchSampler:
    """The micro-batches of one rank from `first_step` to `last_step`, both included."""

    def __init__(self, plan: WindowPlan, *, rank: int, first_step: int, last_step: int) -> None:
        self.plan, self.rank, self.first_step, self.last_step = plan, rank, first_step, last_step

    def __iter__(self) -> Iterator[list[RowKey]]:
        for step in range(self.first_step, self.last_step + 1):
            yield from self.plan.micro_batches(step, self.rank)

    def __len__(self) -> int:
        return max(self.last_step - self.first_step + 1, 0) * self.plan.accumulation_steps


class TrainingItems(Dataset[Item]):
    """Utterances as items, indexed by (epoch, row): features are computed on access, in a DataLoader worker."""

    def __init__(
        self,
        utterances: Sequence[Utterance],
        *,
        feature_extractor: WhisperFeatureExtractor,
        encoder: LabelEncoder,
        timestamps_probability: float = 0.0,
        seed: int = 0,
    ) -> None:
        self.utterances = utterances
        self.feature_extractor = feature_extractor
        self.encoder = encoder
        self.timestamps_probability = timestamps_probability
        self.seed = seed

    def __getitem__(self, key: RowKey) -> Item:
        epoch, row = key
        utterance = self.utterances[row]
        token_ids = utterance.token_ids
        # drawn from (seed, epoch, row), not from a worker's generator, so that a resumed run draws the same
        if self.timestamps_probability and (
            np.random.default_rng((self.seed, epoch, row)).random() < self.timestamps_probability
        ):
            token_ids = self.encoder.with_timestamps(token_ids, utterance.duration_s)
        features = log_mel(utterance.samples, self.feature_extractor)
        return Item(utterance.utterance_id, utterance.duration_s, features, token_ids)


def training_windows(
    items: TrainingItems,
    plan: WindowPlan,
    *,
    collator: Collator,
    rank: int,
    first_step: int,
    last_step: int,
    num_workers: int,
    pin_memory: bool,
    worker_init: Callable[[int], None] | None = None,
) -> Iterator[list[Batch]]:
    """Yield, for each optimizer step, this rank's micro-batches. Starting late costs nothing."""
    loader = DataLoader(
        items,
        batch_sampler=MicroBatchSampler(plan, rank=rank, first_step=first_step, last_step=last_step),
        collate_fn=collator,
        num_workers=num_workers,
        pin_memory=pin_memory,
        worker_init_fn=worker_init,
        generator=torch.Generator(),  # else its base seed is drawn from where dropout draws: not so after a resume
    )
    window: list[Batch] = []
    for batch in loader:
        window.append(batch)
        if len(window) == plan.accumulation_steps:
            yield window
            window = []


def evaluation_batches(durations_s: Sequence[float], batch_size: int) -> list[list[int]]:
    """Rows of each evaluation batch, longest first: alike lengths decode together.

    The batches do not depend on the number of processes, so neither do the transcripts; ranks take them in turn.
    """
    order = sorted(range(len(durations_s)), key=lambda row: (-durations_s[row], row))
    return [order[first : first + batch_size] for first in range(0, len(order), batch_size)]
