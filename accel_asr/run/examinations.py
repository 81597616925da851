"""What a run examines twice, before training and for the model that it leaves as the best: clips without speech."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from transformers import WhisperForConditionalGeneration

from accel_asr.config.settings import EvaluationConfig
from accel_asr.evaluation.no_speech import NoSpeechResult, score_no_speech
from accel_asr.model.pretrained import load_model_and_processor
from accel_asr.ranks.agreement import Agreement
from accel_asr.run.display import Display
from accel_asr.run.job import Job


@dataclass(frozen=True)
class Examinations:
    """Examines models of a run. Every method is a collective, and gives every rank the same."""

    job: Job
    settings: EvaluationConfig
    accelerator: Accelerator
    agreement: Agreement | None
    display: Display

    def are_due(self, record: Mapping[str, Any]) -> bool:
        """Whether something is to be examined that the record does not have yet."""
        return self.settings.no_speech and "no_speech" not in record

    def of_model(self, whole: WhisperForConditionalGeneration) -> dict[str, Any]:
        """What a record gains: `no_speech`; nothing that is switched off.

        Raises:
            AgreedStopError: a stop was asked for; on every rank.
        """
        record: dict[str, Any] = {}
        if self.settings.no_speech:
            result = no_speech_of_run(self.job, whole, self.accelerator, self.agreement, self.display)
            record["no_speech"] = result.record()
        return record

    def of_folder(self, folder: Path) -> dict[str, Any]:
        """The same of the model in `folder`, which every rank reads."""
        model, _ = load_model_and_processor(str(folder))
        model.generation_config = self.job.model.generation_config
        return self.of_model(model.to(self.accelerator.device))


def no_speech_of_run(
    job: Job,
    whole: WhisperForConditionalGeneration,
    accelerator: Accelerator,
    agreement: Agreement | None,
    display: Display,
    *,
    name: str = "no speech",
) -> NoSpeechResult:
    """The clips without speech, as the run's evaluations decode. A collective."""
    language = None
    if job.validation_items.encoder.languages and job.decoding.language is None:
        language = next((utterance.language for utterance in job.data.validation if utterance.language), None)
    with display.evaluation_bar(0, name=name):
        return score_no_speech(
            whole,
            job.processor,
            job.validation_items.encoder,
            job.decoding,
            accelerator=accelerator,
            collator=job.collator,
            language=language,
            agreement=agreement,
        )
