"""Training from a stream: the windows of one rank, and what is left out on the way."""

import json
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset
from transformers import WhisperFeatureExtractor

from accel_asr.data.collator import Batch, Collator, FailedItem, Item
from accel_asr.data.decoding.audio import AudioError
from accel_asr.data.indexing.recordings import Recording
from accel_asr.data.labels import TASKS, LabelEncoder
from accel_asr.data.languages import language_name
from accel_asr.data.overlap import VALIDATED_ON
from accel_asr.data.reading.rows import Row
from accel_asr.data.reading.time_cells import length_fault, lengths_agree
from accel_asr.data.streaming.streams import Place, Stream, StreamOrder, digest_of

MOST_LEFT_OUT_IN_A_ROW = 1_000  # rows; then a micro-batch is empty


@dataclass(frozen=True)
class StreamPlan:
    """The windows of a stream. It has no epochs that could be counted in steps, so the run says how many steps it has.

    As a `WindowPlan`, but that the rows of a window depend on the number of processes.
    """

    micro_batch_size: int
    accumulation_steps: int
    num_processes: int
    seed: int
    block_rows: int
    batch_seconds: None = None
    unit: str = "utterances"
    steps_per_epoch: int = 0
    num_rows: int = 0
    fewest_rows: int = 1_000  # that a share of failures is taken of

    @property
    def window_size(self) -> int:
        return self.num_processes * self.accumulation_steps * self.micro_batch_size

    @property
    def order_checksum(self) -> int:
        """Of what the order depends on beside the seed and the source."""
        return zlib.crc32(json.dumps([self.block_rows]).encode())

    def rows_by(self, step: int) -> int:
        """Rows that have been seen by `step`, of which failures are a share; never so few that it says nothing."""
        return max(step * self.window_size, self.fewest_rows)

    def epochs_at(self, step: int) -> float:
        """Not known."""
        return 0.0

    def ends_epoch(self, step: int) -> bool:
        """Never."""
        return False


@dataclass(frozen=True)
class StreamItems(Dataset[Item | FailedItem]):
    """Rows of a stream as items: decoded in a DataLoader worker.

    `has_language`: the run itself has one, so that a row need not say it.
    """

    feature_extractor: WhisperFeatureExtractor
    encoder: LabelEncoder
    stream: Stream
    has_language: bool = True

    def __getitem__(self, row: Row) -> Item | FailedItem:
        """The item, or why the row is left out; `is_filtered` if by a setting and not by a fault."""
        rate_hz = self.feature_extractor.sampling_rate
        text = self.stream.text(row.text or "")
        if not text:
            return FailedItem(row.utterance_id, "no text", is_filtered=True)
        if self.stream.validated and digest_of(row) in self.stream.validated:
            return FailedItem(row.utterance_id, VALIDATED_ON, is_filtered=True)
        fault = row.problem or self._fault_of_columns(row)
        if fault:
            return FailedItem(row.utterance_id, fault)
        try:
            samples = self._samples(row, rate_hz)
        except AudioError as error:
            return FailedItem(row.utterance_id, str(error))
        duration_s = len(samples) / rate_hz
        most = self.encoder.max_label_tokens
        written = self.stream.text.fault(row.text or "", duration_s=duration_s)
        written = written or self.stream.text.fault_of_previous(row.prompt or "")
        reason = ""
        if written:
            reason = written[0]
        elif duration_s > self.stream.max_duration_s:
            reason = f"longer than {self.stream.max_duration_s:g} s"
        elif not self.stream.cut_long_labels and self.encoder.lengths([text])[0] > most:
            reason = f"label longer than {most} tokens"
        if reason:
            return FailedItem(row.utterance_id, reason, is_filtered=True)
        language = language_name(row.language) if row.language else None
        prompt = self.stream.text.previous(row.prompt)
        label = self.encoder.encode(text, language=language, task=row.task, prompt=prompt)
        return Item(row.utterance_id, duration_s, samples, label.token_ids, label.prompt_tokens)

    def _samples(self, row: Row, rate_hz: int) -> np.ndarray:
        """int16 at `rate_hz`, shape (samples,); all of a recording that was cut to its segment already.

        Raises:
            AudioError: it can't be decoded, has no such segment, or is not as long as the row says.
        """
        recording = Recording(row.audio, rate_hz, row.start_s, row.end_s, self.stream.channel)
        try:
            samples = recording.samples()
        except AudioError:
            if row.start_s is None or row.end_s is None:
                raise
            whole = replace(recording, start_s=None, end_s=None).samples()
            if not lengths_agree(row.end_s - row.start_s, len(whole) / rate_hz):
                raise
            return whole
        if row.start_s is None and row.end_s is None:
            fault = length_fault(row.stated_s, len(samples) / rate_hz, sampling_rate_hz=rate_hz)
            if fault is not None:
                raise AudioError(fault)
        return samples

    def _fault_of_columns(self, row: Row) -> str | None:
        """Why the row has no label: one that is taught in a wrong language does harm in silence."""
        if row.language and not self.encoder.knows_language(row.language):
            return f"the model does not know the language {row.language!r}"
        if not row.language and not self.has_language and self.encoder.languages:
            return "it says no language, and model.language is not set"
        if row.task and row.task not in TASKS:
            return f"its task {row.task!r} is neither {' nor '.join(TASKS)}"
        return None


class StreamWindows(Iterator[list[Batch]]):
    """The windows of one rank, from a place in its stream on; `place` is where it is after the window given last.

    Workers are ahead of the training, and what they have read is not yet trained on: each batch brings its own place.
    A micro-batch of which nothing is left is made one with the next: with small batches it would else be all of a
    window, which ends the run.
    """

    def __init__(
        self,
        items: StreamItems,
        order: StreamOrder,
        plan: StreamPlan,
        *,
        collator: Collator,
        start: Place,
        num_workers: int,
        pin_memory: bool,
        worker_init: Callable[[int], None] | None = None,
    ) -> None:
        self.place = start
        self._accumulation_steps = plan.accumulation_steps
        self._places: deque[Place] = deque()
        self._batches: Iterator[Batch] = iter(
            DataLoader(
                items,
                batch_sampler=_keys(order, start, size=plan.micro_batch_size, places=self._places),
                collate_fn=collator,
                num_workers=num_workers,
                pin_memory=pin_memory,
                worker_init_fn=worker_init,
                generator=torch.Generator(),
            )
        )

    def __next__(self) -> list[Batch]:
        return [self._micro_batch() for _ in range(self._accumulation_steps)]

    def _micro_batch(self) -> Batch:
        left_out: list[FailedItem] = []
        while True:
            batch = next(self._batches)
            self.place = self._places.popleft()
            left_out += batch.failed
            if batch.utterance_ids or len(left_out) >= MOST_LEFT_OUT_IN_A_ROW:
                return replace(batch, failed=left_out)

    def close(self) -> None:
        """End the workers: they leave signals alone, so that nothing else would."""
        self._batches = iter(())


def _keys(order: StreamOrder, start: Place, *, size: int, places: deque[Place]) -> Iterator[list[Row]]:
    """The rows of each micro-batch; `places` gets the place after each."""
    keys: list[Row] = []
    for row, place in order.rows(start):
        keys.append(row)
        if len(keys) == size:
            places.append(place)
            yield keys
            keys = []
