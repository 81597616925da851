"""What a run examines before training and in the model that it leaves as the best: long recordings, no speech."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from transformers import WhisperForConditionalGeneration

from accel_asr.config.settings import EvaluationConfig
from accel_asr.console.bars import advance
from accel_asr.evaluation.long_form import score_long_recordings, why_not_long
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
        wanted = {"no_speech": self.settings.no_speech, "long_form": bool(self.job.long_recordings)}
        return any(is_wanted and name not in record for name, is_wanted in wanted.items())

    def of_model(
        self, whole: WhisperForConditionalGeneration, *, baseline: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """What a record gains: `no_speech` and `long_form`; nothing that is switched off.

        Args:
            baseline: The record of the untouched model, unless this is that.

        Raises:
            AgreedStopError: a stop was asked for; on every rank.
        """
        record: dict[str, Any] = {}
        if self.settings.no_speech:
            result = no_speech_of_run(self.job, whole, self.accelerator, self.agreement, self.display)
            record["no_speech"] = result.record()
        if self.job.long_recordings:
            record["long_form"] = self._long_form(whole, (baseline or {}).get("long_form"))
        return record

    def of_folder(self, folder: Path, *, baseline: Mapping[str, Any] | None) -> dict[str, Any]:
        """The same of the model in `folder`, which every rank reads."""
        model, _ = load_model_and_processor(str(folder))
        model.generation_config = self.job.model.generation_config
        return self.of_model(model.to(self.accelerator.device), baseline=baseline)

    def _long_form(self, whole: WhisperForConditionalGeneration, before: Mapping[str, Any] | None) -> dict[str, Any]:
        """The record of the long recordings, or why there is none: a model that never learnt times can't be scored.

        Whether one that is tuned has lost them shows in its scores.
        """
        job, recordings = self.job, self.job.long_recordings
        encoder = job.validation_items.encoder
        if before is None:
            skipped = why_not_long(
                whole, recordings, processor=job.processor, encoder=encoder, accelerator=self.accelerator
            )
        else:
            skipped = before.get("skipped")
        if skipped:
            return {"skipped": skipped}
        with self.display.evaluation_bar(len(recordings), name="long recordings") as bar:
            result = score_long_recordings(
                whole,
                recordings,
                job.decoding,
                processor=job.processor,
                encoder=encoder,
                accelerator=self.accelerator,
                agreement=self.agreement,
                on_recording=lambda: advance(bar, 1, processes=self.accelerator.num_processes),
            )
        return result.record()


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
    with display.evaluation_bar(0, name=name):
        return score_no_speech(
            whole,
            job.processor,
            job.validation_items.encoder,
            job.decoding,
            accelerator=accelerator,
            collator=job.collator,
            rows=job.data.validation,
            agreement=agreement,
        )
