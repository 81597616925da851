"""The host waits for a GPU nowhere in a step. The device here holds no numbers, so whatever would read one raises."""

import importlib
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from accel_asr.audio.spec_augment import SpecAugment
from accel_asr.data.loading.clip_items import ClipItems
from accel_asr.data.loading.collator import Batch, Collator
from accel_asr.model.adapter_layers import add_adapters
from accel_asr.model.gradient_checkpointing import checkpoint_layers
from accel_asr.model.silence_merging import SilenceMerging
from accel_asr.training import step
from accel_asr.training.averages import MovingAverage
from accel_asr.training.optimizers import build_optimizer
from accel_asr.training.schedule import set_learning_rate
from accel_asr.training.started_step import StartedStep

DEVICE = torch.device("meta")
NO_NUMBERS = (RuntimeError, NotImplementedError, TypeError)
READINGS: dict[str, Callable[[torch.Tensor], Any]] = {
    "bool": bool,
    "float": float,
    "int": int,
    "item": torch.Tensor.item,
    "tolist": torch.Tensor.tolist,
    "numpy": torch.Tensor.numpy,
    "cpu": torch.Tensor.cpu,
    "nonzero": torch.nonzero,
    "a mask as an index": lambda tensor: tensor[tensor > 0],
    "equal": lambda tensor: torch.equal(tensor, tensor + 1),
    "a copy to it that waits": lambda _: torch.ones(2).to(DEVICE),
    "a part that is set": lambda tensor: tensor[:1].copy_(torch.ones(1)),
    "a new tensor on it": lambda _: torch.tensor([1.0], device=DEVICE),
}
COPIES = {torch.ops.aten._to_copy.default: 0, torch.ops.aten.copy_.default: 1}  # where the source stands


class WaitError(AssertionError):
    """The host would wait until the device has done all that it was given."""


class NoWaitingCopies(TorchDispatchMode):
    """Raises where the host's memory is copied to the device as in `Tensor.to` without `non_blocking`."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        if func in COPIES:
            source, waits = args[COPIES[func]], not kwargs.get("non_blocking", args[2:] == (True,))
            if waits and source.device != DEVICE == result.device:
                raise WaitError(f"{func} of {tuple(source.shape)} to the device")
        return result


class NoNewTensors(TorchFunctionMode):
    """Raises where Python's numbers become a tensor on the device, which is such a copy too."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if func in (torch.tensor, torch.as_tensor) and result.device == DEVICE and not torch.is_tensor(args[0]):
            raise WaitError(f"{func.__name__}({args[0]}) on the device")
        return result


@pytest.mark.parametrize("name", READINGS)
def test_each_way_to_read_a_number_of_the_device_is_noticed(name: str) -> None:
    with NoWaitingCopies(), NoNewTensors(), pytest.raises((*NO_NUMBERS, WaitError)):
        READINGS[name](
            torch.ones((), device=DEVICE) if name in ("bool", "float", "int", "item") else torch.ones(2, device=DEVICE)
        )


@pytest.fixture
def steps(model_and_processor, accelerator, monkeypatch: pytest.MonkeyPatch):
    """`steps(windows)`: the loop's work on them, on DEVICE; what it has read, all in all."""
    model = model_and_processor[0].train()
    read: list[torch.Tensor] = []

    class Noted:
        def __init__(self, numbers: torch.Tensor) -> None:
            self.numbers = numbers

        def values(self) -> list[float]:
            read.append(self.numbers)
            return [1.0, 1.0]

    def run(windows: list[list[Batch]], *, label_smoothing: float = 0.0) -> list[torch.Tensor]:
        model.to(DEVICE)
        optimizer = build_optimizer(model, learning_rate=1e-3, weight_decay=0.1)
        prepared, optimizer = accelerator.prepare(model, optimizer)
        average = MovingAverage(model, 0.9)
        before: StartedStep | None = None
        for window in windows:
            with NoWaitingCopies(), NoNewTensors():
                set_learning_rate(optimizer, 1e-3)
                before = step.start_step(
                    prepared,
                    optimizer,
                    window,
                    accelerator=accelerator,
                    max_grad_norm=1.0,
                    label_smoothing=label_smoothing,
                    before=before,
                )
                average.update(skipped=before.is_skipped)
            assert not read
        assert before is not None
        assert before.result().loss == 1.0 / before.target_tokens
        return read

    monkeypatch.setattr(type(accelerator), "device", DEVICE)
    monkeypatch.setattr(step, "DeviceReading", Noted)
    monkeypatch.setattr(step, "DEVICES_THAT_STOP", (DEVICE.type,))
    monkeypatch.setattr("accel_asr.training.optimizers.FUSED_DEVICE_TYPES", (DEVICE.type,))
    torch_optimizer = importlib.import_module("torch.optim.optimizer")
    monkeypatch.setattr(torch_optimizer, "_get_fused_kernels_supported_devices", lambda: [DEVICE.type])
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda *_: False)
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())
    run.model = model
    return run


def one_window(clip_items: ClipItems, collator: Collator) -> list[list[Batch]]:
    """Of one micro-batch."""
    return [[collator([clip_items[0, 0], clip_items[0, 1]])]]


def test_a_step_reads_two_numbers_together_and_only_when_they_are_wanted(steps, clip_items, collator) -> None:
    [[batch]] = one_window(clip_items, collator)
    [numbers] = steps([[batch, batch], [batch]])
    assert numbers.shape == (2,)


def test_nor_do_the_techniques_that_change_a_step_wait(steps, clip_items, collator) -> None:
    """Features masked on the device, merged padding, adapters with dropout, checkpointed layers, smoothing."""
    masks = SpecAugment(mask_time_prob=0.5, mask_time_length=20, mask_feature_prob=0.7, mask_feature_length=27)
    collator = replace(
        collator,
        features_on_device=True,
        spec_augment=masks,
        merging=SilenceMerging(100, 0.02, margin_s=0.1, end_s=0.1),
    )
    options = {"r": 4, "lora_alpha": 8, "lora_dropout": 0.1, "use_dora": False, "use_rslora": True}
    add_adapters(
        steps.model,
        target_modules="all-linear",
        modules_to_save=[],
        seed=0,
        base_name="tiny",
        base_revision=None,
        **options,
    )
    checkpoint_layers(steps.model, "both")
    made = one_window(clip_items, collator)
    made[0][0].to(DEVICE)  # the first batch takes the window and the filters there, once
    assert all(batch.kept is not None and batch.masks and batch.log_mel is not None for [batch] in made)
    assert len(steps(made, label_smoothing=0.1)) == 1


def test_nor_do_encoder_outputs(steps, clip_items, collator) -> None:
    [[batch]] = one_window(clip_items, collator)
    outputs = torch.zeros(2, 100, steps.model.config.d_model, dtype=torch.float16)
    steps([[replace(batch, input_features=outputs, is_encoded=True)]])


def test_the_search_for_packed_sequences_would_wait(steps, clip_items, collator, monkeypatch) -> None:
    monkeypatch.setattr("accel_asr.model.whisper_for_training.DynamicCache", lambda: None)
    with pytest.raises(NO_NUMBERS):
        steps(one_window(clip_items, collator))


def test_an_optimizer_that_the_device_can_not_stop_waits(steps, clip_items, collator, monkeypatch) -> None:
    monkeypatch.setattr(step, "DEVICES_THAT_STOP", ())
    with pytest.raises(AssertionError, match="not"):
        steps(one_window(clip_items, collator))
