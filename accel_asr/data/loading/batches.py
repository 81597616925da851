"""The batches of training and evaluation, and the worker processes that make them of items."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, TypeVar

import torch

from accel_asr.data.loading.clip_items import ClipItems
from accel_asr.data.loading.collator import Batch, Collator
from accel_asr.data.loading.items import FailedItem, Item
from accel_asr.data.loading.prefetch import POLL_S, MadeAhead
from accel_asr.data.order.epoch_order import PackKey, RowKey, WindowPlan

Key_contra = TypeVar("Key_contra", contravariant=True)


def micro_batches(
    plan: WindowPlan, *, rank: int, first_step: int, last_step: int
) -> Iterator[list[RowKey] | list[PackKey]]:
    """The rows of each micro-batch of one rank from `first_step` to `last_step`, both included."""
    for step in range(first_step, last_step + 1):
        yield from plan.micro_batches(step, rank)


class MicroBatches(Iterator[list[Batch]]):
    """The windows of one rank: lists of `accumulation_steps` micro-batches."""

    def __init__(self, batches: MadeAhead[Any, Batch], *, accumulation_steps: int) -> None:
        self._batches = batches
        self._accumulation_steps = accumulation_steps
        self._window: list[Batch] = []  # the micro-batches that have come of the next window

    def __next__(self) -> list[Batch]:
        while (window := self.ready(POLL_S)) is None:
            pass
        return window

    def ready(self, wait_s: float) -> list[Batch] | None:
        """The next window, or None if it isn't there after about `wait_s` seconds. As `MadeAhead.ready`."""
        while len(self._window) < self._accumulation_steps:
            batch = self._batches.ready(wait_s)
            if batch is None:
                return None
            self._take(batch)
        window, self._window = self._window, []
        return window

    def close(self) -> None:
        """End the workers."""
        self._batches.close()

    def _take(self, batch: Batch) -> None:
        self._window.append(batch)


class TrainingWindows(MicroBatches):
    """One rank's micro-batches of each step from `first_step` to `last_step`. Starting late costs nothing."""

    place: None = None  # the step is all that a resume needs

    def __init__(
        self,
        items: ClipItems,
        plan: WindowPlan,
        *,
        collator: Collator,
        rank: int,
        first_step: int,
        last_step: int,
        num_workers: int = 0,
        pin_memory: bool = False,
    ) -> None:
        keys = micro_batches(plan, rank=rank, first_step=first_step, last_step=last_step)
        super().__init__(
            batches_ahead(items, keys, collator=collator, num_workers=num_workers, pin_memory=pin_memory),
            accumulation_steps=plan.accumulation_steps,
        )


class KeyedItems(Protocol[Key_contra]):
    """Makes items of keys, in any process."""

    def of(self, keys: Sequence[Key_contra]) -> list[Item | FailedItem]: ...

    def names(self, keys: Sequence[Key_contra]) -> list[str]: ...


def batches_ahead(
    items: KeyedItems[Key_contra],
    keys: Iterable[Sequence[Key_contra]],
    *,
    collator: Collator,
    num_workers: int,
    pin_memory: bool = False,
) -> MadeAhead[Sequence[Key_contra], Batch]:
    """A batch of each list of keys, in order, made by worker processes."""
    make = partial(_batch, items=items, collator=collator)
    finish = partial(_pinned, device=torch.cuda.current_device()) if pin_memory else None
    return MadeAhead(make, keys, num_workers=num_workers, names=items.names, finish=finish)


def _batch(keys: Sequence[Key_contra], *, items: KeyedItems[Key_contra], collator: Collator) -> Batch:
    return collator(items.of(keys))


def _pinned(batch: Batch, *, device: int) -> Batch:
    torch.cuda.set_device(device)  # per thread; without it every rank would allocate on the first GPU
    return batch.pin_memory()


@dataclass(frozen=True)
class EvaluationBatch:
    """Rows that are transcribed together. `start_tokens`: how many tokens of each label the decoder is given."""

    rows: list[int]
    start_tokens: int


def evaluation_batches(items: ClipItems, batch_size: int) -> list[EvaluationBatch]:
    """The batches of an evaluation, longest clips first, each of one number of start tokens.

    They don't depend on the number of processes, so neither do the transcripts; ranks take them in turn.
    """
    encoder = items.encoder
    by_start: dict[int, list[tuple[float, int]]] = {}
    for row, utterance in enumerate(items.utterances):
        prompt = items.prompt_of(utterance)
        prompt_tokens = encoder.encode(utterance.text, prompt=prompt).prompt_tokens if prompt else 0
        by_start.setdefault(prompt_tokens + len(encoder.prefix()), []).append((-utterance.duration_s, row))
    batches = []
    for start_tokens, clips in sorted(by_start.items()):
        order = sorted(clips)
        for first in range(0, len(order), batch_size):
            piece = order[first : first + batch_size]
            batches.append(EvaluationBatch([row for _, row in piece], start_tokens))
    return batches


def evaluation_loader(
    items: ClipItems, batches: Sequence[EvaluationBatch], *, collator: Collator, num_workers: int
) -> MadeAhead[Sequence[RowKey | PackKey], Batch]:
    """Loads these batches, in order."""
    keys = [[(0, row) for row in batch.rows] for batch in batches]
    return batches_ahead(items, keys, collator=collator, num_workers=min(num_workers, len(batches)))
