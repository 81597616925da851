"""One update on the device is that of the CPU: in fp32 up to rounding, in bf16 and fp16 as near as these are."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from torch._dynamo.utils import counters

from accel_asr.data.loading.collator import Batch
from accel_asr.model.compiled_layers import compile_encoder_layers
from accel_asr.training.optimizers import build_optimizer
from accel_asr.training.started_step import StartedStep
from accel_asr.training.step import start_step
from tests.gpu.conftest import CPU, Start
from tests.gpu.updates import Update, update


@pytest.fixture
def of_the_cpu(start: Start, fresh_model, window: list[Batch]) -> Update:
    """The same update on the CPU in fp32."""
    return update(fresh_model(), window, start(on=CPU))


def test_an_update_in_fp32(start: Start, fresh_model, window: list[Batch], of_the_cpu: Update) -> None:
    on_device = update(fresh_model(), window, start())
    assert on_device.loss == pytest.approx(of_the_cpu.loss, rel=1e-5)
    assert on_device.grad_norm == pytest.approx(of_the_cpu.grad_norm, rel=1e-4)
    assert on_device.cosine(of_the_cpu) > 0.9999  # AdamW's first step is a sign: a gradient of zero may turn it round


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_an_update_in_half_precision(
    start: Start, fresh_model, window: list[Batch], of_the_cpu: Update, precision: str
) -> None:
    accelerator = start(precision)
    if accelerator.scaler is not None:
        accelerator.scaler = torch.amp.GradScaler(accelerator.device.type, init_scale=2.0**4)  # one that fits
    on_device = update(fresh_model(), window, accelerator)
    assert on_device.loss == pytest.approx(of_the_cpu.loss, rel=0.02)
    assert on_device.grad_norm == pytest.approx(of_the_cpu.grad_norm, rel=0.1)
    assert on_device.cosine(of_the_cpu) > 0.9
    assert not on_device.skipped


def test_an_update_that_overflows_fp16_is_skipped_and_the_next_is_not(
    start: Start, fresh_model, window: list[Batch]
) -> None:
    accelerator, scale = start("fp16"), 1e38
    accelerator.scaler = torch.amp.GradScaler(accelerator.device.type, init_scale=scale)
    overflown = update(fresh_model(), window, accelerator)
    assert overflown.skipped
    assert not overflown.change.any()
    assert accelerator.scaler.get_scale() == pytest.approx(scale / 2)
    accelerator.scaler = torch.amp.GradScaler(accelerator.device.type, init_scale=1.0)
    assert not update(fresh_model(), window, accelerator).skipped


def test_two_updates_from_the_same_weights_are_alike(start: Start, fresh_model, window: list[Batch]) -> None:
    accelerator = start()
    first, second = (update(fresh_model(), window, accelerator) for _ in range(2))
    assert first.loss == pytest.approx(second.loss, rel=1e-6)
    assert first.cosine(second) > 0.9999


# -- padding that is merged


@pytest.mark.parametrize(("precision", "cosine"), [("no", 0.9999), ("bf16", 0.9)])
def test_an_update_with_merged_padding(
    start: Start, fresh_model, merged_window: list[Batch], precision: str, cosine: float
) -> None:
    of_the_cpu = update(fresh_model(), merged_window, start(on=CPU))
    on_device = update(fresh_model(), merged_window, start(precision))
    assert on_device.loss == pytest.approx(of_the_cpu.loss, rel=1e-5 if precision == "no" else 0.02)
    assert on_device.cosine(of_the_cpu) > cosine


# -- compiled encoder layers


@pytest.mark.parametrize("kind", ["window", "merged_window"])
def test_an_update_with_compiled_layers(
    start: Start, fresh_model, device: torch.device, kind: str, request: pytest.FixtureRequest
) -> None:
    window, accelerator = request.getfixturevalue(kind), start()
    expected, model = update(fresh_model(), window, accelerator), fresh_model().to(device)
    # on a CPU traced only: compiling takes ten times as long
    compile_encoder_layers(model, device=device, backend="inductor" if device.type == "cuda" else "eager")
    counters.clear()
    compiled = update(model, window, accelerator)
    assert compiled.loss == pytest.approx(expected.loss, rel=1e-5)
    assert compiled.cosine(expected) > 0.9999
    assert counters["stats"]["unique_graphs"] == 1
    assert not counters["graph_break"]


# -- the host does not wait


@contextmanager
def without_waits(device: torch.device) -> Iterator[None]:
    """Fail where the host waits for a GPU; for a CPU tests/unit/training/test_host_waits.py does it."""
    if device.type != "cuda":
        yield
        return
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("precision", ["no", "bf16"])
@pytest.mark.parametrize("kind", ["window", "merged_window"])
def test_the_host_does_not_wait_in_a_step(
    start: Start, fresh_model, device: torch.device, precision: str, kind: str, request: pytest.FixtureRequest
) -> None:
    accelerator, window = start(precision), request.getfixturevalue(kind)
    model = fresh_model()
    model, optimizer = accelerator.prepare(model, build_optimizer(model, learning_rate=1e-3, weight_decay=0.0))
    if device.type == "cuda":
        window = [batch.pin_memory() for batch in window]

    def step(before: StartedStep | None) -> StartedStep:
        return start_step(model, optimizer, window, accelerator=accelerator, max_grad_norm=1.0, before=before)

    first = step(None)  # has constants to make
    with without_waits(device):
        second = step(first)
        third = step(second)
    assert third.result().loss < first.result().loss
