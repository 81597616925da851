"""One update on the device is that of the CPU: in fp32 up to rounding, in bf16 and fp16 as near as these are."""

from dataclasses import replace

import pytest
import torch

from accel_asr.data.loading.clip_items import ClipItems
from accel_asr.data.loading.collator import Batch, Collator
from tests.gpu.conftest import CPU, Start
from tests.gpu.updates import Update, update


@pytest.fixture
def window(clip_items: ClipItems, collator: Collator) -> list[Batch]:
    """Two micro-batches of samples, whose features the device computes."""
    on_device = replace(collator, features_on_device=True)
    items = [clip_items[0, row] for row in range(7)]
    return [on_device(items[:4]), on_device(items[4:])]


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
