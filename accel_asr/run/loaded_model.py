"""A model of a run or an evaluation, and what turns data into its batches and scores."""

from dataclasses import dataclass, replace

import torch
from transformers import WhisperForConditionalGeneration, WhisperProcessor

from accel_asr.audio.batch_log_mel import makes_features
from accel_asr.config.lora_settings import LoraConfig
from accel_asr.config.settings import EvaluationConfig, ModelConfig
from accel_asr.data.labels import LabelEncoder
from accel_asr.data.loading.collator import Collator
from accel_asr.data.selection.references import reference_faults
from accel_asr.data.selection.utterances import Utterances
from accel_asr.errors import UserError
from accel_asr.evaluation.decoding_settings import Decoding, evaluation_batch_size
from accel_asr.evaluation.normalizers import load_normalizer
from accel_asr.evaluation.open_asr import ENGLISH
from accel_asr.evaluation.scoring import TRANSLATE
from accel_asr.evaluation.translations import WITHOUT_SACREBLEU, has_sacrebleu
from accel_asr.model import pretrained as modeling
from accel_asr.model.adapter_layers import add_adapters, name_without_adapters
from accel_asr.model.base_weights import BaseWeights
from accel_asr.model.folder.generation_settings import is_multilingual
from accel_asr.model.languages import known_language, language_name
from accel_asr.model.silence_merging import SilenceMerging
from accel_asr.quickstart import model_source
from accel_asr.transcription.previous_text import keywords_prompt, listed_keywords


@dataclass(frozen=True)
class LoadedModel:
    """Weights in fp32, language and task fixed, on no device yet; and what turns data into its batches and scores."""

    model: WhisperForConditionalGeneration
    processor: WhisperProcessor
    decoding: Decoding
    encoder: LabelEncoder
    collator: Collator

    def collator_for(self, device: torch.device, *, features_on_device: bool | None) -> Collator:
        """The collator, which leaves features to `device` where that is wanted or, unset, where it can make them."""
        extractor = self.processor.feature_extractor
        on_device = makes_features(device, wanted=features_on_device, extractor=extractor)
        return replace(self.collator, features_on_device=on_device)

    def reference_warnings(self, utterances: Utterances, evaluation: EvaluationConfig) -> list[str]:
        """Warnings for the user about texts that these settings can't score fairly.

        Raises:
            UserError: the normaliser leaves nothing of any text.
        """
        most = min(evaluation.generation_max_length, self.encoder.room)
        normalizer = self.decoding.normalizer
        faults = reference_faults(
            utterances,
            encoder=self.encoder,
            normalizer=normalizer,
            max_new_tokens=most,
            window_s=modeling.window_s(self.processor),
        )
        if problem := faults.problem(normalizer_name=evaluation.normalizer):
            raise problem
        warnings = faults.warnings(normalizer_name=evaluation.normalizer, max_new_tokens=most, room=self.encoder.room)
        translated = any((utterance.task or self.decoding.task) == TRANSLATE for utterance in utterances)
        return [*warnings, WITHOUT_SACREBLEU] if translated and not has_sacrebleu() else warnings


def load_model(
    settings: ModelConfig,
    evaluation: EvaluationConfig,
    *,
    language_of_rows: bool,
    num_workers: int = 0,
    keep_language: bool = False,
    device: torch.device,
) -> LoadedModel:
    """Load a model and tell it what to do.

    Args:
        num_workers: Processes that load the audio of an evaluation.
        language_of_rows: The data may say what is spoken, so that `settings.language` need not.
        keep_language: Where `settings.language` is unset, it is what the model was tuned for.
        device: The one that will evaluate it.

    Raises:
        UserError: as the parts of it raise.
    """
    modeling.quiet_libraries()
    model, processor = modeling.load_model_and_processor(settings.name_or_path, revision=settings.revision)
    tuned_for = getattr(model.generation_config, "language", None) if keep_language else None
    modeling.configure_generation(
        model,
        processor,
        language=settings.language or tuned_for,
        task=settings.task,
        max_new_tokens=evaluation.generation_max_length,
        num_beams=evaluation.num_beams,
        language_of_rows=language_of_rows,
        stand_ins=settings.language_stand_ins,
    )
    keywords = listed_keywords(evaluation.keywords)
    return LoadedModel(
        model=model,
        processor=processor,
        decoding=Decoding.of_model(
            model,
            normalizer=load_normalizer(evaluation.normalizer, processor.tokenizer, language=_language_of(model)),
            batch_size=evaluation_batch_size(
                model.config,
                device,
                wanted=evaluation.per_device_eval_batch_size,
                num_beams=evaluation.num_beams,
            ),
            num_workers=num_workers,
            is_compiled=evaluation.compile_decoding,
            fallback=evaluation.long_form_decoding,
            keywords=keywords,
            word_confidence=evaluation.word_confidence,
            prompt=keywords_prompt(keywords) if evaluation.keywords_prompt else None,
        ),
        encoder=LabelEncoder(
            processor.tokenizer,
            max_label_tokens=model.config.max_target_positions,
            stand_ins=settings.language_stand_ins,
        ),
        collator=Collator(
            feature_extractor=processor.feature_extractor,
            start_token_id=model.config.decoder_start_token_id,
            pad_token_id=model.config.pad_token_id,
            merging=merging_of(evaluation.audio_context, model, processor),
        ),
    )


def _language_of(model: WhisperForConditionalGeneration) -> str | None:
    """What is spoken in rows that do not say so; None where each must."""
    generation = model.generation_config
    if not is_multilingual(generation):
        return ENGLISH
    language = getattr(generation, "language", None)
    return None if language is None else language_name(language)


def add_lora(model: WhisperForConditionalGeneration, lora: LoraConfig, settings: ModelConfig, *, seed: int) -> None:
    """Put the adapters of these settings on the model.

    Raises:
        UserError: the model is an adapter itself.
    """
    if _is_adapter(model, settings):
        raise UserError(
            "is itself an adapter, and adapters on top of it could not be loaded",
            setting="--model.name_or_path",
            value=settings.name_or_path,
            remedy="give the merged model, best/ of its run, or leave out --lora.enabled",
        )
    add_adapters(
        model,
        target_modules=lora.target_modules,
        modules_to_save=lora.modules_to_save,
        seed=seed,
        base_name=settings.name_or_path,
        base_revision=settings.revision,
        r=lora.r,
        lora_alpha=lora.lora_alpha,
        lora_dropout=lora.lora_dropout,
        use_dora=lora.use_dora,
        use_rslora=lora.use_rslora,
    )


def base_weights(model: WhisperForConditionalGeneration, settings: ModelConfig) -> BaseWeights:
    """The files of the base model, for `checkpoint.interpolate`; `model` has its trained parts and adapters.

    Raises:
        UserError: the model is an adapter itself, or its files hold its weights under other names.
    """
    if _is_adapter(model, settings):
        raise UserError(
            "is itself an adapter, and --checkpoint.interpolate reads a whole base model",
            setting="--model.name_or_path",
            value=settings.name_or_path,
            remedy="give the merged model, best/ of its run, or leave out --checkpoint.interpolate",
        )
    weights = BaseWeights(model_source(settings.name_or_path), settings.revision)
    trained = (name for name, weight in model.named_parameters() if weight.requires_grad and ".lora_" not in name)
    missing = weights.missing(map(name_without_adapters, trained))
    if missing:
        raise UserError(
            f"holds its weights under other names ({missing[0]} is not there), and --checkpoint.interpolate reads them",
            setting="--model.name_or_path",
            value=settings.name_or_path,
            remedy="save the model once with transformers' save_pretrained and give that folder",
        )
    return weights


def _is_adapter(model: WhisperForConditionalGeneration, settings: ModelConfig) -> bool:
    """Whether what the settings name is an adapter, which was merged into another model."""
    return bool(model.config._name_or_path != model_source(settings.name_or_path))


def require_languages(model: WhisperForConditionalGeneration, utterances: Utterances) -> None:
    """Where the run has no language set, each row must have one.

    Raises:
        UserError: some have none.
    """
    for part in range(len(utterances.parts)):
        if utterances.parts[part].language is None:
            rows = utterances.row_of[utterances.part_of == part]
            if None in utterances.parts[part].index.texts_of("language", rows):
                known_language(None, model.generation_config.lang_to_id)


def merging_of(
    audio_context: str, model: WhisperForConditionalGeneration, processor: WhisperProcessor
) -> SilenceMerging | None:
    """How padding is merged where `audio_context` is `merged`; None where it is not."""
    if audio_context != "merged":
        return None
    return SilenceMerging.of_model(model, window_s=modeling.window_s(processor))
