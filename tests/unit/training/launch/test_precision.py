"""The precision of a run, on devices that are not here."""

import pytest
import torch

from accel_asr.training.launch.precision import refuse_unfit_precision
from tests.refusals import refused

SETTING = "--training.mixed_precision"
T4, A100, H200 = (7, 5), (8, 0), (9, 0)


def show_gpus(monkeypatch: pytest.MonkeyPatch, *capabilities: tuple[int, int]) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda *_: True)  # as torch says of all of them
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda index: capabilities[index])
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: f"GPU {index}")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", str(len(capabilities)))


def test_bf16_is_refused_where_it_is_emulated(monkeypatch: pytest.MonkeyPatch) -> None:
    show_gpus(monkeypatch, T4)
    with refused(SETTING, "GPU 0", "7.5", "8.0", value="bf16", remedy="use fp16") as refusal:
        refuse_unfit_precision("bf16", has_accelerator=True)
    assert not refusal.value.same_on_every_rank
    for precision in ("fp16", "no"):
        refuse_unfit_precision(precision, has_accelerator=True)
    refuse_unfit_precision("bf16", has_accelerator=False)  # the launcher asks for the CPU


@pytest.mark.parametrize("capability", [A100, (8, 9), H200, (12, 0)])
def test_bf16_is_welcome_where_it_is_computed(monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int]) -> None:
    show_gpus(monkeypatch, capability)
    refuse_unfit_precision("bf16", has_accelerator=True)


def test_one_old_gpu_is_refused_on_every_rank_of_its_machine_and_said_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    show_gpus(monkeypatch, H200, T4)
    for local_rank, is_silent in (("0", False), ("1", True)):
        monkeypatch.setenv("LOCAL_RANK", local_rank)
        with refused(SETTING, "GPU 1") as refusal:
            refuse_unfit_precision("bf16", has_accelerator=True)
        assert refusal.value.same_on_every_rank is is_silent


def test_other_accelerators_are_asked_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    refuse_unfit_precision("bf16", has_accelerator=True)
