"""The moving average of the trained weights, and other weights lent to a model for an evaluation."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

UPDATES = "updates"  # stands beside the weights in a file; names of weights have dots


class MovingAverage:
    """An exponential moving average of the trained weights, in their place and precision: fp32, shards where sharded.

    The decay of an update is min(decay, (1 + n) / (10 + n)) after n updates, as in TensorFlow's
    `ExponentialMovingAverage`: otherwise a short run would mostly average the weights that it began with.

    Args:
        model: Prepared, without its wrapper.
        decay: None for no average: then it holds nothing, and updates do nothing.
    """

    def __init__(self, model: nn.Module, decay: float | None) -> None:
        self.decay = decay
        self.updates = 0
        trained = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
        self._weights = {} if decay is None else {name: weight.detach() for name, weight in trained.items()}
        self.tensors = {name: weight.clone() for name, weight in self._weights.items()}

    def update(self, *, skipped: bool = False) -> None:
        """Take in the weights as they are now, unless fp16's loss scaler `skipped` their update. No collective."""
        if self.decay is None or skipped:
            return
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        get_ema_multi_avg_fn(decay)([*self.tensors.values()], [*self._weights.values()], None)
        self.updates += 1

    def begin_here(self) -> None:
        """Begin anew at the weights as they are now."""
        self.updates = 0
        for name, weight in self._weights.items():
            self.tensors[name].copy_(weight)

    def state(self) -> dict[str, torch.Tensor]:
        """What `load_state` continues from: the tensors, not copied, and the updates so far. Empty without a decay."""
        return {**self.tensors, UPDATES: torch.tensor(self.updates)} if self.tensors else {}

    def load_state(self, state: Mapping[str, torch.Tensor]) -> None:
        """Continue from a state whose tensors are sharded as those here are."""
        self.updates = int(state[UPDATES])
        for name, tensor in self.tensors.items():
            tensor.copy_(state[name])


@contextmanager
def lent(model: nn.Module, tensors: Mapping[str, torch.Tensor]) -> Iterator[None]:
    """Inside, the weights of these names have these values; afterwards they have their own again, bit for bit.

    The values are exchanged, which takes memory for one weight only: inside, `tensors` hold the model's.

    Args:
        model: Without its wrapper.
        tensors: On the device of the weights, and sharded as they are.
    """
    weights = dict(model.named_parameters())
    pairs = [(weights[name].detach(), tensor) for name, tensor in tensors.items()]
    _exchange(pairs)
    try:
        yield
    finally:
        _exchange(pairs)


def _exchange(pairs: list[tuple[torch.Tensor, torch.Tensor]]) -> None:
    for weight, other in pairs:
        kept = weight.clone()
        weight.copy_(other)
        other.copy_(kept)
