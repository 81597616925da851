"""What a run works on: the model, the data, and the order of training on it. Where train and verify start."""

from dataclasses import dataclass

from transformers import WhisperForConditionalGeneration, WhisperProcessor

from accel_asr import modeling
from accel_asr.config import DataConfig, EvaluationConfig, ModelConfig, TrainingConfig
from accel_asr.data.collator import Collator
from accel_asr.data.loading import TrainingItems, WindowPlan
from accel_asr.data.preparation import LabelEncoder
from accel_asr.data.splits import RunData, load_train_and_validation
from accel_asr.errors import UserError
from accel_asr.evaluation.normalizers import Normalizer, load_normalizer


@dataclass(frozen=True)
class Job:
    """Model with weights in fp32, language and task fixed, on no device yet; data decoded and checked, all of it."""

    model: WhisperForConditionalGeneration
    processor: WhisperProcessor
    normalizer: Normalizer
    data: RunData
    items: TrainingItems
    collator: Collator


def load_job(model_settings: ModelConfig, data_settings: DataConfig, evaluation: EvaluationConfig, *, seed: int) -> Job:
    """Load everything, the same on every rank. Each rank does it for itself, so that none waits for another.

    Raises:
        UserError: as the parts of it raise; or the normaliser leaves no validation text to score.
    """
    modeling.quiet_libraries()
    model, processor = modeling.load_model_and_processor(model_settings.name_or_path, revision=model_settings.revision)
    modeling.configure_generation(
        model,
        processor,
        language=model_settings.language,
        task=model_settings.task,
        max_new_tokens=evaluation.generation_max_length,
        num_beams=evaluation.num_beams,
    )
    if model_settings.freeze_encoder:
        modeling.freeze_encoder(model)
    normalizer = load_normalizer(evaluation.normalizer, processor.tokenizer)
    encoder = LabelEncoder(processor.tokenizer)
    data = load_train_and_validation(
        data_settings,
        encoder=encoder,
        sampling_rate_hz=processor.feature_extractor.sampling_rate,
        window_s=modeling.window_s(processor),
        max_label_tokens=model.config.max_target_positions,
        seed=seed,
    )
    if not any(normalizer(utterance.text) for utterance in data.validation):
        raise UserError(
            f"evaluation.normalizer: {evaluation.normalizer!r} leaves nothing of any validation text to score; choose "
            "another normaliser, or look at the texts"
        )
    items = TrainingItems(
        data.train,
        feature_extractor=processor.feature_extractor,
        encoder=encoder,
        timestamps_probability=data_settings.timestamps_probability,
        seed=seed,
    )
    collator = Collator(
        features_shape=(processor.feature_extractor.feature_size, processor.feature_extractor.nb_max_frames),
        start_token_id=model.config.decoder_start_token_id,
        pad_token_id=model.config.pad_token_id,
    )
    return Job(model=model, processor=processor, normalizer=normalizer, data=data, items=items, collator=collator)


def plan_training(training: TrainingConfig, *, num_rows: int, num_processes: int) -> tuple[WindowPlan, int]:
    """The order of training on `num_rows` utterances, and the last optimizer step.

    Raises:
        UserError: the global batch is larger than the data.
    """
    plan = WindowPlan(
        num_rows=num_rows,
        micro_batch_size=training.per_device_train_batch_size,
        accumulation_steps=training.gradient_accumulation_steps,
        num_processes=num_processes,
        seed=training.seed,
        drop_last=training.dataloader_drop_last,
    )
    return plan, training.max_steps or training.num_train_epochs * plan.steps_per_epoch
