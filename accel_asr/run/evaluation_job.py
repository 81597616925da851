"""What an evaluation works on: a model and the sets that it takes; and the scoring of all of them."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from accelerate import Accelerator

from accel_asr.config.settings import DataConfig, EvaluationConfig, ModelConfig
from accel_asr.console.bars import Bar, advance, progress_bar
from accel_asr.data.loading.clip_items import ClipItems
from accel_asr.data.selection.long_recordings import LongRecording
from accel_asr.errors import UserError
from accel_asr.evaluation.evaluating import evaluate_model, with_long_rows
from accel_asr.evaluation.evaluation_sets import DatasetName, EvaluationSet, load_evaluation_sets
from accel_asr.evaluation.long_form import score_long_recordings, why_not_long
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
    keep_long: bool = False,
) -> tuple[LoadedModel, list[EvaluationSet], list[str]]:
    """A model, the sets as it takes them, and notices for the user.

    Args:
        num_workers: Processes that load the audio.
        device: The one that will evaluate it.
        datasets, most_utterances, keep_long: As for `load_evaluation_sets`.

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
        keep_long=keep_long,
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


def drop_unfit_long_rows(loaded: LoadedModel, sets: list[EvaluationSet], *, accelerator: Accelerator) -> list[str]:
    """Drop, in place, rows longer than the window where the model can't go from window to window; returns notices.

    Every rank must call this.

    Raises:
        UserError: no other row is left in a set.
    """
    notices = []
    for number, evaluated in enumerate(sets):
        is_long = evaluated.utterances.durations_s() > modeling.window_s(loaded.processor)
        if not is_long.any():
            continue
        long = LongRecording.whole(evaluated.utterances.select(np.flatnonzero(is_long)))
        reason = why_not_long(
            loaded.model.to(accelerator.device),
            long,
            processor=loaded.processor,
            encoder=loaded.encoder,
            accelerator=accelerator,
        )
        loaded.model.to("cpu")  # another model may come before it is this one's turn
        if reason is None:
            continue
        left_out = f"{evaluated.name}: {len(long):,} rows longer than the window can't be transcribed: {reason}"
        if is_long.all():
            remedy = "give shorter rows, or a model that has learnt times (data.timestamps_probability)"
            raise UserError(left_out, setting="--dataset", value=evaluated.source, remedy=remedy)
        notices.append(f"{left_out}; left out")
        sets[number] = replace(evaluated, utterances=evaluated.utterances.select(np.flatnonzero(~is_long)))
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
        augmentation = None if evaluated.noise is None else evaluated.noise.augmentation(extractor.sampling_rate)
        is_long = evaluated.utterances.durations_s() > modeling.window_s(loaded.processor)
        long, short = (evaluated.utterances.select(np.flatnonzero(rows)) for rows in (is_long, ~is_long))
        items = ClipItems(
            short if len(long) else evaluated.utterances,
            feature_extractor=extractor,
            encoder=loaded.encoder,
            prompt=loaded.decoding.prompt,
            augmentation=augmentation,
        )
        bar = progress_bar(
            len(evaluated.utterances), desc=evaluated.name, unit="utterances", is_shown=accelerator.is_main_process
        )

        def on_batch(utterances: int, bar: Bar = bar) -> None:
            advance(bar, utterances, processes=accelerator.num_processes)

        with bar:
            evaluation = evaluate_model(
                model,
                items,
                loaded.decoding,
                accelerator=accelerator,
                collator=collator,
                on_batch=on_batch,
            )
            if len(long):
                long_form = score_long_recordings(
                    model,
                    LongRecording.whole(long, augmentation),
                    loaded.decoding,
                    processor=loaded.processor,
                    encoder=loaded.encoder,
                    accelerator=accelerator,
                    on_recording=partial(on_batch, 1),
                )
                evaluation = with_long_rows(evaluation, long_form, is_long.tolist(), loaded.decoding)
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
