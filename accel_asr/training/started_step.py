"""An update that the device may still be making, and what came of it: the host reads that later, and waits for nothing
while it hands over the work."""

import math
from dataclasses import dataclass

import torch
from accelerate.utils import gather_object

from accel_asr.data.loading.items import FailedItem


class NonFiniteError(Exception):
    """Loss or gradient is not a number; raised on every rank, and the weights are those from before the step."""


@dataclass(frozen=True)
class StepResult:
    """What one update was, over all ranks.

    loss: mean cross-entropy of a target token of the window, in nats, with label smoothing if there is any. grad_norm:
    before clipping.
    skipped: fp16 only, the loss scale was too high and the update was skipped.
    failed: clips that could not be decoded, so that the window was without them.
    """

    loss: float
    grad_norm: float
    target_tokens: int
    audio_s: float
    skipped: bool
    failed: tuple[FailedItem, ...] = ()


class DeviceReading:
    """Numbers on their way to the host: those that the device was about to compute when they were asked for.

    Work that the device is given later does not delay them, as it would delay `Tensor.tolist`.
    """

    def __init__(self, numbers: torch.Tensor) -> None:
        is_cuda = numbers.device.type == "cuda"
        self._on_host = numbers.to("cpu", non_blocking=is_cuda)  # into pinned memory, then
        self._arrived = torch.cuda.Event() if is_cuda else None
        if self._arrived is not None:
            self._arrived.record()

    def values(self) -> list[float]:
        """Wait for them."""
        if self._arrived is not None:
            self._arrived.synchronize()
        values: list[float] = self._on_host.tolist()
        return values


@dataclass(kw_only=True)
class StartedStep:
    """What `start_step` gave to the device.

    numbers: the sum of the window's token losses and the norm of its gradient, over all ranks.
    has_failed: 1.0 if one of them is not finite, or one of an earlier step was: then the weights stay; on the device.
    utterance_ids, loss_sums: of each micro-batch of this rank.
    is_read: the host has waited for the numbers, as the optimizer could not be stopped by the device.
    scaler_decides: fp16: a gradient that is not finite only skips the update.
    """

    numbers: DeviceReading
    has_failed: torch.Tensor
    target_tokens: int
    audio_s: float
    failed: tuple[FailedItem, ...]
    utterance_ids: list[list[str]]
    loss_sums: list[torch.Tensor]
    is_read: bool
    scaler_decides: bool

    @property
    def is_skipped(self) -> bool:
        """Whether fp16's loss scaler skips the update; elsewhere known without a look at the numbers."""
        return self.scaler_decides and not math.isfinite(self.numbers.values()[1])

    def result(self) -> StepResult:
        """Wait for the update. A collective where it failed.

        Raises:
            NonFiniteError: the loss or the gradient is not finite; names the utterances, the weights are untouched.
        """
        loss_sum, grad_norm = self.numbers.values()
        loss = loss_sum / self.target_tokens
        if not math.isfinite(loss) or (not math.isfinite(grad_norm) and not self.scaler_decides):
            raise NonFiniteError(self._what_failed(loss, grad_norm))
        return StepResult(loss, grad_norm, self.target_tokens, self.audio_s, self.is_skipped, self.failed)

    def _what_failed(self, loss: float, grad_norm: float) -> str:
        """Name the micro-batches to blame: those with a loss that is not finite, or else all. A collective."""
        finite = [math.isfinite(float(loss_sum)) for loss_sum in self.loss_sums]
        everyones = gather_object(list(zip(self.utterance_ids, finite, strict=True)))
        blamed = [ids for ids, is_finite in everyones if not is_finite] or [ids for ids, _ in everyones]
        names = ", ".join(utterance_id for ids in blamed for utterance_id in ids)
        return f"loss {loss}, gradient norm {grad_norm}; the utterances of the batch: {names}"
