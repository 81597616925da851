"""Results of one evaluated set, and of two models on it, as plain values for scores.json."""

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
    def rtfx(self) -> float:
        """Seconds of audio in a second of wall-clock time, all processes together: reading, transcribing and scoring,
        but not the loading of the model."""
        return self.audio_s / self.evaluation.seconds if self.evaluation.seconds else float("nan")

    def to_json(self) -> dict[str, Any]:
        """Where the rows came from, scores, intervals, breakdowns, confusions, hallucinations with examples."""
        evaluated, noise = self.evaluated, self.evaluated.noise
        added = {} if noise is None else {"noise": {"snr_db": noise.snr_db, "recordings": noise.folder.fingerprint}}
        return {
            "dataset": {"source": evaluated.source, "split": evaluated.split, "revision": evaluated.revision, **added},
            **self.evaluation.record(),
            "seconds": round(self.evaluation.seconds, 3),
            "audio_seconds": round(self.audio_s, 3),
            "rtfx": self.rtfx,
            "rtfx_with": {name: getattr(self.evaluation, name) for name in ("batch_size", "processes", "device")},
            "breakdowns": {name: list(map(part_json, parts)) for name, parts in breakdowns(self.scored).items()},
            "confusions": [asdict(confusion) for confusion in confusions(self.scored, most=EXAMPLES)],
            "hallucinations": {
                kind: {"count": len(utterances), "examples": list(map(example, utterances[:EXAMPLES]))}
                for kind, utterances in vars(find_hallucinations(self.scored)).items()
            },
        }


def part_json(part: PartScore) -> dict[str, Any]:
    """One part of a breakdown."""
    return {"value": part.value, **asdict(part.score), "wer_interval": list(part.interval)}


def comparison_json(comparison: Comparison) -> dict[str, Any]:
    """Differences of rates, this model minus the other, and the utterances that changed most."""
    return {
        "differences": {
            rate: asdict(difference) | {"interval": list(difference.interval), "is_clear": difference.is_clear}
            for rate, difference in comparison.differences.items()
        },
        "changed_transcripts": comparison.changed_transcripts,
        "improved": list(map(_change, comparison.improved)),
        "worsened": list(map(_change, comparison.worsened)),
    }


def example(utterance: ScoredUtterance) -> dict[str, str]:
    """An utterance by its id and texts."""
    transcript = utterance.transcript
    return {name: getattr(transcript, name) for name in ("utterance_id", "reference", "hypothesis")}


def _change(change: Change) -> dict[str, Any]:
    other = change.before.transcript.hypothesis
    return {**example(change.after), "hypothesis_of_other": other, "more_errors": change.errors}
