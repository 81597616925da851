"""What an evaluation works on: a model and the sets that it takes; and the scoring of all of them."""

from collections.abc import Sequence

import torch
from accelerate import Accelerator

from accel_asr.config.settings import DataConfig, EvaluationConfig, ModelConfig
from accel_asr.console.bars import Bar, progress_bar
from accel_asr.data.loading.clip_items import ClipItems
from accel_asr.errors import UserError
from accel_asr.evaluation.evaluating import evaluate_model
from accel_asr.evaluation.evaluation_sets import DatasetName, EvaluationSet, load_evaluation_sets
from accel_asr.evaluation.no_speech import NoSpeechResult, score_no_speech
from accel_asr.evaluation.set_results import SetResult
from accel_asr.model import pretrained as modeling
from accel_asr.run.loaded_model import LoadedModel, load_model, require_languages


def load_model_and_sets(
    settings: ModelConfig,
    evaluation: EvaluationConfig,
    data: DataConfig,
    datasets: Sequence[DatasetName],
    *,
    seed: int,
    num_workers: int = 0,
    device: torch.device,
    most_utterances: int | None = None,
) -> tuple[LoadedModel, list[EvaluationSet], list[str]]:
    """A model, the sets as it takes them, and notices for the user.

    Args:
        num_workers: Processes that load the audio.
        device: The one that will evaluate it.
        datasets, most_utterances: As for `load_evaluation_sets`.

    Raises:
        UserError: as the parts of it raise.
    """
    loaded = load_model(
        settings,
        evaluation,
        language_of_rows=data.language_column is not None,
        num_workers=num_workers,
        keep_language=True,
        device=device,
    )
    sets, notices = load_evaluation_sets(
        data,
        datasets,
        encoder=loaded.encoder,
        sampling_rate_hz=loaded.processor.feature_extractor.sampling_rate,
        window_s=modeling.window_s(loaded.processor),
        seed=seed,
        most_utterances=most_utterances,
    )
    if loaded.encoder.languages and loaded.decoding.language is None:
        for evaluation_set in sets:
            require_languages(loaded.model, evaluation_set.utterances)
    for evaluation_set in sets:
        notices += loaded.reference_warnings(evaluation_set.utterances, evaluation)
    return loaded, sets, notices


def keep_common(sets: list[EvaluationSet], others: list[EvaluationSet]) -> list[str]:
    """Keep, in place, the utterances that both models take; returns notices.

    Raises:
        UserError: there is none.
    """
    notices = []
    for number, (first, other) in enumerate(zip(list(sets), list(others), strict=True)):
        ids, other_ids = first.utterances.ids(), other.utterances.ids()
        if ids == other_ids:
            continue
        of_other = set(other_ids)
        common = [name for name in ids if name in of_other]
        if not common:
            raise UserError(
                f"no utterance of {first.name!r} fits both models; one window may be shorter",
                setting="--against",
                remedy="give a model with the same window, or data that fits both",
            )
        notices.append(f"{first.name}: {len(common):,} of {len(ids):,} utterances fit both models")
        sets[number], others[number] = first.only(common), other.only(common)
    return notices


def score_sets(
    loaded: LoadedModel,
    sets: Sequence[EvaluationSet],
    *,
    accelerator: Accelerator,
    features_on_device: bool | None = None,
) -> list[SetResult]:
    """Every utterance of every set exactly once, over all ranks. Every rank must call this.

    Args:
        features_on_device: As `data.features_on_device`.
    """
    model = loaded.model.to(accelerator.device)
    collator = loaded.collator_for(accelerator.device, features_on_device=features_on_device)
    results = []
    for evaluated in sets:
        extractor = loaded.processor.feature_extractor
        items = ClipItems(
            evaluated.utterances,
            feature_extractor=extractor,
            encoder=loaded.encoder,
            prompt=loaded.decoding.prompt,
            augmentation=evaluated.noise.augmentation(extractor.sampling_rate) if evaluated.noise is not None else None,
        )
        bar = progress_bar(
            len(evaluated.utterances), desc=evaluated.name, unit="utterances", is_shown=accelerator.is_main_process
        )

        def advance(utterances: int, bar: Bar = bar) -> None:
            # the other ranks are about as far; their last batch may be smaller, or there is none
            bar.update(min(utterances * accelerator.num_processes, (bar.total or 0) - bar.n))

        with bar:
            evaluation = evaluate_model(
                model,
                items,
                loaded.decoding,
                accelerator=accelerator,
                collator=collator,
                on_batch=advance,
            )
        results.append(SetResult(evaluated, evaluation))
    return results


def score_clips_without_speech(
    loaded: LoadedModel,
    sets: Sequence[EvaluationSet],
    *,
    accelerator: Accelerator,
    features_on_device: bool | None = None,
) -> NoSpeechResult:
    """What the model writes where nobody speaks, decoded as its sets are. Every rank must call this."""
    return score_no_speech(
        loaded.model.to(accelerator.device),
        loaded.processor,
        loaded.encoder,
        loaded.decoding,
        accelerator=accelerator,
        collator=loaded.collator_for(accelerator.device, features_on_device=features_on_device),
        rows=(utterance for evaluated in sets for utterance in evaluated.utterances),
    )
