"""Collates items into a batch: features stacked, labels padded with -100, exactly one start-of-transcript."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from transformers import WhisperFeatureExtractor

from accel_asr.audio.batch_log_mel import BatchLogMel
from accel_asr.audio.log_mel import features_shape, log_mel
from accel_asr.audio.spec_augment import ClipMasks, SpecAugment, mask_features
from accel_asr.data.loading.items import FailedItem, Item
from accel_asr.model.silence_merging import KeptPositions, SilenceMerging

IGNORED_LABEL = -100  # cross_entropy's default ignore_index


@dataclass(slots=True)
class Batch:
    """A micro-batch.

    An empty one (a slot that a short last window does not fill) holds one silent row without labels, so that every
    rank still makes its forward and backward pass; it adds nothing to loss or gradient.

    Instead of features it may hold samples, int16, (batch, samples); `to` computes the features on the device, and
    masks them there.
    """

    utterance_ids: list[str]  # one per row, or several where utterances are packed
    audio_s: float
    input_features: torch.Tensor  # (batch, mel bins, frames); or encoder outputs, see `is_encoded`
    decoder_input_ids: torch.Tensor  # (batch, tokens), starts with one <|startoftranscript|>
    labels: torch.Tensor  # (batch, tokens), the next token at each position, -100 where there is none
    target_positions: torch.Tensor  # (targets,), where labels.flatten() is not -100
    row_seeds: torch.Tensor  # int64, (batch,), of each row in its epoch, see `row_seed`
    failed: list[FailedItem]  # clips that are missing from it
    masks: tuple[ClipMasks, ...] = ()  # SpecAugment's, in the features or, where there are samples, to be in them
    is_encoded: bool = False  # the features are encoder outputs, (batch, positions, width), float16
    kept: KeptPositions | None = None  # of the encoder, where padding is merged; the features end soon after the clips
    log_mel: BatchLogMel | None = None  # computes the features, where there are samples instead

    def model_inputs(self) -> dict[str, Any]:
        """Keyword arguments of the model for the clips. Encoder outputs are converted to fp32 here."""
        assert self.log_mel is None, "these are samples: move them to a device first"
        if self.is_encoded:
            return {"encoder_outputs": (self.input_features.float(),)}
        return {"input_features": self.input_features, "kept": self.kept}

    @property
    def target_labels(self) -> torch.Tensor:
        """The labels at the target positions, (targets,)."""
        return self.labels.flatten()[self.target_positions]

    def pin_memory(self) -> "Batch":
        """Pin the tensors, in a thread beside the training, so that the copy to the device overlaps with work there."""
        pinned = self._with(tensor.pin_memory() for tensor in self._tensors())
        return replace(pinned, kept=self.kept and self.kept.pin_memory())

    def to(self, device: torch.device) -> "Batch":
        """A copy on `device`, with its features."""
        moved = self._with(tensor.to(device, non_blocking=True) for tensor in self._tensors())
        moved = replace(moved, kept=self.kept and self.kept.to(device, non_blocking=True))
        if moved.log_mel is None:
            return moved
        features = moved.log_mel(moved.input_features)
        mask_features(features, moved.masks)
        return replace(moved, input_features=features, log_mel=None)

    def _with(self, tensors: Iterable[torch.Tensor]) -> "Batch":
        input_features, decoder_input_ids, labels, target_positions, row_seeds = tensors
        return replace(
            self,
            input_features=input_features,
            decoder_input_ids=decoder_input_ids,
            labels=labels,
            target_positions=target_positions,
            row_seeds=row_seeds,
        )

    def _tensors(self) -> tuple[torch.Tensor, ...]:
        return self.input_features, self.decoder_input_ids, self.labels, self.target_positions, self.row_seeds


@dataclass(frozen=True, kw_only=True)
class Collator:
    """Make a `Batch` of items.

    The decoder reads each label without its last token, and its targets are the label without its first. That leaves
    one start token, whichever of Whisper's special tokens coincide. Prompt tokens are read but are no targets.
    Positions are masked by length, never by value: the padding token is also the end-of-text token, a target once.

    Args:
        feature_extractor: The model's own; features of audio are computed straight into the batch.
        features_on_device: Leave that to the device that the batch will be moved to.
        encoded_shape: (positions, width) of items that hold encoder outputs; None where no item does.
        spec_augment: Masks features, not encoder outputs; None for none.
        merging: Of the padding of each clip; None keeps the whole window.
    """

    feature_extractor: WhisperFeatureExtractor
    start_token_id: int
    pad_token_id: int
    features_on_device: bool = False
    encoded_shape: tuple[int, int] | None = None
    spec_augment: SpecAugment | None = None
    merging: SilenceMerging | None = None

    def __call__(self, all_items: Sequence[Item | FailedItem]) -> Batch:
        items = [item for item in all_items if isinstance(item, Item)]
        longest = max((len(item.token_ids) - 1 for item in items), default=1)
        rows = max(len(items), 1)
        are_samples = self.features_on_device and any(item.clip.ndim == 1 for item in items)
        decoder_input_ids = torch.full((rows, longest), self.pad_token_id, dtype=torch.long)
        decoder_input_ids[:, 0] = self.start_token_id
        labels = torch.full((rows, longest), IGNORED_LABEL, dtype=torch.long)
        for index, item in enumerate(items):
            assert item.token_ids[item.prompt_tokens] == self.start_token_id, f"{item.utterance_id}: no start token"
            length = len(item.token_ids) - 1
            decoder_input_ids[index, :length] = torch.tensor(item.token_ids[:-1])
            labels[index, item.prompt_tokens : length] = torch.tensor(item.token_ids[item.prompt_tokens + 1 :])
            if item.after_start is not None:
                labels[index, item.prompt_tokens] = item.after_start
        features = _padded_samples(items) if are_samples else self._features(items)
        masks = self._masks(items)
        if not are_samples:
            mask_features(features, masks)
        clips_s = [item.clip_spans(self._rate_hz)[-1].stop_sample / self._rate_hz for item in items] or [0.0]
        kept = None if self.merging is None else self.merging.of_batch(clips_s)
        log_mel = BatchLogMel.of_extractor(self.feature_extractor) if are_samples else None
        if self.merging is not None and kept is not None:
            frames = self.merging.frames_of(clips_s)
            if log_mel is not None:
                log_mel = replace(log_mel, frames=frames)
            else:
                features = features[..., :frames].contiguous()
        return Batch(
            utterance_ids=[clip.utterance_id for item in items for clip in item.clip_spans(self._rate_hz)],
            audio_s=sum(item.duration_s for item in items),
            input_features=features,
            decoder_input_ids=decoder_input_ids,
            labels=labels,
            # on the CPU: nonzero on a GPU would wait for the device
            target_positions=torch.nonzero(labels.flatten() != IGNORED_LABEL).flatten(),
            row_seeds=torch.tensor([item.row_seed for item in items] or [0], dtype=torch.long),
            failed=[item for item in all_items if isinstance(item, FailedItem)],
            masks=masks,
            is_encoded=self.encoded_shape is not None,
            kept=kept,
            log_mel=log_mel,
        )

    def _masks(self, items: Sequence[Item]) -> tuple[ClipMasks, ...]:
        if self.spec_augment is None:
            return ()
        hop = self.feature_extractor.hop_length
        bins, frames = features_shape(self.feature_extractor)
        return tuple(
            self.spec_augment.draw(
                clip.row_seed,
                row=row,
                # a frame is centred on every hop's first sample
                first_frame=-(-clip.first_sample // hop),
                stop_frame=min(-(-clip.stop_sample // hop), frames),
                bins=bins,
            )
            for row, item in enumerate(items)
            for clip in item.clip_spans(self._rate_hz)
        )

    @property
    def _rate_hz(self) -> int:
        rate_hz: int = self.feature_extractor.sampling_rate
        return rate_hz

    def _features(self, items: Sequence[Item]) -> torch.Tensor:
        shape, dtype = features_shape(self.feature_extractor), torch.float32
        if self.encoded_shape is not None:
            shape, dtype = self.encoded_shape, torch.float16
        if not items:
            return torch.zeros(1, *shape, dtype=dtype)
        features = torch.empty(len(items), *shape, dtype=dtype)
        for row, item in zip(features, items, strict=True):
            if item.clip.ndim == 1:
                log_mel(item.clip, self.feature_extractor, out=row.numpy())
            else:
                row[:] = torch.from_numpy(item.clip)
        return features


def _padded_samples(items: Sequence[Item]) -> torch.Tensor:
    """int16, (batch, samples of the longest clip), zeros after the shorter ones."""
    samples = torch.zeros(len(items), max(len(item.clip) for item in items), dtype=torch.int16)
    for row, item in zip(samples, items, strict=True):
        row[: len(item.clip)] = torch.from_numpy(item.clip)
    return samples
