"""What a run works on: the model and the data. Where train and verify start."""

import zlib
from dataclasses import dataclass, replace

import torch
from transformers import WhisperFeatureExtractor, WhisperForConditionalGeneration, WhisperProcessor

from accel_asr.audio.augmentation import Augmentation
from accel_asr.audio.spec_augment import SpecAugment
from accel_asr.config.augmentation_settings import SpecAugmentConfig
from accel_asr.config.settings import Config, DataConfig
from accel_asr.config.trained_parts import frozen_parts
from accel_asr.data.labels import LabelEncoder
from accel_asr.data.loading.batches import TrainingWindows
from accel_asr.data.loading.clip_items import ClipItems
from accel_asr.data.loading.collator import Collator
from accel_asr.data.loading.encoder_cache import EncoderCache, open_encoder_cache
from accel_asr.data.loading.noise_folder import NoiseFolder, open_noise
from accel_asr.data.loading.stitched_windows import StitchedWindows
from accel_asr.data.loading.worker_count import num_workers_of_rank
from accel_asr.data.order.epoch_order import WindowPlan
from accel_asr.data.order.plan_protocol import Plan
from accel_asr.data.order.stitching import Stitching
from accel_asr.data.run_data import RunData
from accel_asr.data.selection.long_recordings import LongRecording
from accel_asr.data.selection.preparation import fingerprint
from accel_asr.data.selection.run_sources import cache_dir_of
from accel_asr.data.selection.utterances import Utterances
from accel_asr.data.splits import load_train_and_validation
from accel_asr.data.streaming.stream_items import StreamItems, StreamWindows
from accel_asr.data.streaming.streams import Place, StreamOrder
from accel_asr.errors import UserError
from accel_asr.evaluation.decoding_settings import Decoding
from accel_asr.evaluation.guard_sets import Guard, load_guards
from accel_asr.evaluation.long_form_sets import load_long_recordings
from accel_asr.model import pretrained as modeling
from accel_asr.model.base_weights import BaseWeights
from accel_asr.model.parts import freeze
from accel_asr.run.loaded_model import LoadedModel, add_lora, base_weights, load_model, merging_of, require_languages

CPU = torch.device("cpu")


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
    train_collator: Collator  # differs from `collator` where training items hold encoder outputs, or are masked
    guards: tuple[Guard, ...] = ()
    base_weights: BaseWeights | None = None  # to interpolate from, where that is asked for
    long_recordings: tuple[LongRecording, ...] = ()

    def windows(
        self,
        plan: Plan,
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
            plan: That of this data, as `plan_training` makes it.
            place: Where to resume in a stream; None is its beginning.
        """
        if self.data.stream is not None:
            encoder = self.train_items.encoder
            return StreamWindows(
                StreamItems(
                    self.processor.feature_extractor,
                    encoder,
                    self.data.stream,
                    has_language=not encoder.languages or self.decoding.language is not None,
                    seed=plan.seed,
                    augmentation=self.train_items.augmentation,
                ),
                StreamOrder(self.data.stream, rank=rank, num_processes=plan.num_processes, seed=plan.seed),
                plan,
                collator=self.train_collator,
                start=place or Place(),
                num_workers=num_workers,
                pin_memory=pin_memory,
            )
        assert isinstance(plan, WindowPlan)
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
        """A checksum of what is trained on: resuming requires the same data."""
        if self.train_items.encoder_cache is not None:  # the training data is this encoder's output
            return zlib.crc32(self.train_items.encoder_cache.folder.name.encode())
        if self.data.stream is not None:
            return self.data.stream.checksum
        of_speech = fingerprint(self.data.train)
        no_speech = self.data.no_speech
        return of_speech if no_speech is None else zlib.crc32(f"{of_speech} {no_speech.checksum}".encode())

    def noise_fingerprint(self) -> str | None:
        """What resumed runs must have in common of the noise in training clips; None without any."""
        augmentation = self.train_items.augmentation
        noise = augmentation.noise if augmentation is not None else None
        return f"recordings {noise.fingerprint}" if isinstance(noise, NoiseFolder) else None


def _stitched_windows(
    config: Config,
    data: RunData,
    feature_extractor: WhisperFeatureExtractor,
    encoder: LabelEncoder,
    augmentation: Augmentation | None,
) -> StitchedWindows | None:
    if not isinstance(data.packing, Stitching):
        return None
    return StitchedWindows(
        data.train,
        data.packing,
        feature_extractor=feature_extractor,
        encoder=encoder,
        timestamps_probability=config.timestamps_probability,
        previous_text_probability=config.previous_text_probability,
        seed=config.training.seed,
        augmentation=augmentation,
    )


def load_job(config: Config, device: torch.device = CPU) -> Job:
    """Load everything, the same on every rank. Each rank does it for itself, so that none waits for another.

    Args:
        device: The device that trains, and may compute the features.

    Raises:
        UserError: as the parts of it raise; or the normaliser leaves no validation text to score.
    """
    training, augment, spec_augment = config.training, config.augment, config.spec_augment
    model_settings, data_settings, evaluation = config.model, config.data, config.evaluation
    noise = open_noise(augment)
    loaded = load_model(
        model_settings,
        evaluation,
        language_of_rows=data_settings.language_column is not None,
        num_workers=num_workers_of_rank(training.dataloader_num_workers, device=device),
        device=device,
    )
    model, processor, encoder = loaded.model, loaded.processor, loaded.encoder
    freeze(model, *frozen_parts(model_settings.freeze))
    if config.lora.enabled:
        add_lora(model, config.lora, model_settings, seed=training.seed)
    base = base_weights(model, model_settings) if config.checkpoint.interpolate else None
    if model_settings.cache_encoder_outputs:
        modeling.require_constant_encoder(model)
    if data_settings.no_speech_fraction:
        modeling.allow_empty_transcripts(model)
    data = load_train_and_validation(
        data_settings,
        encoder=encoder,
        sampling_rate_hz=processor.feature_extractor.sampling_rate,
        window_s=modeling.window_s(processor),
        seed=training.seed,
        pack=training.pack,
        timestamps=config.timestamps_probability > 0,
        slowest=augment.slowest,
    )
    if noise is not None:
        data.notices.append(noise.notice())
    if model_settings.language is None and encoder.languages:
        for utterances in (data.train, data.validation):
            require_languages(model, utterances)
    data.notices.extend(loaded.reference_warnings(data.validation, evaluation))
    if data_settings.text.written_times == "read" and not config.timestamps_probability:
        data.notices.append(
            "data.text.written_times: read takes the times out of the texts, and data.timestamps_probability is 0: no "
            "label has them; set it to 0.5 to have half of them learnt"
        )
    extractor = processor.feature_extractor
    guards = _guards_of(loaded, config, data)
    long_recordings = _long_recordings_of(loaded, config, data)
    collator = loaded.collator_for(device, features_on_device=data_settings.features_on_device)
    train_collator = replace(collator, merging=merging_of(training.audio_context, model, processor))
    if train_collator.merging is not None and model.config.apply_spec_augment and not spec_augment.enabled:
        raise UserError(
            "does not go with the model's own SpecAugment (apply_spec_augment in its config.json), which masks padding "
            "too: merging takes padding to be constant",
            setting="--training.audio_context",
            value=training.audio_context,
            remedy="add --spec_augment.enabled true, which masks the speech alone, or leave it out",
        )
    encoder_cache = None
    if model_settings.cache_encoder_outputs:
        encoder_cache = _encoder_cache(data.train, loaded, data_settings, data.notices)
        train_collator = replace(train_collator, encoded_shape=encoder_cache.shape)
    if spec_augment.enabled:
        train_collator = replace(train_collator, spec_augment=_masks_of(spec_augment))
        if model.config.apply_spec_augment:
            model.config.apply_spec_augment = False
            data.notices.append(
                "spec_augment.enabled: the model's own SpecAugment (apply_spec_augment in its config.json) is off; it "
                "would mask padding too"
            )
    augmentation = None
    if augment.is_on:
        augmentation = Augmentation(augment, extractor.sampling_rate, noise)
    train_items = ClipItems(
        data.train,
        feature_extractor=extractor,
        encoder=encoder,
        timestamps_probability=config.timestamps_probability,
        seed=training.seed,
        encoder_cache=encoder_cache,
        augmentation=augmentation,
        no_speech=data.no_speech,
        previous_text_probability=config.previous_text_probability,
        stitched=_stitched_windows(config, data, extractor, encoder, augmentation),
    )
    validation_items = ClipItems(
        data.validation, feature_extractor=extractor, encoder=encoder, prompt=loaded.decoding.prompt
    )
    return Job(
        model=model,
        processor=processor,
        decoding=loaded.decoding,
        data=data,
        train_items=train_items,
        validation_items=validation_items,
        collator=collator,
        train_collator=train_collator,
        guards=guards,
        base_weights=base,
        long_recordings=long_recordings,
    )


def _guards_of(loaded: LoadedModel, config: Config, data: RunData) -> tuple[Guard, ...]:
    guards, notices = load_guards(
        config.evaluation.guards,
        config.data,
        train=data.train if data.stream is None else None,
        encoder=loaded.encoder,
        sampling_rate_hz=loaded.processor.feature_extractor.sampling_rate,
        window_s=modeling.window_s(loaded.processor),
    )
    data.notices.extend(notices)
    for guard in guards:
        if guard.utterances is not None and loaded.encoder.languages and config.model.language is None:
            require_languages(loaded.model, guard.utterances)
    return tuple(guards)


def _long_recordings_of(loaded: LoadedModel, config: Config, data: RunData) -> tuple[LongRecording, ...]:
    recordings, notices = load_long_recordings(
        config.evaluation.long_form,
        config.data,
        validation=data.validation,
        most=config.evaluation.long_form_recordings,
        encoder=loaded.encoder,
        sampling_rate_hz=loaded.processor.feature_extractor.sampling_rate,
        window_s=modeling.window_s(loaded.processor),
    )
    data.notices.extend(notices)
    if loaded.encoder.languages and config.model.language is None:
        for recording in recordings:
            require_languages(loaded.model, recording.utterances)
    return tuple(recordings)


def _masks_of(settings: SpecAugmentConfig) -> SpecAugment:
    return SpecAugment(
        mask_time_prob=settings.mask_time_prob,
        mask_time_length=settings.mask_time_length,
        mask_feature_prob=settings.mask_feature_prob,
        mask_feature_length=settings.mask_feature_length,
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
