"""`training.deterministic`: on a GPU only kernels that give the same bits each time, or an error that names another."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.backends import cuda, cudnn

from accel_asr.errors import UserError

SETTING = "--training.deterministic"
WORKSPACE_VARIABLE = "CUBLAS_WORKSPACE_CONFIG"
WORKSPACES = (":4096:8", ":16:8")  # with others cuBLAS may split its sums otherwise each time
_NO_KERNEL = " does not have a deterministic implementation"  # of torch's own message


@contextmanager
def deterministic_kernels(is_on: bool) -> Iterator[None]:
    """Put it around a run, before CUDA starts; changes nothing unless `is_on`, and nothing of what a CPU computes.

    Of the fused kernels of attention only flash stays: its backward pass is deterministic when torch is asked for it,
    the memory-efficient one's and cuDNN's are not (aten/src/ATen/native/transformers/cuda/attention_backward.cu).

    Raises:
        UserError: an operation has no deterministic kernel, or CUDA runs already.
    """
    if not is_on:
        yield
        return
    if os.environ.get(WORKSPACE_VARIABLE) not in WORKSPACES:
        if torch.cuda.is_initialized():
            raise UserError(
                "CUDA runs already in this process, and cuBLAS has chosen how it sums",
                setting=SETTING,
                value=True,
                remedy=f"restart the notebook's kernel, or set {WORKSPACE_VARIABLE}={WORKSPACES[0]} before it starts",
                same_on_every_rank=True,
            )
        os.environ[WORKSPACE_VARIABLE] = WORKSPACES[0]
    was_asked = torch.are_deterministic_algorithms_enabled()
    was_deterministic, benchmarked = cudnn.deterministic, cudnn.benchmark
    had_efficient, had_cudnn = cuda.mem_efficient_sdp_enabled(), cuda.cudnn_sdp_enabled()
    try:
        torch.use_deterministic_algorithms(True)
        cudnn.deterministic, cudnn.benchmark = True, False
        cuda.enable_mem_efficient_sdp(False)
        cuda.enable_cudnn_sdp(False)
        yield
    except RuntimeError as error:
        operation, names_it, _ = str(error).partition(_NO_KERNEL)
        if not names_it:
            raise
        raise UserError(
            f"{operation} has no deterministic kernel on this device",
            setting=SETTING,
            value=True,
            remedy="leave it out: the training is the same up to rounding. Checkpoints are intact: add "
            "--checkpoint.resume true",
            same_on_every_rank=True,
        ) from error
    finally:
        torch.use_deterministic_algorithms(was_asked)
        cudnn.deterministic, cudnn.benchmark = was_deterministic, benchmarked
        cuda.enable_mem_efficient_sdp(had_efficient)
        cuda.enable_cudnn_sdp(had_cudnn)
