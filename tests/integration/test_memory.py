"""Micro-batches by what memory holds: the run and its resumption are those of the numbers given by hand.

A run out of memory: one message, all ranks end, the checkpoints stay. Frozen weights in bf16: nothing else changes.
"""

import re
import signal
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file

from tests.integration.tones import RESUME, TonesJob

BY_HAND = (2, 2, 2)  # (processes, micro-batch, accumulation)
ONE_MICRO_BATCH = (2, 4, 1)
AUTO = ("--training.batch_size", "auto")
IN_BF16 = ("--training.mixed_precision", "bf16", "--model.freeze", "[encoder]", "--training.max_steps", "6")
FROZEN = (*IN_BF16, "--model.frozen_dtype", "bfloat16")
GRACE_S = 60  # then the harness would kill the ranks that still run
STOP = {"moment": "step", "count": 9, "signal": int(signal.SIGTERM), "rank": 1}  # in the fifth of 12 steps


@pytest.fixture(scope="module")
def job(tones: TonesJob) -> TonesJob:
    """A run whose second rank holds 3 rows, stopped, and resumed where both hold 4."""

    def ends(moment: str, count: int, *, rank: int) -> dict[str, Any]:
        ends = {"moment": moment, "count": count, "signal": 0, "rank": rank, "out_of_memory": True}
        return {"ends": ends, "grace_s": GRACE_S}

    plan = [
        tones.launch("auto", ONE_MICRO_BATCH, *AUTO, fits=[4, 3], ends=STOP),
        tones.launch("auto", ONE_MICRO_BATCH, *AUTO, *RESUME, fits=[4, 4]),
        tones.launch("no memory for a step", BY_HAND, **ends("step", 7, rank=1)),
        tones.launch("no memory for a step", BY_HAND, *RESUME),
        tones.launch("no memory for scores", BY_HAND, *RESUME, **ends("evaluation", 1, rank=0)),
    ]
    plan += [
        tones.launch("frozen in fp32", BY_HAND, *IN_BF16),
        tones.launch("frozen in bf16", BY_HAND, *FROZEN, ends=STOP),
        tones.launch("frozen in bf16", BY_HAND, *FROZEN, *RESUME),
    ]
    codes = [[75, 75], [0, 0], [2, 2], [0, 0], [2, 2], [0, 0], [75, 75], [0, 0]]
    assert tones.run_plan(plan) == codes, tones.logs(plan)
    return tones


def test_a_found_micro_batch_trains_bit_for_bit_as_one_given_by_hand(job: TonesJob) -> None:
    by_hand = job.whole_run(BY_HAND)
    assert job.metrics("auto") == job.metrics(by_hand)
    job.assert_equal_weights("auto", by_hand)
    assert job.ledger("auto") == job.ledger(by_hand)


def test_what_was_found_is_said_and_recorded(job: TonesJob) -> None:
    said = job.said_in_one_line("auto")
    assert said.count("training.batch_size: auto: 2 processes x 2 x 2 = 8") == 2
    assert "bit for bit" not in said  # the resumed run has the split of its checkpoint
    training = yaml.safe_load((job.run_dir("auto") / "config.yaml").read_text())["training"]
    found = ("batch_size", "per_device_train_batch_size", "gradient_accumulation_steps")
    assert [training[name] for name in found] == [None, 2, 2]


def test_a_step_without_memory_is_said_by_its_rank_alone_with_numbers(job: TonesJob) -> None:
    said = job.said_in_one_line("no memory for a step", rank=1)
    [message] = re.findall(r"error \[rank 1\]: .*", said)
    for words in ("--training.per_device_train_batch_size 2: out of memory in step 3", "2 x 2 accumulation steps"):
        assert words in message
    assert re.search(r"labels of up to \d+ tokens and the whole audio window", message)
    assert re.search(r"[\d.]+ [GM]B in use by this process on cpu, [\d.]+ [GM]B free", message)
    remedies = (
        "1. halve it and double",
        "2. --training.gradient_checkpointing",
        "3. adapters",
        "--checkpoint.resume true",
    )
    assert [message.index(words) for words in remedies] == sorted(message.index(words) for words in remedies)
    for rank in (0, 1):
        assert "Traceback" not in job.said("no memory for a step", rank)
    assert "error" not in job.said("no memory for a step", 0)


def test_a_run_out_of_memory_resumes_bit_for_bit(job: TonesJob) -> None:
    assert job.metrics("no memory for a step") == job.metrics(job.whole_run(BY_HAND))
    job.assert_equal_weights("no memory for a step", job.whole_run(BY_HAND))


def test_an_evaluation_without_memory_names_its_own_setting(job: TonesJob) -> None:
    said = job.said_in_one_line("no memory for scores")
    assert "--evaluation.per_device_eval_batch_size 5: out of memory in the evaluation at step 0" in said
    assert "1. halve it" in said
    assert "error" not in job.said("no memory for scores", 1)


def test_frozen_weights_in_bf16_change_no_bit_of_a_stopped_and_resumed_run(job: TonesJob) -> None:
    assert "frozen weights take" in job.said("frozen in bf16")
    assert job.metrics("frozen in bf16") == job.metrics("frozen in fp32")


@pytest.mark.parametrize("folder", ["best", "last", "checkpoints/step-00000006"])
def test_the_originals_of_frozen_weights_are_saved(job: TonesJob, folder: str) -> None:
    saved, expected = (
        load_file(job.run_dir(name) / folder / "model.safetensors") for name in ("frozen in bf16", "frozen in fp32")
    )
    assert saved.keys() == expected.keys()
    assert all(torch.equal(saved[name], tensor) for name, tensor in expected.items())
    assert {tensor.dtype for tensor in saved.values()} == {torch.float32}
