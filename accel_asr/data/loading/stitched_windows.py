"""Windows of one recording as items: one stretch of its audio, and what is said in it with its times."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from transformers import WhisperFeatureExtractor

from accel_asr.audio.augmentation import Augmentation, AugmentedClip
from accel_asr.audio.decoding import AudioError
from accel_asr.data.labels import LabelEncoder
from accel_asr.data.loading.items import ClipSpan, FailedItem, Item
from accel_asr.data.loading.row_seeds import is_drawn, row_seed
from accel_asr.data.order.stitching import NONE, Stitching
from accel_asr.data.selection.utterances import Utterance
from accel_asr.model.written_tokens import TimedWords, joint

PREVIOUS_CHARACTERS = 1_000  # more than the 223 tokens that a prompt has room for hold, in most languages


@dataclass(frozen=True)
class StitchedWindows:
    """Makes the items of windows. Cheap to send to a process.

    Args:
        timestamps_probability: Share of the windows whose labels have times.
        previous_text_probability: Share of the windows whose decoder is given the text before.
        augmentation: Of each window as a whole; None: it is heard as it is.
    """

    utterances: Sequence[Utterance]
    stitching: Stitching
    feature_extractor: WhisperFeatureExtractor
    encoder: LabelEncoder
    timestamps_probability: float
    previous_text_probability: float
    seed: int
    augmentation: Augmentation | None = None

    @cached_property
    def _before(self) -> np.ndarray:
        return self.stitching.previous_row

    def has_neighbour(self, row: int) -> bool:
        """Whether a row is part of a longer stretch of its recording."""
        return bool(self.stitching.next_row[row] != NONE or self._before[row] != NONE)

    def items(self, epoch: int, rows: tuple[int, ...]) -> list[Item | FailedItem]:
        """One item of neighbours, in their order; or a `FailedItem` of each if their recording can't be decoded."""
        utterances = [self.utterances[row] for row in rows]
        first, seed = utterances[0], row_seed(self.seed, epoch, rows[0])
        is_timed = is_drawn(self.timestamps_probability, self.seed, epoch, rows[0])
        stretch = self.stitching.stretch(rows, is_cut=is_timed)
        recording = replace(first.recording, start_s=stretch.start_s, end_s=stretch.end_s, kept=None)
        rate_hz, window = self.feature_extractor.sampling_rate, int(self.feature_extractor.n_samples)
        try:
            heard = AugmentedClip(recording.samples()[:window])
            if self.augmentation is not None:
                heard = self.augmentation.clip(heard.samples, row_seed=seed, most_samples=window)
        except AudioError as error:
            return [FailedItem(utterance.utterance_id, str(error)) for utterance in utterances]
        clip, silence = heard.samples, 0
        if self.augmentation is not None:
            clip, silence = self.augmentation.shifted(clip, row_seed=seed, most_samples=window)

        def heard_at_s(time_s: float) -> float:
            return (silence + (time_s - stretch.start_s) * rate_hz / heard.rate) / rate_hz

        bounds_s = [
            (heard_at_s(self.stitching.start_s[row]), min(heard_at_s(self.stitching.end_s[row]), len(clip) / rate_hz))
            for row in rows
        ]
        parts = _timed_parts(utterances, bounds_s, rate=heard.rate)
        label = self.encoder.encode(
            "".join(part.text for part in parts),
            language=first.language,
            task=first.task,
            prompt=self._previous_text(epoch, rows[0]),
            timed=parts if is_timed else (),
            cut_at_s=None if stretch.cut_at_s is None else heard_at_s(stretch.cut_at_s),
        )
        firsts = [max(0, round(begin_s * rate_hz)) for begin_s, _ in bounds_s]
        spans = tuple(
            ClipSpan(utterance.utterance_id, row_seed(self.seed, epoch, row), begin, stop)
            for utterance, row, begin, stop in zip(utterances, rows, firsts, [*firsts[1:], len(clip)], strict=True)
        )
        duration_s = sum(utterance.duration_s for utterance in utterances)
        return [
            Item(first.utterance_id, duration_s, clip, label.token_ids, label.prompt_tokens, spans=spans, row_seed=seed)
        ]

    def _previous_text(self, epoch: int, row: int) -> str | None:
        """The row's own, or else the texts of the rows before it."""
        if not is_drawn(self.previous_text_probability, self.seed, epoch, row, 1):
            return None
        if own := self.utterances[row].prompt:
            return own
        text = ""
        while (row := int(self._before[row])) != NONE and len(text) < PREVIOUS_CHARACTERS:
            before = self.utterances[row].text
            text = before + joint(before, text) + text if text else before
        return text or None


def _timed_parts(
    utterances: Sequence[Utterance], bounds_s: Sequence[tuple[float, float]], *, rate: float
) -> list[TimedWords]:
    """The texts of neighbours in parts with their times in the window, none of which begins before the last ended."""
    parts: list[TimedWords] = []
    for utterance, (begin_s, end_s) in zip(utterances, bounds_s, strict=True):
        own = [
            replace(part, start_s=begin_s + part.start_s / rate, end_s=begin_s + part.end_s / rate)
            for part in utterance.timed
        ] or [TimedWords(utterance.text, begin_s, end_s)]
        if parts:
            own[0] = replace(own[0], text=joint(parts[-1].text, own[0].text) + own[0].text)
        for part in own:
            start_s = max(part.start_s, parts[-1].end_s if parts else 0.0)
            parts.append(replace(part, start_s=start_s, end_s=max(start_s, part.end_s)))
    return parts
