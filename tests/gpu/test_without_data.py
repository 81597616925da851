"""A step on torch's device `meta`, where tensors have shapes and no numbers: a GPU's stand-in on a CPU.

An operation on tensors of two devices fails there, and so does whatever needs a number of the device, for which the
host would wait for a GPU.
"""

import copy
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from accelerate import Accelerator

from accel_asr.training import step
from accel_asr.training.step import start_step

META = torch.device("meta")


@pytest.mark.parametrize("kind", ["window", "merged_window"])
def test_a_step_needs_one_device_and_no_number(
    kind: str, model_and_processor, accelerator: Accelerator, request: pytest.FixtureRequest, monkeypatch
) -> None:
    window = request.getfixturevalue(kind)
    model = copy.deepcopy(model_and_processor[0]).train().to(META)
    optimizer: Any = SimpleNamespace(optimizer=SimpleNamespace(), step=lambda: None, zero_grad=model.zero_grad)
    monkeypatch.setattr(Accelerator, "device", META)
    for name, value in {"autocast": lambda *_, **__: nullcontext(), "is_autocast_enabled": lambda *_: False}.items():
        monkeypatch.setattr(torch, name, value)  # which meta has not
    readings = []
    monkeypatch.setattr(step, "DeviceReading", readings.append)
    monkeypatch.setattr(step, "_is_stopped_by_device", lambda *_: True)
    started = start_step(model, optimizer, window, accelerator=accelerator, max_grad_norm=1.0)
    assert [numbers.device for numbers in readings] == [META]
    assert optimizer.optimizer.found_inf is started.has_failed
