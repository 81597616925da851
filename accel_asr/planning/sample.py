"""The part of the validation data that a plan scores its models on, always the same."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from accelerate import Accelerator
from transformers import WhisperForConditionalGeneration

from accel_asr.data.loading.clip_items import ClipItems
from accel_asr.data.selection.utterances import Utterance, Utterances
from accel_asr.evaluation.evaluating import Evaluation, evaluate_model
from accel_asr.evaluation.guard_sets import Guard
from accel_asr.run.display import Display
from accel_asr.run.job import Job
from accel_asr.run.loaded_model import LoadedModel

_SEED = 0


@dataclass(frozen=True)
class Sample:
    """Utterances in the order of the data, and the guards with as many of theirs at most."""

    utterances: Utterances
    guards: tuple[Guard, ...]

    @classmethod
    def of_job(cls, job: Job, *, most: int) -> "Sample":
        """At most `most` validation utterances, drawn at random and always the same."""
        guards = tuple(
            guard if guard.utterances is None else replace(guard, utterances=sampled(guard.utterances, most=most))
            for guard in job.guards
        )
        return cls(sampled(job.data.validation, most=most), guards)


def loaded_of(job: Job) -> LoadedModel:
    """The model of a job, with what turns data into its batches and scores."""
    return LoadedModel(job.model, job.processor, job.decoding, job.validation_items.encoder, job.collator)


def sampled(utterances: Utterances, *, most: int) -> Utterances:
    """At most so many, in their order."""
    if len(utterances) <= most:
        return utterances
    drawn = np.random.default_rng(_SEED).choice(len(utterances), size=most, replace=False)
    return utterances.select(np.sort(drawn))


def score_sample(
    model: WhisperForConditionalGeneration,
    sample: Sample,
    loaded: LoadedModel,
    *,
    accelerator: Accelerator,
    prompt: str | None = None,
    name: str = "sample",
) -> Evaluation:
    """Score a model on the sample, as evaluations of the run would.

    Args:
        loaded: How the run's models hear and write; `model` may be another of its kind.
        prompt: Given to the decoder as previous text, in place of the rows' own.
    """
    utterances: Sequence[Utterance] = sample.utterances
    if prompt is not None:
        utterances = [replace(utterance, prompt=prompt) for utterance in sample.utterances]
    items = ClipItems(utterances, feature_extractor=loaded.processor.feature_extractor, encoder=loaded.encoder)
    with Display(accelerator).evaluation_bar(len(utterances), name=name) as bar:
        return evaluate_model(
            model, items, loaded.decoding, accelerator=accelerator, collator=loaded.collator, on_batch=bar.update
        )
