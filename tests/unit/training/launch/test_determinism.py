"""Deterministic kernels, as far as a CPU goes: what is asked of torch, and that nothing else changes."""

import os
from collections.abc import Iterator

import pytest
import torch
from torch.backends import cuda, cudnn

from accel_asr.config.settings import Config
from accel_asr.config.training_settings import TrainingConfig
from accel_asr.data.loading.clip_items import ClipItems
from accel_asr.errors import UserError
from accel_asr.train import train
from accel_asr.training.launch import topology
from accel_asr.training.launch.determinism import WORKSPACE_VARIABLE, deterministic_kernels
from accel_asr.training.optimizers import build_optimizer
from accel_asr.training.step import train_step
from tests.refusals import refused


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv(WORKSPACE_VARIABLE, "")  # so that it is put back
    monkeypatch.delenv(WORKSPACE_VARIABLE)
    before = asked_of_torch()
    yield
    assert asked_of_torch() == before


def asked_of_torch() -> dict[str, bool]:
    return {
        "algorithms": torch.are_deterministic_algorithms_enabled(),
        "cudnn": cudnn.deterministic,
        "benchmark": cudnn.benchmark,
        "flash": cuda.flash_sdp_enabled(),
        "efficient": cuda.mem_efficient_sdp_enabled(),
        "cudnn attention": cuda.cudnn_sdp_enabled(),
        "math": cuda.math_sdp_enabled(),
    }


def test_all_of_torch_is_asked_and_put_back() -> None:
    with deterministic_kernels(True):
        assert asked_of_torch() == {
            "algorithms": True,
            "cudnn": True,
            "benchmark": False,
            "flash": True,
            "efficient": False,
            "cudnn attention": False,
            "math": True,
        }
        assert os.environ[WORKSPACE_VARIABLE] == ":4096:8"


def test_off_it_touches_nothing() -> None:
    before = asked_of_torch()
    with deterministic_kernels(False):
        assert asked_of_torch() == before
        assert WORKSPACE_VARIABLE not in os.environ


@pytest.mark.parametrize(("own", "used"), [(":16:8", ":16:8"), (":0:0", ":4096:8")])
def test_a_workspace_of_the_users_own_stays_if_it_is_deterministic(monkeypatch, own: str, used: str) -> None:
    monkeypatch.setenv(WORKSPACE_VARIABLE, own)
    with deterministic_kernels(True):
        assert os.environ[WORKSPACE_VARIABLE] == used


def test_after_cuda_has_started_it_is_too_late(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    with (
        refused("--training.deterministic", "CUDA", value=True, remedy=WORKSPACE_VARIABLE),
        deterministic_kernels(True),
    ):
        pytest.fail("went on")
    monkeypatch.setenv(WORKSPACE_VARIABLE, ":4096:8")
    with deterministic_kernels(True):
        pass


def test_an_operation_without_such_a_kernel_is_named_in_one_error() -> None:
    # one of the few that have none on a CPU
    place = torch.zeros(3)
    with refused("--training.deterministic", "put_", value=True, remedy="leave it out"), deterministic_kernels(True):
        place.put_(torch.tensor([0]), torch.tensor([1.0]))


def test_other_errors_pass() -> None:
    with pytest.raises(RuntimeError, match="inconsistent tensor size"), deterministic_kernels(True):
        torch.zeros(2).dot(torch.zeros(3))


def test_on_a_cpu_the_same_weights_come_of_it(
    model_and_processor, clip_items: ClipItems, collator, accelerator
) -> None:
    model = model_and_processor[0].train()
    start = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    items = clip_items.of([(0, row) for row in range(4)])

    def weights(*, is_on: bool) -> dict[str, torch.Tensor]:
        model.load_state_dict(start)
        optimizer = accelerator.prepare(build_optimizer(model, learning_rate=1e-3, weight_decay=0.0))
        with deterministic_kernels(is_on):
            for _ in range(2):
                train_step(model, optimizer, [collator(items)], accelerator=accelerator, max_grad_norm=1.0)
        return {name: tensor.clone() for name, tensor in model.state_dict().items()}

    plain, deterministic = weights(is_on=False), weights(is_on=True)
    assert all(torch.equal(plain[name], deterministic[name]) for name in plain)
    assert not all(torch.equal(plain[name], start[name]) for name in plain)


def test_a_training_is_deterministic_from_before_accelerate_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(*_: object, **__: object) -> None:
        raise UserError("started", value=torch.are_deterministic_algorithms_enabled())

    monkeypatch.setattr(topology, "accelerator_of_run", start)
    for is_on in (False, True):
        with refused(None, "started", value=is_on):
            train(Config(training=TrainingConfig(deterministic=is_on)))
