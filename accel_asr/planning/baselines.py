"""How good models are before any training, with and without a prompt of keywords, and where they fail."""

from dataclasses import dataclass, field, replace
from typing import Any

from accelerate import Accelerator

from accel_asr.audio.speechless_clips import SPEECHLESS_CLIPS
from accel_asr.evaluation.alignments import confusions
from accel_asr.evaluation.breakdowns import PartScore, breakdowns, worst_part
from accel_asr.evaluation.evaluating import Evaluation
from accel_asr.evaluation.intervals import Difference, paired_difference
from accel_asr.evaluation.no_speech import NoSpeechResult, score_no_speech
from accel_asr.evaluation.set_results import example
from accel_asr.planning.sample import Sample, score_sample
from accel_asr.run.loaded_model import LoadedModel

MOST_CONFUSIONS, MOST_WORST = 8, 8
LEAST_OF_PART = 5  # utterances of a part of the data, to be called the worst


@dataclass(frozen=True)
class Baseline:
    """A model on the sample, as it is.

    Args:
        prompted: With the prompt of keywords; None without keywords.
        guards: Records of the guards; guards_s: seconds that they took.
        no_speech: On clips in which nobody speaks; None where `evaluation.no_speech` is off, or time is short.
    """

    model: str
    evaluation: Evaluation
    prompted: Evaluation | None = None
    guards: dict[str, dict[str, Any]] = field(default_factory=dict)
    guards_s: float = 0.0
    no_speech: NoSpeechResult | None = None

    @property
    def prompt_difference(self) -> Difference | None:
        """WER with the prompt minus without, paired."""
        if self.prompted is None:
            return None
        return paired_difference(self.prompted.scored, self.evaluation.scored)

    @property
    def seconds_an_utterance(self) -> float:
        """Of an evaluation."""
        return self.evaluation.seconds / max(len(self.evaluation.scored), 1)

    def worst_parts(self) -> list[tuple[str, PartScore]]:
        """(column, its part with the highest WER) of each breakdown that has parts of some size."""
        by_column = breakdowns(self.evaluation.scored)
        worst = {column: worst_part(parts, least=LEAST_OF_PART) for column, parts in by_column.items()}
        return [(column, part) for column, part in worst.items() if part is not None]

    def record(self) -> dict[str, Any]:
        """As `--json` has it; rates are fractions."""
        scored = self.evaluation.scored
        worst = sorted(
            (line for line in scored if line.words), key=lambda line: -(line.words.errors if line.words else 0)
        )
        difference = self.prompt_difference
        return {
            "model": self.model,
            **self.evaluation.record(),
            "seconds": round(self.evaluation.seconds, 3),
            "prompted": self.prompted and self.prompted.record(),
            "prompt_difference": difference and vars(difference) | {"verdict": difference.verdict},
            "guards": self.guards,
            "no_speech": self.no_speech and self.no_speech.record(),
            "worst_parts": [
                {"column": column, "value": part.value, "wer": part.score.wer, "utterances": part.score.utterances}
                for column, part in self.worst_parts()
            ],
            "confusions": [vars(confusion) for confusion in confusions(scored, most=MOST_CONFUSIONS)],
            "worst": [example(line) for line in worst[:MOST_WORST]],
        }


def score_baseline(
    name: str,
    loaded: LoadedModel,
    sample: Sample,
    *,
    accelerator: Accelerator,
    prompt: str | None,
    no_speech_s: float,
) -> Baseline:
    """Score a model on the sample, with and without the prompt, and on clips in which nobody speaks.

    Args:
        prompt: None where there are no keywords.
        no_speech_s: Most seconds for the clips in which nobody speaks, judged by the sample's; 0 for none of them.
    """
    model = loaded.model.to(accelerator.device)
    evaluation = score_sample(model, sample, loaded, accelerator=accelerator, name=name)
    prompted = None
    if prompt is not None:
        prompted = score_sample(
            model, sample, loaded, accelerator=accelerator, prompt=prompt, name=f"{name}, with keywords"
        )
    baseline = Baseline(name, evaluation, prompted)
    if SPEECHLESS_CLIPS * baseline.seconds_an_utterance < no_speech_s:
        clips = score_no_speech(
            model,
            loaded.processor,
            loaded.encoder,
            loaded.decoding,
            accelerator=accelerator,
            collator=loaded.collator,
            rows=sample.utterances,
        )
        baseline = replace(baseline, no_speech=clips)
    return baseline
