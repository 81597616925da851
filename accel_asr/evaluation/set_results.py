"""What is told of one evaluated set, and of two models on it; as plain values for a JSON file."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from accel_asr.evaluation.alignments import confusions
from accel_asr.evaluation.breakdowns import PartScore, breakdowns
from accel_asr.evaluation.comparing import Change, Comparison
from accel_asr.evaluation.evaluating import Evaluation
from accel_asr.evaluation.evaluation_sets import EvaluationSet
from accel_asr.evaluation.hallucinations import find_hallucinations
from accel_asr.evaluation.scoring import ScoredUtterance

EXAMPLES = 20


@dataclass(frozen=True)
class SetResult:
    """A set, its scores and transcripts."""

    evaluated: EvaluationSet
    evaluation: Evaluation

    @property
    def scored(self) -> list[ScoredUtterance]:
        return self.evaluation.scored

    @property
    def audio_s(self) -> float:
        """Seconds of audio that were transcribed."""
        return sum(utterance.transcript.duration_s for utterance in self.scored)

    @property
    def real_time_factor(self) -> float:
        """Seconds of work, on all processes together as the clock on the wall has it, for a second of audio."""
        return self.evaluation.seconds / self.audio_s if self.audio_s else float("nan")

    def to_json(self) -> dict[str, Any]:
        """Scores, intervals, breakdowns, confusions, hallucinations with their ids; where the rows came from."""
        hallucinations = find_hallucinations(self.scored)
        return {
            "dataset": {
                "source": self.evaluated.source,
                "split": self.evaluated.split,
                "revision": self.evaluated.revision,
            },
            **self.evaluation.record(),
            "seconds": round(self.evaluation.seconds, 3),
            "audio_seconds": round(self.audio_s, 3),
            "real_time_factor": self.real_time_factor,
            "breakdowns": {
                name: [part_json(part) for part in parts] for name, parts in breakdowns(self.scored).items()
            },
            "confusions": [asdict(confusion) for confusion in confusions(self.scored, most=EXAMPLES)],
            "hallucinations": {
                kind: {"count": len(found), "examples": [ids(one) for one in found[:EXAMPLES]]}
                for kind, found in vars(hallucinations).items()
            },
        }


def part_json(part: PartScore) -> dict[str, Any]:
    """One part of a breakdown."""
    return {"value": part.value, **asdict(part.score), "wer_interval": list(part.interval)}


def comparison_json(comparison: Comparison) -> dict[str, Any]:
    """Differences of rates, this model's minus the other's, and the utterances that changed most."""
    return {
        "differences": {
            rate: {
                "difference": found.difference,
                "interval": list(found.interval),
                "share_not_better": found.share_not_better,
                "is_clear": found.is_clear,
            }
            for rate, found in comparison.differences.items()
        },
        "changed_transcripts": comparison.changed_transcripts,
        "improved": _changes(comparison.improved),
        "worsened": _changes(comparison.worsened),
    }


def ids(utterance: ScoredUtterance) -> dict[str, str]:
    """Which utterance, and what was written for it."""
    transcript = utterance.transcript
    return {
        "utterance_id": transcript.utterance_id,
        "reference": transcript.reference,
        "hypothesis": transcript.hypothesis,
    }


def _changes(changes: Sequence[Change]) -> list[dict[str, Any]]:
    return [
        {**ids(change.after), "hypothesis_of_other": change.before.transcript.hypothesis, "more_errors": change.errors}
        for change in changes
    ]
