"""Parity: the same utterances transcribed here and in the other runtime, scored by the same scorer."""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

from transformers import WhisperForConditionalGeneration

from accel_asr.audio.decoding import to_float32
from accel_asr.audio.log_mel import log_mel
from accel_asr.data.loading.clip_items import ClipItems
from accel_asr.data.loading.items import FailedItem
from accel_asr.evaluation.intervals import Interval, paired_difference
from accel_asr.evaluation.normalizers import Normalizer
from accel_asr.evaluation.scoring import CorpusScore, ScoredUtterance, corpus_score, score_utterance
from accel_asr.exporting.exported_model import Clip, ExportedModel

MOST_DIFFERENCE_POINTS = 0.5  # of WER; 0.5 points are 5 more errors in 1000 words


@dataclass(frozen=True)
class Parity:
    """Scores here and there.

    Args:
        differing: Utterances whose transcripts differ, (here, there) of each.
        interval: 95%, paired, of WER there - WER here, as a fraction.
        most_points: The largest difference that passes.
    """

    here: CorpusScore
    there: CorpusScore
    differing: list[tuple[ScoredUtterance, ScoredUtterance]]
    interval: Interval
    most_points: float = MOST_DIFFERENCE_POINTS

    def points(self, rate: str = "wer") -> float:
        """there - here, in percentage points."""
        return 100 * (getattr(self.there, rate) - getattr(self.here, rate))

    @property
    def passed(self) -> bool:
        """Whether the WERs are at most `most_points` apart; an undefined WER never passes."""
        # 1e-9: half a percentage point is not a binary fraction
        return math.isfinite(self.points()) and abs(self.points()) <= self.most_points + 1e-9

    def interval_points(self) -> list[float] | None:
        """The interval in percentage points; None where no WER is defined."""
        low, high = (100 * bound for bound in self.interval)
        return [low, high] if math.isfinite(low) and math.isfinite(high) else None

    def record(self) -> dict[str, Any]:
        """The numbers for export.json."""
        return {
            "passed": self.passed,
            "utterances": self.here.utterances,
            "wer_here": self.here.wer,
            "wer_there": self.there.wer,
            "difference_points": self.points(),
            "difference_interval_points": self.interval_points(),
            "most_difference_points": self.most_points,
            "transcripts_that_differ": len(self.differing),
            "here": asdict(self.here),
            "there": asdict(self.there),
        }


def compare_transcripts(
    here: list[ScoredUtterance], there: list[ScoredUtterance], *, most_points: float = MOST_DIFFERENCE_POINTS
) -> Parity:
    """Compare the scores of the same utterances, in the same order."""
    pairs = list(zip(here, there, strict=True))
    assert all(ours.transcript.utterance_id == theirs.transcript.utterance_id for ours, theirs in pairs)
    return Parity(
        here=corpus_score(here),
        there=corpus_score(there),
        differing=[pair for pair in pairs if pair[0].transcript.hypothesis != pair[1].transcript.hypothesis],
        interval=paired_difference(there, here).interval,
        most_points=most_points,
    )


def score_exported(
    exported: ExportedModel,
    items: ClipItems,
    here: list[ScoredUtterance],
    *,
    model: WhisperForConditionalGeneration,
    normalizer: Normalizer,
    on_utterance: Callable[[int], object] = lambda count: None,
) -> list[ScoredUtterance]:
    """Transcribe every utterance of `items` with the exported model, and score it as those of `here` were.

    Args:
        here: Our own evaluation of the same items, in their order. Audio that failed there is not tried again.
        model: The model that was exported, for its generation settings.
    """
    scored = []
    for row, ours in enumerate(here):
        text, cut_off = "", False
        if ours.transcript.audio_problem is None:
            clip = read_clip(items, row, model=model)
            text, token_ids = exported.transcribe(clip)
            cut_off = len(token_ids) >= clip.max_new_tokens
        transcript = replace(ours.transcript, hypothesis=text, cut_off=cut_off)
        scored.append(score_utterance(transcript, normalizer))
        on_utterance(1)
    return scored


def read_clip(items: ClipItems, row: int, *, model: WhisperForConditionalGeneration) -> Clip:
    """One utterance as in an evaluation, with its own language, task and previous text."""
    utterance, item = items.utterances[row], items[0, row]
    assert not isinstance(item, FailedItem), item.reason
    settings, positions = model.generation_config, model.config.max_target_positions
    multilingual = bool(items.encoder.languages)
    start_ids = item.token_ids[: item.prompt_tokens + len(items.encoder.prefix())]
    return Clip(
        samples=to_float32(item.clip),
        features=log_mel(item.clip, items.feature_extractor),
        start_ids=tuple(start_ids),
        previous_ids=tuple(start_ids[1 : item.prompt_tokens]),
        language=items.encoder.token_language(utterance.language or settings.language) if multilingual else None,
        task=(utterance.task or settings.task) if multilingual else None,
        max_new_tokens=min(settings.max_new_tokens, positions - len(start_ids)),
    )
