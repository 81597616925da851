"""environment.json: what a run ran on."""

import json
import subprocess
from importlib import metadata

import pytest
import torch

from accel_asr.training.launch import environment
from accel_asr.training.launch.environment import describe_environment, device_name


def test_versions_hardware_and_processes_are_recorded(accelerator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["accel_asr/train.py", "--config", "mine.yaml"])
    recorded = describe_environment(accelerator)
    assert json.loads(json.dumps(recorded)) == recorded
    assert recorded["command"][1:] == ["accel_asr/train.py", "--config", "mine.yaml"]
    assert (recorded["world_size"], recorded["mixed_precision"]) == (1, "no")
    assert recorded["packages"]["torch"] == metadata.version("torch")
    assert recorded["packages"]["transformers"] == metadata.version("transformers")
    assert recorded["torch_threads"] >= 1


def test_a_machine_without_git_is_no_error(accelerator, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_git(*_: object, **__: object) -> None:
        raise FileNotFoundError("git")

    monkeypatch.setattr(subprocess, "run", no_git)
    assert describe_environment(accelerator)["git_commit"] is None


def test_a_package_that_is_not_installed_is_recorded_as_none(accelerator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "RECORDED_PACKAGES", ("torch", "no-such-package"))
    assert describe_environment(accelerator)["packages"]["no-such-package"] is None


def test_a_gpu_has_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"NVIDIA H200 ({device.index})")
    assert device_name(torch.device("cuda", 1)) == "NVIDIA H200 (1)"
    assert device_name(torch.device("cpu")) == "cpu"
