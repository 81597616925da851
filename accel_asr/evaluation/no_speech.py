"""What a model writes where nobody speaks: Whisper models write words there, and fine-tuning may make that worse."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from accelerate import Accelerator
from transformers import WhisperForConditionalGeneration, WhisperProcessor

from accel_asr.audio.decoding import to_int16
from accel_asr.audio.speechless_clips import speechless_clips
from accel_asr.console.public_text import shortened
from accel_asr.data.indexing.recordings import Recording
from accel_asr.data.labels import LabelEncoder
from accel_asr.data.loading.clip_items import ClipItems
from accel_asr.data.loading.collator import Collator
from accel_asr.data.selection.utterances import Utterance
from accel_asr.evaluation.decoding_settings import Decoding
from accel_asr.evaluation.evaluating import evaluate_model
from accel_asr.evaluation.intervals import Interval, share_interval
from accel_asr.evaluation.scoring import EditCounts, ScoredUtterance
from accel_asr.ranks.agreement import Agreement

LONGEST_EXAMPLE = 100  # characters of what was written: a model may loop
CHANCE = 0.05


@dataclass(frozen=True)
class MadeUpRecording(Recording):
    """A recording that was never recorded."""

    sound: np.ndarray | None = None

    def samples(self) -> np.ndarray:
        """int16, mono, at `sampling_rate_hz`, shape (samples,)."""
        assert self.sound is not None
        return self.sound


@dataclass(frozen=True)
class NoSpeechResult:
    """What was written for each clip.

    Args:
        scored: In a fixed order; `words` counts 1 error of 1 for a clip that got words, 0 of 1 for any other.
        kinds: Of each clip.
    """

    scored: list[ScoredUtterance]
    kinds: list[str]

    @property
    def with_words(self) -> int:
        return _with_words(self.scored)

    @property
    def interval(self) -> Interval:
        """Of the share of clips that get words: Wilson's, 95%."""
        return share_interval(self.with_words, len(self.scored))

    def record(self) -> dict[str, Any]:
        """As summary.json holds it; shares are fractions."""
        by_kind: dict[str, list[ScoredUtterance]] = {}
        for kind, clip in zip(self.kinds, self.scored, strict=True):
            by_kind.setdefault(kind, []).append(clip)
        written = [clip.transcript for clip in self.scored if clip.words and clip.words.errors]
        return {
            "clips": len(self.scored),
            "with_words": self.with_words,
            "share": self.with_words / len(self.scored),
            "share_interval": list(self.interval),
            "by_kind": {
                kind: {"clips": len(clips), "with_words": _with_words(clips)} for kind, clips in by_kind.items()
            },
            "written": {
                transcript.utterance_id: shortened(transcript.hypothesis, LONGEST_EXAMPLE) for transcript in written
            },
        }


def score_no_speech(
    model: WhisperForConditionalGeneration,
    processor: WhisperProcessor,
    encoder: LabelEncoder,
    decoding: Decoding,
    *,
    accelerator: Accelerator,
    collator: Collator,
    rows: Iterable[Utterance] = (),
    agreement: Agreement | None = None,
    on_batch: Callable[[int], object] = lambda clips: None,
) -> NoSpeechResult:
    """Transcribe clips without speech as an evaluation transcribes utterances. Every rank must call this.

    Args:
        rows: Of the data: where the model has no language of its own, any that these have will do.

    Raises:
        AgreedStopError: a rank was asked to stop; raised on every rank.
    """
    language = None
    if encoder.languages and decoding.language is None:
        language = next((utterance.language for utterance in rows if utterance.language), None)
    rate_hz = processor.feature_extractor.sampling_rate
    clips = [*speechless_clips(rate_hz, longest_s=processor.feature_extractor.n_samples / rate_hz)]
    utterances = [
        Utterance(
            clip.name,
            "",
            clip.duration_s,
            MadeUpRecording(None, rate_hz, sound=to_int16(clip.samples)),
            language=language,
        )
        for clip in clips
    ]
    items = ClipItems(
        utterances, feature_extractor=processor.feature_extractor, encoder=encoder, prompt=decoding.prompt
    )
    evaluation = evaluate_model(
        model, items, decoding, accelerator=accelerator, collator=collator, agreement=agreement, on_batch=on_batch
    )
    return NoSpeechResult([_as_counted(clip) for clip in evaluation.scored], [clip.kind for clip in clips])


@dataclass(frozen=True)
class NoSpeechChange:
    """Two models on the same clips: how many got words from only one of them, and how likely that is by chance.

    Args:
        p_value: Two-sided, by McNemar's test in its exact form (the sign test of the clips that differ).
    """

    only_before: int
    only_after: int
    p_value: float

    @property
    def verdict(self) -> str:
        """`better`, `worse`, `could be chance`, or `no difference`, as `Difference.verdict`."""
        if not self.only_before and not self.only_after:
            return "no difference"
        if self.p_value >= CHANCE:
            return "could be chance"
        return "better" if self.only_before > self.only_after else "worse"


def no_speech_change(before: Mapping[str, Any], after: Mapping[str, Any]) -> NoSpeechChange:
    """From the records of two models."""
    first, second = set(before["written"]), set(after["written"])
    only_before, only_after = len(first - second), len(second - first)
    differing = only_before + only_after
    as_uneven = sum(math.comb(differing, count) for count in range(min(only_before, only_after) + 1))
    return NoSpeechChange(only_before, only_after, min(1.0, 2 * as_uneven / 2**differing))


def _as_counted(clip: ScoredUtterance) -> ScoredUtterance:
    """With 1 error of 1 where there are words; punctuation is none."""
    has_words = any(letter.isalnum() for letter in clip.hypothesis_normalized)
    counts = EditCounts(0, 0, int(has_words), 1)
    return ScoredUtterance(clip.transcript, "", clip.hypothesis_normalized, counts, None, None, None)


def _with_words(scored: Sequence[ScoredUtterance]) -> int:
    return sum(clip.words.errors for clip in scored if clip.words)
