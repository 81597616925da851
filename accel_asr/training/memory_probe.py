"""The largest micro-batch that a device has memory for, found by real steps on a copy of the model.

A step is as in a run: forward, backward with gradients that are there already, clipping, the optimizer with its state.
It has the worst case of everything: the longest label in every row, and the encoder's whole window. The copy is trained
and thrown away, so that the model and the random number generators of the run are as if there had been no probe.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from accelerate import Accelerator
from accelerate.utils import find_executable_batch_size
from torch import nn

from accel_asr.model.whisper_for_training import WhisperForTraining
from accel_asr.training.launch.device_memory import available_bytes, free_memory, is_out_of_memory, peak_watched
from accel_asr.training.random_state import random_state_kept

USED_SHARE = 0.9  # of what is free: the rest is for evaluations, fragments of freed memory and other programs
_FURTHEST = 8  # times the largest measured size is how far a line is followed before the next measurement

BuildOptimizer = Callable[[nn.Module], torch.optim.Optimizer]


@dataclass(frozen=True)
class Fitting:
    """What a probe found, in bytes.

    micro_batch: 0 where not even one row fits. needed: by a step of it (of one row where nothing fits), beside what was
    in use before; 0 where that is not known. limit: what a step may need.
    """

    micro_batch: int
    needed: int
    limit: int


@dataclass(frozen=True)
class MemoryProbe:
    """Makes steps of any micro-batch.

    Args:
        model: As it will be trained, before it is moved to its device and wrapped.
        build_optimizer: Makes the run's optimizer for a copy of it.
        clip_shape: Of the features of one clip, or of its encoder outputs where `is_encoded`.
        label_positions: Decoder positions of the longest label.
        reserved_bytes: What a run needs on the device beside its steps.
    """

    model: WhisperForTraining
    build_optimizer: BuildOptimizer
    clip_shape: tuple[int, int]
    is_encoded: bool
    label_positions: int
    accelerator: Accelerator
    reserved_bytes: int = 0

    def largest(self, candidates: Sequence[int]) -> Fitting:
        """The largest of `candidates`, ascending, that fits. No collective: each rank finds its own."""
        device = self.accelerator.device
        with random_state_kept(device):
            free_memory()
            limit = int(available_bytes(device) * USED_SHARE) - self.reserved_bytes
            find = self.largest_by_growth if device.type == "cpu" else self.largest_by_trying
            fitting = find(candidates, limit=limit)
            free_memory()
        return fitting

    def largest_by_trying(self, candidates: Sequence[int], *, limit: int) -> Fitting:
        """On a GPU: from the largest down, until a step does not run out of memory."""
        device, left = self.accelerator.device, list(candidates)
        kept_free = max(available_bytes(device) - limit, 0)

        def next_smaller() -> int:
            left.pop()
            return left[-1] if left else 0

        def needed_by(micro_batch: int) -> int:
            ballast = torch.empty(kept_free, dtype=torch.uint8, device=device)
            if device.type == "cuda":
                torch.cuda.reset_peak_memory_stats(device)
            self.step(micro_batch)
            del ballast
            return torch.cuda.max_memory_allocated(device) - kept_free if device.type == "cuda" else 0

        find = find_executable_batch_size(needed_by, starting_batch_size=left[-1], reduce_batch_size_fn=next_smaller)
        try:
            needed = find()
        except RuntimeError:
            if left:  # else it is the library's own error, that nothing is left to try
                raise
            return Fitting(0, 0, limit)
        return Fitting(left[-1], needed, limit)

    def largest_by_growth(self, candidates: Sequence[int], *, limit: int) -> Fitting:
        """On a CPU, where no error comes before the system kills the process.

        What 1 and 2 rows need says what more would; the largest that should fit is tried, and nothing that should not.
        """
        needed: dict[int, int] = {}
        too_large = candidates[-1] + 1

        def measure(size: int) -> None:
            nonlocal too_large
            measured = self.needed_by(size)
            if measured is None:
                too_large = size
            else:
                needed[size] = measured

        for size in (1, 2)[: candidates[-1]]:
            if size < too_large and needed.get(size - 1, 0) <= limit:
                measure(size)
        while True:
            best = max((size for size in candidates if needed.get(size, limit + 1) <= limit), default=0)
            if not best:
                return Fitting(0, needed.get(1, 0), limit)
            untried = [size for size in candidates if best < size < too_large and size not in needed]
            fitting = [size for size in untried if foreseen(needed, size) <= limit]
            if not fitting:
                return Fitting(best, needed[best], limit)
            near = [size for size in fitting if size <= _FURTHEST * best] or fitting[:1]
            measure(near[-1])

    def needed_by(self, micro_batch: int) -> int | None:
        """What a step of `micro_batch` rows needs on a CPU, in bytes of resident memory.

        None where a limit of the process (`ulimit -v`) does not let it have that.
        """
        free_memory()
        with peak_watched() as peak:
            before = peak.bytes
            try:
                self.step(micro_batch)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                return None
        return peak.bytes - before

    def step(self, micro_batch: int) -> None:
        """Make one optimizer step of `micro_batch` rows, on a copy of the model that ends with it."""
        device = self.accelerator.device
        model = copy.deepcopy(self.model).to(device).train()
        optimizer = self.build_optimizer(model)
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                parameter.grad = torch.zeros_like(parameter)
        optimizer.step()  # from here on there are gradients and states, as in all steps of a run but the first
        clips = torch.zeros((micro_batch, *self.clip_shape), device=device)
        tokens = torch.zeros((micro_batch, self.label_positions), dtype=torch.long, device=device)
        with self.accelerator.autocast():
            loss_sum = model(
                **({"encoder_outputs": (clips,)} if self.is_encoded else {"input_features": clips}),
                decoder_input_ids=tokens,
                use_cache=False,
                target_positions=torch.arange(tokens.numel(), device=device),
                target_labels=tokens.flatten(),
                row_seeds=torch.zeros(micro_batch, dtype=torch.long, device=device),
            ).loss_sum
        loss_sum.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()


def foreseen(needed: Mapping[int, int], size: int) -> int:
    """What `size` rows would need, by the line through what the two largest measured sizes needed."""
    (small, low), (large, high) = sorted(needed.items())[-2:]
    return high + (high - low) * (size - large) // (large - small)
