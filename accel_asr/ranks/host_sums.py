"""Sums over the ranks that their hosts make among themselves, so that none waits for its GPU."""

from collections.abc import Sequence

import torch
from accelerate import Accelerator


def summed_over_ranks(values: Sequence[float], accelerator: Accelerator) -> list[float]:
    """Each of the values, added up over all ranks. A collective."""
    if accelerator.num_processes == 1:
        return [float(value) for value in values]
    # on the device only where the launch has no gloo for tensors of the host (`start_accelerator` asks for it)
    has_gloo = "gloo" in str(accelerator.state.backend)
    sums = torch.tensor(values, dtype=torch.float64, device="cpu" if has_gloo else accelerator.device)
    torch.distributed.all_reduce(sums)
    total: list[float] = sums.tolist()
    return total
