"""Training from a stream: the windows of one rank, and the rows that are left out."""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from transformers import WhisperFeatureExtractor

from accel_asr.audio.augmentation import Augmentation
from accel_asr.audio.decoding import AudioError
from accel_asr.data.indexing.recordings import Recording
from accel_asr.data.labels import TASKS, LabelEncoder
from accel_asr.data.loading.batches import MicroBatches, batches_ahead
from accel_asr.data.loading.collator import Batch, Collator
from accel_asr.data.loading.items import ClipSpan, FailedItem, Item
from accel_asr.data.loading.row_seeds import row_seed
from accel_asr.data.order.plan_protocol import Plan
from accel_asr.data.reading.rows import Row
from accel_asr.data.reading.time_cells import length_fault, lengths_agree
from accel_asr.data.selection.overlap import VALIDATED_ON
from accel_asr.data.streaming.streams import Place, Stream, StreamOrder, digest_of
from accel_asr.model.languages import language_name

StreamKey = tuple[int, Row]  # (epoch, row)
MOST_LEFT_OUT_IN_A_ROW = 1_000  # rows; then an empty micro-batch is let through


@dataclass(frozen=True)
class StreamItems:
    """Rows of a stream as items, decoded in a worker process.

    `has_language`: the run has one, so rows need none. `seed` is the run's.
    """

    feature_extractor: WhisperFeatureExtractor
    encoder: LabelEncoder
    stream: Stream
    has_language: bool = True
    seed: int = 0
    augmentation: Augmentation | None = None

    def __getitem__(self, row: Row) -> Item | FailedItem:
        """The item, or why the row is left out; `is_filtered` if by a setting, not for a fault."""
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
        text_fault = self.stream.text.fault(row.text or "", duration_s=duration_s)
        text_fault = text_fault or self.stream.text.fault_of_previous(row.prompt or "")
        reason = ""
        if text_fault:
            reason = text_fault[0]
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
        """int16 at `rate_hz`, shape (samples,); a recording that was already cut to its segment is used whole.

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

    def of(self, keys: Sequence[StreamKey]) -> list[Item | FailedItem]:
        """The items of a batch."""
        items = []
        for epoch, row in keys:
            item = self[row]
            if isinstance(item, Item):
                item = replace(item, row_seed=row_seed(self.seed, epoch, row.utterance_id))
                item = item if self.augmentation is None else self._augmented(item, self.augmentation)
            items.append(item)
        return items

    def names(self, keys: Sequence[StreamKey]) -> list[str]:
        """The ids of these rows."""
        return [row.utterance_id for _, row in keys]

    def _augmented(self, item: Item, augmentation: Augmentation) -> Item:
        most = self.feature_extractor.n_samples
        heard = augmentation.clip(item.clip, row_seed=item.row_seed, most_samples=most)
        clip, first = augmentation.shifted(heard.samples, row_seed=item.row_seed, most_samples=most)
        return replace(item, clip=clip, spans=(ClipSpan(item.utterance_id, item.row_seed, first, len(clip)),))

    def _fault_of_columns(self, row: Row) -> str | None:
        """Why the row has no label: a wrong language would do silent harm."""
        if row.language and not self.encoder.knows_language(row.language):
            return f"the model does not know the language {row.language!r}"
        if not row.language and not self.has_language and self.encoder.languages:
            return "it has no language, and model.language is not set"
        if row.task and row.task not in TASKS:
            return f"its task {row.task!r} is neither {' nor '.join(TASKS)}"
        return None


class StreamWindows(MicroBatches):
    """The windows of one rank, from a place in its stream on; `place` is the one after the last returned window.

    Workers read ahead of the training, so each batch brings its own place. A micro-batch of which nothing is left is
    merged with the next: a small batch may be all of a window, and an empty window ends the run.
    """

    def __init__(
        self,
        items: StreamItems,
        order: StreamOrder,
        plan: Plan,
        *,
        collator: Collator,
        start: Place,
        num_workers: int,
        pin_memory: bool,
    ) -> None:
        self.place = start
        self._place = start  # after the last micro-batch; a window is returned only when complete
        self._left_out: list[FailedItem] = []
        self._places: deque[Place] = deque()  # of the micro-batches read ahead
        keys = _keys(order, start, size=plan.micro_batch_size, places=self._places)
        super().__init__(
            batches_ahead(items, keys, collator=collator, num_workers=num_workers, pin_memory=pin_memory),
            accumulation_steps=plan.accumulation_steps,
        )

    def ready(self, wait_s: float) -> list[Batch] | None:
        """As `MicroBatches.ready`."""
        window = super().ready(wait_s)
        if window is not None:
            self.place = self._place
        return window

    def _take(self, batch: Batch) -> None:
        self._place = self._places.popleft()
        self._left_out += batch.failed
        if batch.utterance_ids or len(self._left_out) >= MOST_LEFT_OUT_IN_A_ROW:
            self._window.append(replace(batch, failed=self._left_out))
            self._left_out = []


def _keys(order: StreamOrder, start: Place, *, size: int, places: deque[Place]) -> Iterator[list[StreamKey]]:
    """The rows of each micro-batch; `places` gets the place after each."""
    keys: list[StreamKey] = []
    for row, place in order.rows(start):
        keys.append((place.epoch, row))
        if len(keys) == size:
            places.append(place)
            yield keys
            keys = []
