"""Runs with LoRA adapters: one result on any topology, sharded or not, killed or not; folders that anything loads."""

import json
import signal

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import WhisperForConditionalGeneration

from tests.integration.tones import RESUME, TonesJob

ALONE, TWO_RANKS = (1, 8, 1), (2, 2, 2)  # (processes, micro-batch, accumulation)
LORA = (
    *(
        "--lora.enabled",
        "true",
        "--lora.r",
        "4",
        "--lora.lora_dropout",
        "0.05",
        "--lora.modules_to_save",
        "[layer_norm]",
    ),
    *("--training.learning_rate", "3e-3", "--training.max_steps", "6"),
)
STOP = {"moment": "step", "count": 4, "signal": int(signal.SIGTERM), "rank": 1}  # in its second step
KILL = {"moment": "step", "signal": int(signal.SIGKILL)}  # in the fifth step


@pytest.fixture(scope="module")
def job(tones: TonesJob) -> TonesJob:
    """On one process and on two: a run to the end, and one that is killed, then resumed. A sharded one, stopped."""
    plan = []
    for name, topology in (("alone", ALONE), ("two", TWO_RANKS)):
        plan.append(tones.launch(f"adapters-{name}", topology, *LORA))
        plan.append(
            tones.launch(
                f"adapters-{name}-killed",
                topology,
                *LORA,
                ends={**KILL, "count": 4 * topology[2] + 1, "rank": topology[0] - 1},
            )
        )
        plan.append(tones.launch(f"adapters-{name}-killed", topology, *LORA, *RESUME))
    plan.append(tones.launch("adapters-sharded", TWO_RANKS, *LORA, fsdp=True, ends=STOP))
    plan.append(tones.launch("adapters-sharded", TWO_RANKS, *LORA, *RESUME, fsdp=True))
    codes = tones.run_plan(plan)
    assert [codes[at] for at in (0, 2, 3, 5, 6, 7)] == [[0], [0], [0, 0], [0, 0], [75, 75], [0, 0]], tones.logs(plan)
    assert codes[1] == [-signal.SIGKILL]
    return tones


def test_dropout_and_updates_are_those_of_one_process_with_one_batch(job: TonesJob) -> None:
    job.assert_close_losses("adapters-two", "adapters-alone")
    job.assert_close_weights("adapters-two", "adapters-alone", atol=1e-4)
    losses = [line["loss"] for line in job.metrics("adapters-alone", "train")]
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("name", ["adapters-alone", "adapters-two"])
def test_a_killed_run_ends_bit_for_bit_as_one_that_was_not(job: TonesJob, name: str) -> None:
    assert "resumed after step" in job.said(f"{name}-killed")
    job.assert_equal_weights(f"{name}-killed", name)
    assert job.metrics(f"{name}-killed") == job.metrics(name)
    for file in ("model.safetensors", "optimizer.safetensors", "rng.safetensors"):
        resumed, whole = (load_file(newest_checkpoint(job, run) / file) for run in (f"{name}-killed", name))
        assert resumed.keys() == whole.keys()
        assert all(torch.equal(resumed[key], tensor) for key, tensor in whole.items()), file
    assert (job.run_dir(f"{name}-killed") / "best_adapter" / "adapter_model.safetensors").read_bytes() == (
        job.run_dir(name) / "best_adapter" / "adapter_model.safetensors"
    ).read_bytes()


def test_a_sharded_run_is_that_of_whole_weights(job: TonesJob) -> None:
    pairs = list(zip(job.metrics("adapters-sharded", "train"), job.metrics("adapters-two", "train"), strict=False))
    assert len(pairs) == 6
    for line, other in pairs:
        assert line["loss"] == pytest.approx(other["loss"], abs=1e-4)
        assert line["grad_norm"] == pytest.approx(other["grad_norm"], rel=1e-4)
    names = {path.name for path in (job.run_dir("adapters-sharded") / "best_adapter").iterdir()}
    assert names == {path.name for path in (job.run_dir("adapters-two") / "best_adapter").iterdir()}
    sharded, whole = (
        load_file(newest_checkpoint(job, run) / "model.safetensors") for run in ("adapters-sharded", "adapters-two")
    )
    assert {name: tensor.shape for name, tensor in sharded.items()} == {
        name: tensor.shape for name, tensor in whole.items()
    }


def test_a_checkpoint_holds_what_is_trained_and_nothing_else(job: TonesJob) -> None:
    names = set(load_file(newest_checkpoint(job, "adapters-two") / "model.safetensors"))
    assert names
    assert all(".lora_" in name or ".modules_to_save." in name for name in names)
    state = json.loads((newest_checkpoint(job, "adapters-two") / "state.json").read_text())
    assert state["recorded"]["base_model"]


@pytest.mark.parametrize("run", ["adapters-two", "adapters-sharded"])
def test_peft_on_the_base_and_the_merged_folder_transcribe_alike(job: TonesJob, run: str) -> None:
    features = torch.randn(4, 80, 200, generator=torch.Generator().manual_seed(2))
    best, loaded = WhisperForConditionalGeneration.from_pretrained(job.run_dir(run) / "best", output_loading_info=True)
    assert not loaded["missing_keys"]
    assert not loaded["unexpected_keys"]
    base = WhisperForConditionalGeneration.from_pretrained(job.folder / "model")
    untouched = base.generate(features, language="en", max_new_tokens=12)
    adapted = PeftModel.from_pretrained(base, job.run_dir(run) / "best_adapter")
    assert adapted.peft_config["default"].base_model_name_or_path == str(job.folder / "model")
    ids = best.generate(features, language="en", max_new_tokens=12)
    assert torch.equal(adapted.generate(input_features=features, language="en", max_new_tokens=12), ids)
    assert not torch.equal(untouched, ids)


def newest_checkpoint(job: TonesJob, run: str):
    return sorted((job.run_dir(run) / "checkpoints").iterdir())[-1]
