"""Dropout whose masks depend on the seed of each row and on nothing else.

torch's own draws from the generator of a rank, so that a row gets another mask on another rank or micro-batch.
Here each number is kept or not by a hash of its row's seed, its layer, position and feature: the same on any topology
and device, with any padding, and when a checkpointed layer is computed again.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

_GOLDEN = 0x9E3779B97F4A7C15  # and the other two: SplitMix64
_MIX = (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
_LAYER = 0xD1B54A32D192ED03  # odd


@dataclass
class RowSeeds:
    """Those of the batch that is in the forward pass, int64, (rows,); all dropouts of a model share one."""

    of_batch: torch.Tensor | None = None


class RowDropout(nn.Module):
    """Sets a share `p` of the numbers to zero in training, and scales the others up. See the module.

    Args:
        layer: Its number among those of the model, so that each layer has masks of its own.
    """

    def __init__(self, p: float, seeds: RowSeeds, *, layer: int) -> None:
        super().__init__()
        self.p, self.seeds, self.layer, self._word = p, seeds, layer, layer_word(layer)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Of (rows, positions, features)."""
        if not self.training or not self.p:
            return inputs
        seeds = self.seeds.of_batch
        assert seeds is not None, "a batch that is trained on has the seed of each row"
        return inputs.masked_fill(dropped(seeds, inputs.shape, p=self.p, layer=self._word), 0.0) / (1 - self.p)

    def extra_repr(self) -> str:
        return f"p={self.p}, layer={self.layer}"


def layer_word(layer: int) -> torch.Tensor:
    """What sets the masks of a layer apart, an int64: a tensor, since for a number torch would compile each layer."""
    return torch.tensor(_signed(_LAYER * (layer + 1)))


def dropped(seeds: torch.Tensor, shape: Any, *, p: float, layer: torch.Tensor) -> torch.Tensor:
    """Which numbers of (rows, positions, features) are dropped; `layer` is its `layer_word`.

    A word of the feature is hashed by two of the position, `(word ^ one) * other`: three passes over the numbers,
    in 32 bits that overflow. More mixing would cost as much as the layers of a large model on a GPU.
    """
    rows, positions, features = shape
    assert len(seeds) == rows, f"{len(seeds)} seeds for {rows} rows"
    places = torch.arange(-features, positions, device=seeds.device)
    words = _mixed((seeds ^ layer)[:, None] + places * _signed(_GOLDEN))
    low, high = words.to(torch.int32), (words >> 32).to(torch.int32)
    hashed = low[:, features:, None] ^ low[:, None, :features]
    hashed *= high[:, features:, None] | 1
    return hashed < int(p * 2**32) - 2**31


def _mixed(words: torch.Tensor) -> torch.Tensor:
    """SplitMix64's output function, of int64 in place of unsigned."""
    for shift, factor in ((30, _MIX[0]), (27, _MIX[1])):
        words = (words ^ (words >> shift & (1 << 64 - shift) - 1)) * _signed(factor)
    return words ^ (words >> 31 & (1 << 33) - 1)


def _signed(word: int) -> int:
    """The int64 of the same bits."""
    word &= 2**64 - 1
    return word - 2**64 if word >= 2**63 else word
