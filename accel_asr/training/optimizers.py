"""The optimizer of a run, from its settings: AdamW, or one with a smaller state, or Muon. They share learning rates."""

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import nn

from accel_asr.config.training_settings import TrainingConfig
from accel_asr.model.parts import NO_MULTIPLIERS, rate_multiplier

FUSED_DEVICE_TYPES = ("cpu", "cuda", "xpu", "mps")
ADAMW = "adamw_torch_fused"
LEAST_8BIT = 4096  # bitsandbytes keeps the states of smaller tensors in 32 bits
# states as large as the weight: memory for their copies is asked for at the start
WHOLE_STATES = {ADAMW: ("exp_avg", "exp_avg_sq")}


def optimizer_of_run(model: nn.Module, training: TrainingConfig, *, learning_rate: float) -> torch.optim.Optimizer:
    """As `build_optimizer`, with the settings of a run."""
    return build_optimizer(
        model,
        learning_rate=learning_rate,
        weight_decay=training.weight_decay,
        rate_multipliers=training.learning_rate_multipliers,
        optim=training.optim,
    )


def build_optimizer(
    model: nn.Module,
    *,
    learning_rate: float,
    weight_decay: float,
    rate_multipliers: Mapping[str, float] = NO_MULTIPLIERS,
    optim: str = ADAMW,
) -> torch.optim.Optimizer:
    """The optimizer named `optim` over the trainable weights; the groups are those of `parameter_groups`.

    `set_learning_rate` sets its rate, and `optimizer_tensors` names all of its state.
    """
    groups = parameter_groups(
        model, weight_decay=weight_decay, rate_multipliers=rate_multipliers, splits_matrices=optim == "muon"
    )
    if optim == "adamw_8bit":
        return _adamw_8bit(groups, model, learning_rate=learning_rate)
    if optim == "adafactor":
        from transformers.optimization import Adafactor

        # as transformers' Trainer has it: the schedule is the run's own. torch's scales by the weight, always
        return cast(
            torch.optim.Optimizer,
            Adafactor(groups, lr=learning_rate, scale_parameter=False, relative_step=False, warmup_init=False),
        )
    if optim == "muon":
        return MuonAndAdamW(groups, learning_rate=learning_rate)
    return torch.optim.AdamW(groups, lr=learning_rate, fused=_can_be_fused(groups))


def parameter_groups(
    model: nn.Module, *, weight_decay: float, rate_multipliers: Mapping[str, float], splits_matrices: bool = False
) -> list[dict[str, Any]]:
    """The trainable weights, one group for each factor of the learning rate and decay; none is empty.

    Biases and norms (one dimension) are not decayed. `set_learning_rate` reads each group's `rate_multiplier`.

    Args:
        splits_matrices: Linear layers get groups of their own, `is_linear`; the embedding that also projects to the
            vocabulary is not one of them.
    """
    linear = _linear_weights(model) if splits_matrices else set()
    groups: dict[tuple[float, bool, bool], dict[str, Any]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            factor, is_decayed = rate_multiplier(name, rate_multipliers), parameter.ndim > 1
            decay = weight_decay if is_decayed else 0.0
            group = {"params": [], "weight_decay": decay, "rate_multiplier": factor}
            is_linear = id(parameter) in linear
            if splits_matrices:
                group["is_linear"] = is_linear
            groups.setdefault((factor, is_decayed, is_linear), group)["params"].append(parameter)
    return list(groups.values())


def state_bytes(model: nn.Module, optim: str) -> int:
    """What the optimizer's state takes from the first step on, about: without scales, tables and counts of steps."""
    linear = _linear_weights(model) if optim == "muon" else set()
    embeddings = _weights_of(model, nn.Embedding)
    return sum(
        _bytes_of_state(parameter, optim, is_linear=id(parameter) in linear, is_embedding=id(parameter) in embeddings)
        for parameter in model.parameters()
        if parameter.requires_grad
    )


class MuonAndAdamW(torch.optim.Optimizer):
    """torch's Muon for linear layers, and its AdamW for everything else, as one optimizer.

    Muon's update is scaled to the size of AdamW's (`match_rms_adamw`, of "Muon is Scalable for LLM Training"), so that
    both take the same learning rate.
    """

    def __init__(self, groups: list[dict[str, Any]], *, learning_rate: float) -> None:
        linear = [group for group in groups if group["is_linear"]]
        others = [group for group in groups if not group["is_linear"]]
        self._inner: list[torch.optim.Optimizer] = []
        if linear:
            self._inner.append(torch.optim.Muon(linear, lr=learning_rate, adjust_lr_fn="match_rms_adamw"))
        if others:
            self._inner.append(torch.optim.AdamW(others, lr=learning_rate, fused=_can_be_fused(others)))
        super().__init__([group for inner in self._inner for group in inner.param_groups], {})

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """One step of both, on this optimizer's groups and state: what is loaded or set here counts."""
        assert closure is None
        for inner in self._inner:
            is_muon = isinstance(inner, torch.optim.Muon)
            inner.param_groups = [group for group in self.param_groups if group["is_linear"] == is_muon]
            inner.state = self.state
            inner.step()


def _adamw_8bit(groups: list[dict[str, Any]], model: nn.Module, *, learning_rate: float) -> torch.optim.Optimizer:
    """bitsandbytes' AdamW, with the states of embeddings in 32 bits, as transformers' Trainer has it."""
    from bitsandbytes.optim import AdamW8bit, GlobalOptimManager

    optimizer = AdamW8bit(groups, lr=learning_rate)
    # of its own: the global one goes by ids, and would take them for those of weights that are gone
    optimizer.mng = manager = GlobalOptimManager.__new__(GlobalOptimManager)
    manager.initialize()
    for module in model.modules():
        if isinstance(module, nn.Embedding):
            manager.override_config(module.weight, "optim_bits", 32)
    return cast(torch.optim.Optimizer, optimizer)


def _bytes_of_state(parameter: nn.Parameter, optim: str, *, is_linear: bool, is_embedding: bool) -> int:
    numbers = parameter.numel()
    if optim == "muon" and is_linear:
        return 4 * numbers  # one momentum
    if optim == "adamw_8bit" and numbers >= LEAST_8BIT and not is_embedding:
        return 2 * numbers
    if optim == "adafactor":  # a row and a column for each matrix
        rows, columns = parameter.shape[-2:] if parameter.ndim > 1 else (1, 1)
        return 4 * (numbers // rows + numbers // columns if parameter.ndim > 1 else numbers)
    return 8 * numbers  # two moments


def _can_be_fused(groups: list[dict[str, Any]]) -> bool:
    parameters = [parameter for group in groups for parameter in group["params"]]
    return all(p.device.type in FUSED_DEVICE_TYPES and p.dtype == torch.float32 for p in parameters)


def _weights_of(model: nn.Module, kind: type[nn.Linear] | type[nn.Embedding]) -> set[int]:
    """The ids of the weights of these modules."""
    return {id(module.weight) for module in model.modules() if isinstance(module, kind)}


def _linear_weights(model: nn.Module) -> set[int]:
    """The ids of the weights of linear layers, but for one that is tied to an embedding."""
    return _weights_of(model, nn.Linear) - _weights_of(model, nn.Embedding)
