"""Rank training rows by how badly their texts fit their recordings: one model, one pass over the rows, all ranks."""

from dataclasses import replace

from accelerate import Accelerator

from accel_asr.config.settings import Config, DataConfig, EvaluationConfig, ModelConfig
from accel_asr.console.bars import Bar, progress_bar
from accel_asr.data.loading.clip_items import ClipItems
from accel_asr.data.loading.worker_count import num_workers_of_rank
from accel_asr.data.selection.utterances import Utterances
from accel_asr.evaluation.generation import transcribe_utterances
from accel_asr.evaluation.row_losses import row_losses
from accel_asr.evaluation.row_scores import RankedRow, Ranking, left_out_rows, rank_rows
from accel_asr.evaluation.scoring import score_utterance
from accel_asr.run.loaded_model import load_model, require_languages
from accel_asr.training.launch.topology import shut_down, start_accelerator


def rank_training_rows(
    config: Config, utterances: Utterances, *, worst_share: float | None = None, threshold: float | None = None
) -> Ranking | None:
    """Rank the rows by `config.model`. Every rank must call this; the main process gets the ranking, the others None.

    Args:
        worst_share, threshold: Which rows are left out, see `left_out_rows`.

    Raises:
        UserError: as `rank_utterances` raises.
    """
    accelerator = start_accelerator(
        mixed_precision=config.training.mixed_precision,
        gradient_accumulation_steps=1,
        seed=config.training.seed,
        timeout_s=config.training.ddp_timeout,
    )
    ranked = rank_utterances(
        utterances,
        config.model,
        config.evaluation,
        config.data,
        accelerator=accelerator,
        num_workers=num_workers_of_rank(config.training.dataloader_num_workers, device=accelerator.device),
    )
    is_main = accelerator.is_main_process
    shut_down(accelerator)
    left_out = left_out_rows(ranked, worst_share=worst_share, threshold=threshold)
    return Ranking(config.model.name_or_path, config.evaluation.audio_context, ranked, left_out) if is_main else None


def rank_utterances(
    utterances: Utterances,
    model: ModelConfig,
    evaluation: EvaluationConfig,
    data: DataConfig,
    *,
    accelerator: Accelerator,
    num_workers: int,
) -> list[RankedRow]:
    """All rows, those whose text fits worst first. Every rank must call this, and gets the same.

    Args:
        num_workers: Processes of this rank that load the audio.

    Raises:
        UserError: as loading the model raises; or rows have no language, and none is set.
    """
    if not len(utterances):
        return []
    loaded = load_model(
        model,
        evaluation,
        language_of_rows=data.language_column is not None,
        num_workers=num_workers,
        device=accelerator.device,
    )
    if loaded.encoder.languages and loaded.decoding.language is None:
        require_languages(loaded.model, utterances)
    items = ClipItems(utterances, feature_extractor=loaded.processor.feature_extractor, encoder=loaded.encoder)
    bar = progress_bar(len(utterances), desc="rows", unit="rows", is_shown=accelerator.is_main_process)

    def advance(rows: int, bar: Bar = bar) -> None:
        # the other ranks are about as far
        bar.update(min(rows * accelerator.num_processes, (bar.total or 0) - bar.n))

    with bar:
        transcription = transcribe_utterances(
            loaded.model.to(accelerator.device),
            items,
            replace(loaded.decoding, is_compiled=False, num_beams=1),
            accelerator=accelerator,
            collator=loaded.collator_for(accelerator.device, features_on_device=data.features_on_device),
            closer_look=row_losses,
            on_batch=advance,
        )
    scored = [score_utterance(transcript, loaded.decoding.normalizer) for transcript in transcription.transcripts]
    return rank_rows(scored, transcription.details or [None] * len(scored))
