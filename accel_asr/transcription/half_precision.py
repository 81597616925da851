"""On a GPU a model transcribes in half precision: its weights stay in fp32, autocast does the rest."""

from contextlib import AbstractContextManager, nullcontext

import torch

from accel_asr.training.launch.precision import BF16_CAPABILITY


def half_precision(device: torch.device) -> AbstractContextManager[object]:
    """Autocast to bf16 on a GPU that computes in it, to fp16 on an older one; on other devices nothing changes."""
    if device.type != "cuda":
        return nullcontext()
    has_bf16 = torch.cuda.get_device_capability(device) >= BF16_CAPABILITY
    return torch.autocast("cuda", dtype=torch.bfloat16 if has_bf16 else torch.float16)
