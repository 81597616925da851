"""Utterances as items: each clip is decoded, with its label, when a batch needs it."""

import copy
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from transformers import WhisperFeatureExtractor

from accel_asr.audio.augmentation import Augmentation, AugmentedClip
from accel_asr.audio.decoding import AudioError
from accel_asr.data.labels import LabelEncoder
from accel_asr.data.loading.encoder_cache import EncoderCache
from accel_asr.data.loading.items import ClipSpan, FailedItem, Item
from accel_asr.data.loading.no_speech_rows import NoSpeechRows
from accel_asr.data.loading.row_seeds import is_drawn, row_seed
from accel_asr.data.loading.stitched_windows import StitchedWindows
from accel_asr.data.order.epoch_order import PackKey, RowKey
from accel_asr.data.order.packing import GAP_S
from accel_asr.data.selection.utterances import Utterance
from accel_asr.model.written_tokens import TimedWords


class ClipItems:
    """Utterances as items, indexed by (epoch, row): decoded on access, in a worker process.

    `of` also takes (epoch, rows), a pack: these clips one after another as one item, or with `stitched` a window of
    their recording. Rows after the last utterance are
    those of `no_speech`. Cheap to send to a process.
    """

    def __init__(
        self,
        utterances: Sequence[Utterance],
        *,
        feature_extractor: WhisperFeatureExtractor,
        encoder: LabelEncoder,
        timestamps_probability: float = 0.0,
        seed: int = 0,
        encoder_cache: EncoderCache | None = None,
        augmentation: Augmentation | None = None,
        no_speech: NoSpeechRows | None = None,
        prompt: str | None = None,
        previous_text_probability: float = 1.0,
        stitched: StitchedWindows | None = None,
    ) -> None:
        self.utterances = utterances
        self.feature_extractor = feature_extractor
        self.encoder = encoder
        self.timestamps_probability = timestamps_probability
        self.seed = seed
        self.encoder_cache = encoder_cache  # filled: items hold encoder outputs instead of audio
        self.augmentation = augmentation  # None: clips are heard as they are
        self.no_speech = no_speech
        self.prompt = prompt  # previous text, in place of the rows' own
        self.previous_text_probability = previous_text_probability  # that a row is given its previous text
        self.stitched = stitched  # packs of neighbours are windows of their recording

    def __getitem__(self, key: RowKey) -> Item | FailedItem:
        epoch, row = key
        if row >= len(self.utterances):
            return self._without_speech(epoch, (row,))
        utterance, seed = self.utterances[row], row_seed(self.seed, epoch, row)
        try:
            heard = self._heard(row, utterance, row_seed=seed, most_samples=self._window)
        except AudioError as error:
            return FailedItem(utterance.utterance_id, str(error))
        clip, first = self._after_silence(heard.samples, row_seed=seed)
        begin_s, window_s = (samples / self.feature_extractor.sampling_rate for samples in (first, self._window))
        is_timed = self._is_timed(epoch, row)
        label = self.encoder.encode(
            utterance.text,
            language=utterance.language,
            task=utterance.task,
            prompt=self.prompt_of(utterance) if self._has_previous_text(epoch, row) else None,
            timed=_moved(utterance.timed, rate=heard.rate, begin_s=begin_s) if is_timed else (),
        )
        if is_timed and not utterance.timed:
            end_s = min(begin_s + utterance.duration_s / heard.rate, window_s)  # a header may promise a little more
            label = self.encoder.with_timestamps(label, end_s, begin_s=begin_s)
        return Item(
            utterance.utterance_id,
            utterance.duration_s,
            clip,
            label.token_ids,
            label.prompt_tokens,
            spans=(ClipSpan(utterance.utterance_id, seed, first, len(clip)),) if first else (),
            row_seed=seed,
        )

    def of(self, keys: Sequence[RowKey | PackKey]) -> list[Item | FailedItem]:
        """An item for each key, or a `FailedItem` for a clip that could not be decoded."""
        items: list[Item | FailedItem] = []
        for epoch, rows in keys:
            if self.stitched is not None and isinstance(rows, tuple) and self._is_stitched(rows[0]):
                items += self.stitched.items(epoch, rows)
            elif isinstance(rows, tuple) and len(rows) > 1:
                items += self._packed(epoch, rows)
            else:
                items.append(self[epoch, rows[0] if isinstance(rows, tuple) else rows])
        return items

    @property
    def _window(self) -> int:
        """Samples in the model's window."""
        return int(self.feature_extractor.n_samples)

    def names(self, keys: Sequence[RowKey | PackKey]) -> list[str]:
        """The utterance ids of these keys."""
        rows = [row for _, rows in keys for row in (rows if isinstance(rows, tuple) else (rows,))]
        return [self._name(row) for row in rows]

    def prompt_of(self, utterance: Utterance) -> str | None:
        """The previous text that its decoder is given."""
        return self.prompt or utterance.prompt

    def first(self, count: int) -> "ClipItems":
        """The items of the first `count` utterances."""
        shortened = copy.copy(self)
        shortened.utterances = self.utterances[:count]
        return shortened

    def _packed(self, epoch: int, rows: tuple[int, ...]) -> list[Item | FailedItem]:
        """One item of all clips of a pack that can be decoded, and a `FailedItem` for each that can't."""
        if rows[0] >= len(self.utterances):  # they share no pack with utterances
            return [self._without_speech(epoch, rows)]
        rate_hz = self.feature_extractor.sampling_rate
        gap = np.zeros(round(GAP_S * rate_hz), dtype=np.int16)
        audio = np.zeros(0, dtype=np.int16)
        packed: list[Utterance] = []
        spans: list[ClipSpan] = []
        rates: list[float] = []
        failed: list[Item | FailedItem] = []
        for row in rows:
            utterance, seed = self.utterances[row], row_seed(self.seed, epoch, row)
            room = self._window - (len(audio) + len(gap) if packed else 0)
            try:
                heard = self._heard(row, utterance, row_seed=seed, most_samples=room)
            except AudioError as error:
                failed.append(FailedItem(utterance.utterance_id, str(error)))
                continue
            samples = heard.samples
            longer = np.concatenate([audio, gap, samples]) if packed else samples
            if len(samples) > room:
                length = f"{len(samples) / rate_hz:.2f} s"
                reason = f"its {length} do not fit where {utterance.duration_s:.2f} s were indexed"
                failed.append(FailedItem(utterance.utterance_id, reason))
                continue
            audio = longer
            packed.append(utterance)
            spans.append(ClipSpan(utterance.utterance_id, seed, len(audio) - len(samples), len(audio)))
            rates.append(heard.rate)
        if not packed:
            return failed
        audio, first_sample = self._after_silence(audio, row_seed=row_seed(self.seed, epoch, rows[0]))
        spans = [span.later(first_sample) for span in spans]
        first = packed[0]
        if self._is_timed(epoch, rows[0]):
            spans_s = [(span.first_sample / rate_hz, span.stop_sample / rate_hz) for span in spans]
            parts = [part for clip in zip(packed, spans_s, rates, strict=True) for part in _timed_parts(*clip)]
            parts[0] = replace(parts[0], text=parts[0].text.lstrip())
            label = self.encoder.timed_pack(parts, language=first.language, task=first.task)
        else:
            texts = [utterance.text for utterance in packed]
            label = self.encoder.encode(" ".join(texts), language=first.language, task=first.task)
        item = Item(
            first.utterance_id,
            sum(utterance.duration_s for utterance in packed),
            audio,
            label.token_ids,
            spans=tuple(spans),
            row_seed=spans[0].row_seed,
        )
        return [item, *failed]

    def _without_speech(self, epoch: int, rows: tuple[int, ...]) -> Item | FailedItem:
        assert self.no_speech is not None
        seeds = [row_seed(self.seed, epoch, row) for row in rows]
        # language and task of a random utterance, so that these tokens say nothing about speech
        spoken = self.utterances[seeds[0] % len(self.utterances)]
        label = self.encoder.without_speech(
            language=spoken.language, task=spoken.task, is_timed=self._is_timed(epoch, rows[0])
        )
        try:
            return self.no_speech.item([row - len(self.utterances) for row in rows], seeds, label)
        except AudioError as error:
            return FailedItem(self._name(rows[0]), str(error))

    def _name(self, row: int) -> str:
        if row < len(self.utterances):
            return self.utterances[row].utterance_id
        assert self.no_speech is not None
        return self.no_speech.name(row - len(self.utterances))

    def _is_timed(self, epoch: int, row: int) -> bool:
        return is_drawn(self.timestamps_probability, self.seed, epoch, row)

    def _has_previous_text(self, epoch: int, row: int) -> bool:
        share = self.previous_text_probability
        return share == 1 or is_drawn(share, self.seed, epoch, row, 1)

    def _is_stitched(self, row: int) -> bool:
        return self.stitched is not None and row < len(self.utterances) and self.stitched.has_neighbour(row)

    def _heard(self, row: int, utterance: Utterance, *, row_seed: int, most_samples: int) -> AugmentedClip:
        clip = self._clip(row, utterance)
        if self.augmentation is None:
            return AugmentedClip(clip)
        return self.augmentation.clip(clip, row_seed=row_seed, most_samples=most_samples)

    def _after_silence(self, samples: np.ndarray, *, row_seed: int) -> tuple[np.ndarray, int]:
        """(the samples, after silence if a shift is drawn; where they begin)."""
        if self.augmentation is None:
            return samples, 0
        return self.augmentation.shifted(samples, row_seed=row_seed, most_samples=self._window)

    def _clip(self, row: int, utterance: Utterance) -> np.ndarray:
        if self.encoder_cache is None:
            return utterance.samples()
        utterance.recording.require_not_replaced()
        outputs = self.encoder_cache.outputs(row)
        if outputs is None:
            utterance.samples()  # raises what is wrong with it
            raise AudioError("could not be decoded when the encoder outputs were computed")
        return outputs


def _moved(parts: Sequence[TimedWords], *, rate: float, begin_s: float) -> list[TimedWords]:
    """The parts of a clip that is heard `rate` times as fast, from `begin_s` on."""
    return [replace(part, start_s=begin_s + part.start_s / rate, end_s=begin_s + part.end_s / rate) for part in parts]


def _timed_parts(utterance: Utterance, span_s: tuple[float, float], rate: float) -> list[TimedWords]:
    """The text of an utterance that fills `span_s` of a pack: its parts at their times, or all of it over the span."""
    begin_s, end_s = span_s
    parts = _moved(utterance.timed, rate=rate, begin_s=begin_s) or [TimedWords(utterance.text, begin_s, end_s)]
    return [replace(parts[0], text=f" {parts[0].text}"), *parts[1:]]
