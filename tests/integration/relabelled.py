"""FSDP2 on CPU ranks: Accelerate shards on GPUs only, so its private state is set afterwards.

The plugin is read from the variables that `accelerate launch --config_file launch_configs/fsdp2.yaml` would set, all
but the one that asks for sharding, which the trainer refuses on a CPU.
"""

import json
import os
from pathlib import Path
from typing import Any

from tests.integration.launching import REPOSITORY

FSDP2 = REPOSITORY / "launch_configs" / "fsdp2.yaml"


def fsdp_variables() -> dict[str, str]:
    """The FSDP_... variables of a launch with FSDP2."""
    from accelerate.commands.config.config_args import load_config_from_file

    settings = load_config_from_file(str(FSDP2)).fsdp_config
    names = {"fsdp_transformer_layer_cls_to_wrap": "FSDP_TRANSFORMER_CLS_TO_WRAP"}
    return {names.get(name, name.upper()): str(value) for name, value in settings.items()}


def pretend_to_shard() -> None:
    """Let `start_accelerator` start an Accelerator that shards over gloo ranks.

    Each rank appends to `sharding.jsonl` what part of the weights it holds, and which model folders it writes.
    """
    import torch
    from accelerate.state import AcceleratorState, PartialState
    from accelerate.utils import DistributedType, FullyShardedDataParallelPlugin

    from accel_asr.model import pretrained as modeling
    from accel_asr.training.launch import topology

    start, save_model_folder = topology.Accelerator, modeling.save_model_folder

    def note(**what: Any) -> None:
        with Path("sharding.jsonl").open("a") as file:
            file.write(json.dumps({"rank": os.environ["RANK"], **what}) + "\n")

    def noted_save(model: Any, processor: Any, folder: Path, **options: Any) -> None:
        note(writes=folder.name)
        save_model_folder(model, processor, folder, **options)

    def relabelled(**options: Any) -> Any:
        accelerator = start(**options)
        assert accelerator.distributed_type != DistributedType.FSDP, "Accelerate shards on CPUs now: no need of this"
        os.environ.update(fsdp_variables())
        plugin = FullyShardedDataParallelPlugin()
        if accelerator.mixed_precision != "no":
            plugin.set_mixed_precision(accelerator.mixed_precision)
        for state in (PartialState._shared_state, AcceleratorState._shared_state):
            state["distributed_type"] = DistributedType.FSDP
        AcceleratorState._shared_state["fsdp_plugin"] = plugin
        prepare = accelerator.prepare

        def noted_prepare(model: Any, optimizer: torch.optim.Optimizer) -> tuple[Any, Any]:
            prepared = prepare(model, optimizer)
            weights = list(prepared[0].parameters())
            note(holds=sum(w.to_local().numel() for w in weights) / sum(w.numel() for w in weights))
            return prepared

        accelerator.prepare = noted_prepare
        return accelerator

    topology.Accelerator, modeling.save_model_folder = relabelled, noted_save
