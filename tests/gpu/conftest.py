"""Tests with the fixture `device` run twice: on the CPU in the default suite, and on a GPU by `pytest -m gpu`.

So their bodies are always run, and what a GPU adds is in the second. Without a GPU that one is skipped with the reason;
where the environment variable ACCEL_ASR_REQUIRE_GPU is set, it fails.
"""

import copy
import os
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import torch

from accel_asr.data.loading.clip_items import ClipItems
from accel_asr.data.loading.collator import Batch, Collator
from accel_asr.model import silence_merging
from accel_asr.model.silence_merging import SilenceMerging
from accel_asr.training.launch.topology import shut_down, start_accelerator
from tests.conftest import ModelAndProcessor, forget_accelerate

if TYPE_CHECKING:
    from accelerate import Accelerator

if torch.cuda.is_available():  # cuBLAS reads it when it starts; `training.deterministic` needs it
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")

REQUIRED_VARIABLE = "ACCEL_ASR_REQUIRE_GPU"
CPU = torch.device("cpu")
Start = Callable[..., "Accelerator"]


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def device(request: pytest.FixtureRequest) -> torch.device:
    """The device that is tested: the CPU, or the first GPU."""
    if request.param == "cuda":
        require_cuda()
    return torch.device(request.param)


def require_cuda() -> None:
    """Skip the test without a CUDA device; fail it where ACCEL_ASR_REQUIRE_GPU says that there must be one."""
    if torch.cuda.is_available():
        return
    reason = "torch finds no CUDA device"
    if torch.version.cuda is None:
        reason = f"this torch ({torch.__version__}) is built without CUDA"
    if os.environ.get(REQUIRED_VARIABLE):
        pytest.fail(f"{reason}, and {REQUIRED_VARIABLE} is set")
    pytest.skip(reason)


@pytest.fixture(autouse=True)
def exact_fp32() -> Iterator[None]:
    """Products and convolutions of fp32 numbers are not rounded to TF32."""
    switches = torch.backends.cuda.matmul, torch.backends.cudnn
    before = [switch.allow_tf32 for switch in switches]
    for switch in switches:
        switch.allow_tf32 = False
    yield
    for switch, value in zip(switches, before, strict=True):
        switch.allow_tf32 = value


@pytest.fixture
def start(device: torch.device, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """`start(mixed_precision, on=...)`: the only accelerator of this process from now on, by default on `device`."""
    forget_accelerate()

    def started(mixed_precision: str = "no", *, on: torch.device = device) -> "Accelerator":
        forget_accelerate()
        monkeypatch.setenv("ACCELERATE_USE_CPU", str(on.type == "cpu").lower())
        is_pretended = mixed_precision == "fp16" and on.type == "cpu"  # which the trainer refuses
        accelerator = start_accelerator(
            mixed_precision="no" if is_pretended else mixed_precision, gradient_accumulation_steps=1, seed=0
        )
        if is_pretended:
            accelerator.state._mixed_precision, accelerator.native_amp = "fp16", True
            accelerator.scaler = torch.amp.GradScaler("cpu")
        assert accelerator.device.type == on.type
        return accelerator

    yield started
    forget_accelerate()


@pytest.fixture
def one_rank(start: Start, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """As `start`, in a process group of this process alone: NCCL's on a GPU."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    variables = {"RANK": 0, "LOCAL_RANK": 0, "WORLD_SIZE": 1, "LOCAL_WORLD_SIZE": 1}
    loopback = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "GLOO_SOCKET_IFNAME": "lo"}
    for name, value in {**variables, **loopback}.items():
        monkeypatch.setenv(name, str(value))
    running = []

    def started(mixed_precision: str = "no") -> "Accelerator":
        running.append(start(mixed_precision))
        assert torch.distributed.is_initialized()
        return running[-1]

    yield started
    for accelerator in running:
        shut_down(accelerator)


@pytest.fixture
def fresh_model(model_and_processor: ModelAndProcessor) -> Callable[[], torch.nn.Module]:
    """Copies of the tiny model, in training mode, all with the same weights."""
    return lambda: copy.deepcopy(model_and_processor[0]).train()


@pytest.fixture
def window(clip_items: ClipItems, collator: Collator) -> list[Batch]:
    """Two micro-batches of samples, whose features the device computes."""
    on_device = replace(collator, features_on_device=True)
    items = [clip_items[0, row] for row in range(7)]
    return [on_device(items[:4]), on_device(items[4:])]


@pytest.fixture
def merged_window(window: list[Batch], clip_items: ClipItems, collator: Collator, monkeypatch) -> list[Batch]:
    """Short clips, of which about half of the positions are kept, with fillers."""
    monkeypatch.setattr(silence_merging, "BUCKET", 8)
    merging = SilenceMerging(window_positions=100, position_s=0.02, margin_s=0.1, end_s=0.1)
    merged = replace(collator, features_on_device=True, merging=merging)
    short = sorted((clip_items[0, row] for row in range(7)), key=lambda item: item.duration_s)[:4]
    batch = merged(short)
    assert batch.kept is not None
    assert batch.kept.positions.shape[1] < 80
    assert batch.kept.log_counts.isneginf().any()
    return [batch]
