"""What a run works on: the model, the data, and the order of training on it. Where train and verify start."""

import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch
from transformers import WhisperForConditionalGeneration, WhisperProcessor

from accel_asr.audio.batch_log_mel import makes_features
from accel_asr.config.settings import DataConfig, EvaluationConfig, ModelConfig, TrainingConfig
from accel_asr.data.labels import LabelEncoder
from accel_asr.data.loading.batches import ClipItems, TrainingWindows
from accel_asr.data.loading.collator import Collator
from accel_asr.data.loading.encoder_cache import EncoderCache, open_encoder_cache
from accel_asr.data.order.packing import PackPlan
from accel_asr.data.order.window_plan import WindowPlan
from accel_asr.data.run_data import RunData
from accel_asr.data.selection.preparation import fingerprint
from accel_asr.data.selection.references import reference_faults
from accel_asr.data.selection.run_sources import cache_dir_of
from accel_asr.data.selection.utterances import Utterances
from accel_asr.data.splits import load_train_and_validation
from accel_asr.data.streaming.stream_items import StreamItems, StreamPlan, StreamWindows
from accel_asr.data.streaming.streams import Place, StreamOrder
from accel_asr.evaluation.decoding_settings import Decoding
from accel_asr.evaluation.normalizers import load_normalizer
from accel_asr.model import pretrained as modeling
from accel_asr.model.languages import known_language
from accel_asr.training.schedule import whole_warmup_steps
from accel_asr.training.size_rates import rate_in_words, suited_rate

CPU = torch.device("cpu")


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
        """What the texts to be scored do not get of these settings, for the user.

        Raises:
            UserError: the normaliser leaves nothing of any.
        """
        most = min(evaluation.generation_max_length, self.encoder.room)
        normalizer = self.decoding.normalizer
        found = reference_faults(utterances, encoder=self.encoder, normalizer=normalizer, max_new_tokens=most)
        if problem := found.problem(normalizer_name=evaluation.normalizer):
            raise problem
        return found.warnings(normalizer_name=evaluation.normalizer, max_new_tokens=most, room=self.encoder.room)


@dataclass(frozen=True)
class Job:
    """Model with weights in fp32, language and task fixed, on no device yet; data indexed and checked, all of it."""

    model: WhisperForConditionalGeneration
    processor: WhisperProcessor
    decoding: Decoding
    data: RunData
    train_items: ClipItems
    validation_items: ClipItems
    collator: Collator
    train_collator: Collator  # another one where the training items hold what the encoder said

    def windows(
        self,
        plan: WindowPlan | StreamPlan,
        *,
        rank: int,
        first_step: int,
        last_step: int,
        place: Place | None,
        num_workers: int,
        pin_memory: bool,
    ) -> TrainingWindows | StreamWindows:
        """What `rank` trains on, window by window.

        Args:
            place: Where a stream goes on; None is its beginning.
        """
        if isinstance(plan, StreamPlan):
            assert self.data.stream is not None
            encoder = self.train_items.encoder
            return StreamWindows(
                StreamItems(
                    self.processor.feature_extractor,
                    encoder,
                    self.data.stream,
                    has_language=not encoder.languages or self.decoding.language is not None,
                ),
                StreamOrder(self.data.stream, rank=rank, num_processes=plan.num_processes, seed=plan.seed),
                plan,
                collator=self.collator,
                start=place or Place(),
                num_workers=num_workers,
                pin_memory=pin_memory,
            )
        return TrainingWindows(
            self.train_items,
            plan,
            collator=self.train_collator,
            rank=rank,
            first_step=first_step,
            last_step=last_step,
            num_workers=num_workers,
            pin_memory=pin_memory,
        )

    def fingerprint(self) -> int:
        """A checksum of what is trained on: training can only be gone on with on the same data."""
        if self.train_items.encoder_cache is not None:  # what is trained on is what this encoder said of the data
            return zlib.crc32(self.train_items.encoder_cache.folder.name.encode())
        return fingerprint(self.data.train) if self.data.stream is None else self.data.stream.checksum


def load_model(
    settings: ModelConfig,
    evaluation: EvaluationConfig,
    *,
    language_of_rows: bool,
    num_workers: int = 0,
    keep_language: bool = False,
) -> LoadedModel:
    """Load a model and tell it what to do.

    Args:
        num_workers: Processes that load the audio of an evaluation.
        language_of_rows: The data may say what is spoken, so that `settings.language` need not.
        keep_language: Where `settings.language` is unset, it is what the model was tuned for.

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
    return LoadedModel(
        model=model,
        processor=processor,
        decoding=Decoding.of_model(
            model,
            normalizer=load_normalizer(evaluation.normalizer, processor.tokenizer),
            batch_size=evaluation.per_device_eval_batch_size,
            num_workers=num_workers,
            is_compiled=evaluation.compile_decoding,
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
        ),
    )


def load_job(
    model_settings: ModelConfig,
    data_settings: DataConfig,
    evaluation: EvaluationConfig,
    *,
    seed: int,
    num_workers: int = 0,
    device: torch.device = CPU,
    pack: bool = False,
) -> Job:
    """Load everything, the same on every rank. Each rank does it for itself, so that none waits for another.

    Args:
        num_workers: Processes that load the audio of an evaluation.
        device: The one that trains, which may be the one to make the features.
        pack: As `load_train_and_validation` takes it.

    Raises:
        UserError: as the parts of it raise; or the normaliser leaves no validation text to score.
    """
    loaded = load_model(
        model_settings,
        evaluation,
        language_of_rows=data_settings.language_column is not None,
        num_workers=num_workers,
    )
    model, processor, encoder = loaded.model, loaded.processor, loaded.encoder
    if model_settings.freeze_encoder:
        modeling.freeze_encoder(model)
    if model_settings.cache_encoder_outputs:
        modeling.require_constant_encoder(model)
    data = load_train_and_validation(
        data_settings,
        encoder=encoder,
        sampling_rate_hz=processor.feature_extractor.sampling_rate,
        window_s=modeling.window_s(processor),
        seed=seed,
        pack=pack,
    )
    if model_settings.language is None and encoder.languages:
        for utterances in (data.train, data.validation):
            require_languages(model, utterances)
    data.notices.extend(loaded.reference_warnings(data.validation, evaluation))
    if data_settings.text.written_times == "read" and not data_settings.timestamps_probability:
        data.notices.append(
            "data.text.written_times: read takes the times out of the texts, and data.timestamps_probability is 0: no "
            "label has them; set it to 0.5 to have half of them learnt"
        )
    extractor = processor.feature_extractor
    collator = loaded.collator_for(device, features_on_device=data_settings.features_on_device)
    encoder_cache, train_collator = None, collator
    if model_settings.cache_encoder_outputs:
        encoder_cache = _encoder_cache(data.train, loaded, data_settings, data.notices)
        train_collator = replace(collator, encoded_shape=encoder_cache.shape)
    train_items = ClipItems(
        data.train,
        feature_extractor=extractor,
        encoder=encoder,
        timestamps_probability=data_settings.timestamps_probability,
        seed=seed,
        encoder_cache=encoder_cache,
    )
    validation_items = ClipItems(data.validation, feature_extractor=extractor, encoder=encoder)
    return Job(
        model=model,
        processor=processor,
        decoding=loaded.decoding,
        data=data,
        train_items=train_items,
        validation_items=validation_items,
        collator=collator,
        train_collator=train_collator,
    )


def _encoder_cache(
    utterances: Utterances, loaded: LoadedModel, settings: DataConfig, notices: list[str]
) -> EncoderCache:
    model, extractor = loaded.model, loaded.processor.feature_extractor
    cache, notice = open_encoder_cache(
        clips=len(utterances),
        shape=(model.config.max_source_positions, model.config.d_model),
        purpose=f"{fingerprint(utterances)} {extractor.to_json_string()} {modeling.encoder_digest(model)}",
        cache_dir=cache_dir_of(settings),
    )
    notices.append(notice)
    return cache


def require_languages(model: WhisperForConditionalGeneration, utterances: Utterances) -> None:
    """Where the run has no language of its own, each row must have one.

    Raises:
        UserError: some have none.
    """
    for part in range(len(utterances.parts)):
        if utterances.parts[part].language is None:
            rows = utterances.row_of[utterances.part_of == part]
            if None in utterances.parts[part].index.texts_of("language", rows):
                known_language(None, model.generation_config.lang_to_id)


def plan_training(
    training: TrainingConfig, data: RunData, *, num_processes: int
) -> tuple[WindowPlan | StreamPlan, int]:
    """The order of training, and the last optimizer step.

    Raises:
        UserError: the global batch is larger than the data.
    """
    if data.stream is not None:
        assert training.max_steps is not None  # check_config saw to it
        stream_plan = StreamPlan(
            micro_batch_size=training.per_device_train_batch_size,
            accumulation_steps=training.gradient_accumulation_steps,
            num_processes=num_processes,
            seed=training.seed,
            block_rows=data.stream.block_rows,
        )
        return stream_plan, training.max_steps
    by_length = training.group_by_length or training.batch_seconds is not None or training.audio_context == "speech"
    make: Callable[..., WindowPlan] = WindowPlan
    if data.packing is not None:
        make = partial(PackPlan, packing=data.packing)
    plan = make(
        num_rows=len(data.train),
        micro_batch_size=training.per_device_train_batch_size,
        accumulation_steps=training.gradient_accumulation_steps,
        num_processes=num_processes,
        seed=training.seed,
        drop_last=training.dataloader_drop_last,
        part_sizes=data.train.part_sizes(),
        weights=data.weights or (),
        durations_s=data.train.durations_s() if by_length else None,
        group_by_length=training.group_by_length,
        batch_seconds=training.batch_seconds,
    )
    return plan, training.max_steps or plan.last_step(training.num_train_epochs)


def plan_learning_rate(
    training: TrainingConfig,
    model: WhisperForConditionalGeneration,
    *,
    last_step: int,
    say: Callable[[str], None],
) -> tuple[float, int]:
    """(peak learning rate, warmup steps): as set, or what suits the model's size; and says where that is worth it.

    Args:
        model: Before it is sharded, so that every rank counts the same parameters.
    """
    size = model.config
    suited = suited_rate(
        d_model=size.d_model,
        encoder_layers=size.encoder_layers,
        decoder_layers=size.decoder_layers,
        num_mel_bins=size.num_mel_bins,
        parameters=modeling.parameter_counts(model)[0],
        name=str(size._name_or_path),
    )
    warmup_steps = whole_warmup_steps(training.warmup_steps, last_step=last_step)
    words = rate_in_words(
        training.learning_rate,
        suited,
        scheduler_type=training.lr_scheduler_type,
        warmup=f"{warmup_steps:,} of {last_step:,} steps",
    )
    if words is not None:
        say(words)
    return suited.learning_rate if training.learning_rate is None else training.learning_rate, warmup_steps
