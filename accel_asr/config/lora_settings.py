"""Settings of LoRA adapters. Names and meanings are peft's, but for `enabled`."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Literal

from accel_asr.errors import UserError


@dataclass(frozen=True)
class LoraConfig:
    """LoRA adapters: small matrices beside the model's linear layers are trained in place of its weights. `best/` and
    `last/` hold whole models, `best_adapter/` the adapters alone. Needs `pip install 'accel-asr[lora]'`."""

    enabled: bool = False
    """Train adapters; the model's own weights stay as they are. The other settings of this section need it."""
    r: int = 32
    """Rank of the adapters."""
    lora_alpha: int = 64
    """What an adapter adds is scaled by `lora_alpha` / `r`."""
    lora_dropout: float = 0.05
    """Share of an adapter's inputs that are set to zero in training."""
    target_modules: Literal["all-linear"] | list[str] = "all-linear"
    """Which linear layers get an adapter: all but the output projection, or those of these names, such as
    `[q_proj, v_proj]`. Frozen parts of the model get none."""
    use_dora: bool = False
    """Weight-decomposed adapters (DoRA): the length of each weight vector is trained too. Slower."""
    use_rslora: bool = False
    """Scale by `lora_alpha` / square root of `r` instead, for high ranks."""
    modules_to_save: list[str] = field(default_factory=list)
    """Layers that are trained whole and saved with the adapters, such as `[layer_norm, conv1, conv2]`."""


def lora_errors(lora: LoraConfig) -> Iterator[UserError]:
    """What is wrong with the section, beside ranges."""
    if not lora.enabled:
        return
    if find_spec("peft") is None:
        remedy = "pip install 'accel-asr[lora]', or leave it out"
        yield UserError("peft is not installed", setting="--lora.enabled", value=True, remedy=remedy)
    if not lora.target_modules:
        remedy = "name layers, such as [q_proj, v_proj], or leave it out for all-linear"
        yield UserError("no layer would get an adapter", setting="--lora.target_modules", value=[], remedy=remedy)
