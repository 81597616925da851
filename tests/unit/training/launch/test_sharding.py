"""Sharded weights in one process: whole tensors and their parts; settings of FSDP that the trainer does not know.

On two ranks: tests/integration/test_fsdp2.py.
"""

from types import SimpleNamespace

import pytest
import torch
from accelerate.utils import DistributedType, FullyShardedDataParallelPlugin

from accel_asr.training.launch.sharding import settle_sharding, sharded_like, whole_model, whole_tensor, whole_tensors
from tests.refusals import refused


@pytest.fixture
def plugin(monkeypatch: pytest.MonkeyPatch):
    """Makes the plugin of launch_configs/fsdp2.yaml, with changes."""
    monkeypatch.setenv("FSDP_CPU_RAM_EFFICIENT_LOADING", "false")  # so that it is put back: the plugin sets it, too

    def make(**changed: object) -> FullyShardedDataParallelPlugin:
        return FullyShardedDataParallelPlugin(**{"fsdp_version": 2, **changed})

    return make


def sharding(plugin: FullyShardedDataParallelPlugin, mixed_precision: str = "no") -> SimpleNamespace:
    return SimpleNamespace(
        distributed_type=DistributedType.FSDP,
        mixed_precision=mixed_precision,
        state=SimpleNamespace(fsdp_plugin=plugin),
    )


def test_gradients_are_summed_in_fp32(plugin) -> None:
    accelerator = sharding(plugin(), "bf16")
    settle_sharding(accelerator)
    policy = accelerator.state.fsdp_plugin.mixed_precision_policy
    assert (policy.param_dtype, policy.reduce_dtype) == (torch.bfloat16, torch.float32)


@pytest.mark.parametrize(
    ("changed", "mixed_precision", "remedy"),
    [
        ({"fsdp_version": 1}, "no", "fsdp_version: 2"),
        ({"cpu_offload": True}, "no", "fsdp_offload_params: false"),
        ({"activation_checkpointing": True}, "no", "fsdp_activation_checkpointing: false"),
        ({"cpu_ram_efficient_loading": True}, "no", "fsdp_cpu_ram_efficient_loading: false"),
        ({}, "fp16", "mixed_precision: bf16, or no"),
    ],
)
def test_what_is_not_proven_is_refused_with_the_remedy(plugin, changed, mixed_precision: str, remedy: str) -> None:
    with refused("fsdp_config", remedy=f"{remedy}, as in launch_configs/fsdp2.yaml"):
        settle_sharding(sharding(plugin(**changed), mixed_precision))


def test_without_sharding_nothing_is_copied(accelerator, model_and_processor) -> None:
    model, _ = model_and_processor
    settle_sharding(accelerator)
    assert whole_model(accelerator, model) is model
    tensor = torch.ones(2)
    assert whole_tensor(tensor) is tensor
    assert sharded_like(tensor, tensor) is tensor
    assert dict(whole_tensors({"ones": tensor}))["ones"] is tensor
