"""Launches that can't work: dynamo, and more processes than GPUs. Engines are in test_topology.py."""

import pytest
import torch
from accelerate.commands.launch import _validate_launch_command, launch_command_parser
from accelerate.utils.launch import prepare_simple_launcher_cmd_env

from accel_asr.training.launch.unfit_launches import (
    DYNAMO_VARIABLE,
    refuse_more_processes_than_devices,
    refuse_unfit_engine,
)
from tests.refusals import refused


@pytest.mark.parametrize("has_accelerator", [False, True])
@pytest.mark.parametrize("backend", ["inductor", "aot_eager"])
def test_dynamo_is_refused_as_the_launcher_asks_for_it(
    monkeypatch: pytest.MonkeyPatch, has_accelerator: bool, backend: str
) -> None:
    for chosen in ("no", backend):
        arguments = launch_command_parser().parse_args(["--cpu", "--dynamo_backend", chosen, "accel_asr/train.py"])
        environment = prepare_simple_launcher_cmd_env(_validate_launch_command(arguments)[0])[1]
        monkeypatch.setenv(DYNAMO_VARIABLE, environment[DYNAMO_VARIABLE])
        if chosen == "no":
            refuse_unfit_engine(has_accelerator=has_accelerator)
            continue
        with refused("dynamo_backend", "evaluation", value=backend, remedy="--dynamo_backend no") as refusal:
            refuse_unfit_engine(has_accelerator=has_accelerator)
        assert "--training.compile encoder_layers" in str(refusal.value.remedy)
        assert refusal.value.same_on_every_rank


@pytest.mark.parametrize("unset", [None, ""])
def test_without_a_launcher_there_is_no_dynamo(monkeypatch: pytest.MonkeyPatch, unset: str | None) -> None:
    monkeypatch.setenv(DYNAMO_VARIABLE, "")
    if unset is None:
        monkeypatch.delenv(DYNAMO_VARIABLE)
    refuse_unfit_engine(has_accelerator=True)


def test_more_processes_than_gpus_are_refused_with_both_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 4)
    for processes in ("1", "4"):
        monkeypatch.setenv("LOCAL_WORLD_SIZE", processes)
        refuse_more_processes_than_devices()
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "8")
    for local_rank, is_silent in (("0", False), ("7", True)):
        monkeypatch.setenv("LOCAL_RANK", local_rank)
        with refused("--num_processes", "4 GPUs", value=8, remedy="--num_processes 4") as refusal:
            refuse_more_processes_than_devices()
        assert refusal.value.same_on_every_rank is is_silent


def test_processes_on_other_machines_need_no_gpu_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 2)
    monkeypatch.setenv("WORLD_SIZE", "16")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    refuse_more_processes_than_devices()
