"""Two ranks with sharded weights: the result of whole weights, and checkpoints that resume sharded or not."""

import json
import signal

import pytest
import torch
from safetensors.torch import load_file
from transformers import WhisperForConditionalGeneration

from tests.integration.tones import TonesJob

TWO_RANKS = (2, 2, 2)  # with accumulation; an evaluation gives them 2 batches and 1
SIX_STEPS = ("--training.max_steps", "6", "--training.ema_decay", "0.9", "--checkpoint.average_last", "2")
SIX_STEPS += ("--checkpoint.interpolate", "true")
RESUME = (*SIX_STEPS, "--checkpoint.resume", "true")
STOP = {"moment": "step", "count": 4, "signal": int(signal.SIGTERM), "rank": 1}  # in its second step


@pytest.fixture(scope="module")
def job(tones: TonesJob) -> TonesJob:
    """A run without sharding, one with it, and one sharded for two steps, for two more, and not for the last two."""
    plan = [
        tones.launch("unsharded", TWO_RANKS, *SIX_STEPS),
        tones.launch("sharded", TWO_RANKS, *SIX_STEPS, fsdp=True),
        tones.launch(
            "sharded-checkpointed", TWO_RANKS, *SIX_STEPS, "--training.gradient_checkpointing", "both", fsdp=True
        ),
        tones.launch("stopped", TWO_RANKS, *SIX_STEPS, fsdp=True, ends=STOP),
        tones.launch("stopped", TWO_RANKS, *RESUME, fsdp=True, ends=STOP),
        tones.launch("stopped", (1, 4, 2), *RESUME),
    ]
    assert tones.run_plan(plan) == [[0, 0], [0, 0], [0, 0], [75, 75], [75, 75], [0]], tones.logs(plan)
    return tones


def notes(job: TonesJob, name: str, kind: str) -> list[tuple[str, object]]:
    lines = [json.loads(line) for line in (job.folder / name / "sharding.jsonl").read_text().splitlines()]
    return sorted((line["rank"], line[kind]) for line in lines if kind in line)


def test_each_rank_holds_half_of_the_weights(job: TonesJob) -> None:
    assert [(rank, pytest.approx(0.5, abs=0.05)) for rank in "01"] == notes(job, "sharded", "holds")


@pytest.mark.parametrize("name", ["sharded", "stopped"])
def test_updates_are_those_of_whole_weights(job: TonesJob, name: str) -> None:
    """`pytest -rP` shows what it prints."""
    mine, expected = job.metrics(name, "train"), job.metrics("unsharded", "train")
    assert [line["step"] for line in mine] == [1, 2, 3, 4, 5, 6]
    for line, unsharded in zip(mine, expected, strict=True):
        assert line["loss"] == pytest.approx(unsharded["loss"], abs=1e-4)
        assert line["grad_norm"] == pytest.approx(unsharded["grad_norm"], rel=1e-4)  # the norm over all shards
        assert line["learning_rate"] == unsharded["learning_rate"]
        assert line["target_tokens"] == unsharded["target_tokens"]
    weights, whole = job.weights(name), job.weights("unsharded")
    assert weights.keys() == whole.keys()
    difference = max(float((weights[key] - weight).abs().max()) for key, weight in whole.items())
    losses = max(abs(line["loss"] - unsharded["loss"]) for line, unsharded in zip(mine, expected, strict=True))
    print(f"{name} against DDP: losses within {losses:.1e}, weights {difference:.1e}")
    assert difference <= 1e-4


@pytest.mark.parametrize("average", ["ema", "average"])
def test_averages_are_those_of_whole_weights(job: TonesJob, average: str) -> None:
    for name in ("sharded", "stopped"):
        mine, expected = job.metrics(name, f"eval_{average}"), job.metrics("unsharded", f"eval_{average}")
        assert len(mine) == len(expected) == 1
        assert mine[0]["loss"] == pytest.approx(expected[0]["loss"], abs=1e-4)
        assert mine[0]["loss"] != pytest.approx(job.metrics(name, "eval")[-1]["loss"], abs=1e-4)  # of the last step
        assert mine[0]["wer"] == expected[0]["wer"]


def test_interpolations_are_those_of_whole_weights(job: TonesJob) -> None:
    for name in ("sharded", "stopped"):
        mine, expected = job.metrics(name, "eval_interpolation"), job.metrics("unsharded", "eval_interpolation")
        assert [line["alpha"] for line in mine] == [line["alpha"] for line in expected]
        assert len(mine) == 5
        assert [line["loss"] for line in mine] == pytest.approx([line["loss"] for line in expected], abs=1e-4)
        assert [line["wer"] for line in mine] == [line["wer"] for line in expected]
        assert len({line["loss"] for line in mine}) == 5


def test_checkpointed_layers_of_sharded_weights_change_no_bit(job: TonesJob) -> None:
    assert job.metrics("sharded-checkpointed") == job.metrics("sharded")
    job.assert_equal_weights("sharded-checkpointed", "sharded")


@pytest.mark.parametrize("step", [0, 3, 6])
def test_transcripts_are_those_of_whole_weights(job: TonesJob, step: int) -> None:
    # step 0: before any forward pass of training
    table, expected = (
        (job.run_dir(name) / "evaluations" / f"step-{step:08d}.jsonl").read_text() for name in ("sharded", "unsharded")
    )
    assert table == expected
    assert len({json.loads(line)["hypothesis"] for line in table.splitlines()}) > 1


def test_a_stopped_run_resumes_bit_for_bit_while_it_is_sharded(job: TonesJob) -> None:
    said = job.said_in_one_line("stopped")
    assert "resumed after step 2 of 6" in said
    assert "resumed after step 4 of 6" in said
    assert job.metrics("stopped")[:6] == job.metrics("sharded")[:6]  # two evaluations and four steps
    for file in ("model.safetensors", "optimizer.safetensors", "rng.safetensors", "ema.safetensors"):
        resumed, whole = (
            load_file(job.run_dir(run) / "checkpoints" / "step-00000004" / file) for run in ("stopped", "sharded")
        )
        assert resumed.keys() == whole.keys()
        assert all(torch.equal(resumed[key], tensor) for key, tensor in whole.items()), file


def test_model_folders_are_ordinary_and_written_by_the_main_process_alone(job: TonesJob) -> None:
    assert {rank for rank, _ in notes(job, "sharded", "writes")} == {"0"}
    for folder in ("best", "last"):
        model, loaded = WhisperForConditionalGeneration.from_pretrained(
            job.run_dir("sharded") / folder, output_loading_info=True
        )
        assert not loaded["missing_keys"]
        assert not loaded["unexpected_keys"]
        assert model.config.architectures == ["WhisperForConditionalGeneration"]
        names = {path.name for path in (job.run_dir("sharded") / folder).iterdir()}
        assert names == {path.name for path in (job.run_dir("unsharded") / folder).iterdir()}


def test_checkpoints_are_those_of_an_unsharded_run(job: TonesJob) -> None:
    files = [path for path in (job.run_dir("sharded") / "checkpoints").rglob("*") if path.is_file()]
    assert {path.suffix for path in files} == {".safetensors", ".json"}  # no pickle
    for path in files:
        if path.suffix == ".safetensors":
            unsharded = job.run_dir("unsharded") / path.relative_to(job.run_dir("sharded"))
            shapes = [{name: tensor.shape for name, tensor in load_file(file).items()} for file in (path, unsharded)]
            assert shapes[0] == shapes[1]
