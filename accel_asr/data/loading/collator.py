"""From items to one batch: features stacked, labels padded with -100, exactly one start-of-transcript."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from transformers import WhisperFeatureExtractor

from accel_asr.audio.batch_log_mel import BatchLogMel
from accel_asr.audio.log_mel import features_shape, log_mel

IGNORED_LABEL = -100  # cross_entropy's default ignore_index


@dataclass(frozen=True, slots=True)
class Item:
    """One clip as a batch takes it, with its label from start-of-transcript to end-of-text.

    `clip` is its audio: int16, (samples,); or, where those are cached, its encoder outputs, float16, (positions,
    width); features, (mel bins, frames), are taken as they are. The first `prompt_tokens` of the label come before its
    start-of-transcript, and are read but not learnt. `packed_ids` are those of all utterances of a pack, where several
    share the window; `utterance_id` is the first.
    """

    utterance_id: str
    duration_s: float
    clip: np.ndarray
    token_ids: Sequence[int]
    prompt_tokens: int = 0
    packed_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FailedItem:
    """A clip that could not be decoded, or, in a stream, one that a setting leaves out; the batch is without it."""

    utterance_id: str
    reason: str
    is_filtered: bool = False


@dataclass(slots=True)
class Batch:
    """A micro-batch.

    An empty one (a slot that a short last window does not fill) holds one silent row without labels, so that every
    rank still makes its forward and backward pass, and adds nothing to loss or gradient.

    `to` a device makes the features of one that has samples, int16, (batch, samples), in their place.
    """

    utterance_ids: list[str]  # one for each row, or more where utterances are packed
    audio_s: float
    input_features: torch.Tensor  # (batch, mel bins, frames); or of a frozen encoder, its outputs, see `is_encoded`
    decoder_input_ids: torch.Tensor  # (batch, tokens), starts with one <|startoftranscript|>
    labels: torch.Tensor  # (batch, tokens), the next token of each position, -100 where there is none
    target_positions: torch.Tensor  # (targets,), where labels.flatten() is not -100
    failed: list[FailedItem]  # clips that should be in it, and could not be decoded
    is_encoded: bool = False  # the features are what the encoder said of the clips, (batch, positions, width), float16
    log_mel: BatchLogMel | None = None  # where there are samples in place of features: what makes these

    def model_inputs(self) -> dict[str, Any]:
        """What the model is given of the clips, by the argument's name. Outputs of the encoder turn into fp32 here."""
        assert self.log_mel is None, "these are samples: move them to a device first"
        if self.is_encoded:
            return {"encoder_outputs": (self.input_features.float(),)}
        return {"input_features": self.input_features}

    @property
    def target_labels(self) -> torch.Tensor:
        """What the decoder is asked for at the target positions, (targets,)."""
        return self.labels.flatten()[self.target_positions]

    def pin_memory(self) -> "Batch":
        """Called by a thread beside the training, so that the copy to the device can overlap with work there."""
        return self._with(tensor.pin_memory() for tensor in self._tensors())

    def to(self, device: torch.device) -> "Batch":
        """A copy on `device`, with its features."""
        moved = self._with(tensor.to(device, non_blocking=True) for tensor in self._tensors())
        if moved.log_mel is None:
            return moved
        return replace(moved, input_features=moved.log_mel(moved.input_features), log_mel=None)

    def heard(self, frames: int) -> "Batch":
        """The same with the first `frames` frames of the features, in the same memory."""
        if self.log_mel is not None:
            return replace(self, log_mel=replace(self.log_mel, frames=frames))
        return replace(self, input_features=self.input_features[..., :frames])

    def _with(self, tensors: Iterable[torch.Tensor]) -> "Batch":
        input_features, decoder_input_ids, labels, target_positions = tensors
        return replace(
            self,
            input_features=input_features,
            decoder_input_ids=decoder_input_ids,
            labels=labels,
            target_positions=target_positions,
        )

    def _tensors(self) -> tuple[torch.Tensor, ...]:
        return self.input_features, self.decoder_input_ids, self.labels, self.target_positions


@dataclass(frozen=True, kw_only=True)
class Collator:
    """Make a `Batch` of items.

    The decoder reads each label without its last token and is asked for the same label without its first. That leaves
    one start token, whichever of Whisper's special tokens coincide; a previous text before it is read and not
    asked for. Positions are masked by length, never by value: the padding token is also the end-of-text token, which
    is a target once.

    Args:
        feature_extractor: The model's own; features of audio are made here, straight into the batch.
        features_on_device: Leave that to the device that the batch will be moved to.
        encoded_shape: (positions, width) of items that hold what the encoder said; None where no item does.
    """

    feature_extractor: WhisperFeatureExtractor
    start_token_id: int
    pad_token_id: int
    features_on_device: bool = False
    encoded_shape: tuple[int, int] | None = None

    def __call__(self, given: Sequence[Item | FailedItem]) -> Batch:
        items = [item for item in given if isinstance(item, Item)]
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
        return Batch(
            utterance_ids=[name for item in items for name in item.packed_ids or (item.utterance_id,)],
            audio_s=sum(item.duration_s for item in items),
            input_features=padded_samples(items) if are_samples else self._features(items),
            decoder_input_ids=decoder_input_ids,
            labels=labels,
            # found here, on the CPU: on a GPU it would wait for the device
            target_positions=torch.nonzero(labels.flatten() != IGNORED_LABEL).flatten(),
            failed=[item for item in given if isinstance(item, FailedItem)],
            is_encoded=self.encoded_shape is not None,
            log_mel=BatchLogMel.of_extractor(self.feature_extractor) if are_samples else None,
        )

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


def padded_samples(items: Sequence[Item]) -> torch.Tensor:
    """int16, (batch, samples of the longest clip), zeros after the shorter ones."""
    samples = torch.zeros(len(items), max(len(item.clip) for item in items), dtype=torch.int16)
    for row, item in zip(samples, items, strict=True):
        row[: len(item.clip)] = torch.from_numpy(item.clip)
    return samples
