"""What counts as out of memory, and what the message of one process says."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator

from accel_asr.data.loading.collator import Collator
from accel_asr.errors import UserError
from accel_asr.files.run_folder import OUT_OF_MEMORY_NOTE, claim_run_folder
from accel_asr.model.silence_merging import KeptPositions
from accel_asr.run.memory_shortage import MemoryShortage
from accel_asr.training.launch.device_memory import is_out_of_memory
from tests.refusals import refused

CUDA_ERROR = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nSee documentation")


def test_what_a_cpu_says_is_out_of_memory() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(10**15)
    assert is_out_of_memory(caught.value)


@pytest.mark.parametrize(
    ("error", "is_one"),
    [
        (CUDA_ERROR, True),
        (RuntimeError("MPS backend out of memory (MPS allocated: 1 GB)"), True),
        (MemoryError(), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_other_errors_are_not(error: Exception, is_one: bool) -> None:
    assert is_out_of_memory(error) is is_one


@pytest.fixture
def shortage(accelerator: Accelerator, tmp_path: Path) -> MemoryShortage:
    return MemoryShortage(accelerator, tmp_path)


def test_one_utterance_can_not_be_halved(shortage: MemoryShortage, collator: Collator) -> None:
    setting, remedy = "--training.per_device_train_batch_size", "1. --training.gradient"
    with (
        refused(setting, "in step 7", "1 x 2 accum", "whole audio window", value=1, remedy=remedy) as caught,
        shortage.explained_in_step(7, [collator([]), collator([])]),
    ):
        raise CUDA_ERROR
    assert "halve" not in str(caught.value)


@pytest.mark.parametrize(("counts", "words"), [((64, 80), "80 positions"), ((64, None), "the whole audio window")])
def test_merged_positions_are_named(
    shortage: MemoryShortage, collator: Collator, counts: tuple[int | None, ...], words: str
) -> None:
    window = [
        replace(collator([]), kept=count and KeptPositions(torch.zeros(1, count), torch.zeros(1, count)))
        for count in counts
    ]
    with refused("--training.per_device_train_batch_size", words), shortage.explained_in_step(7, window):
        raise CUDA_ERROR


def test_beams_are_named_where_there_are_some(shortage: MemoryShortage) -> None:
    with (
        refused("--evaluation.per_device_eval_batch_size", "5 beams", value=8, remedy="--evaluation.num_beams"),
        shortage.explained_in_evaluation(3, batch_size=8, num_beams=5),
    ):
        raise CUDA_ERROR


def test_elsewhere_the_library_says_where(shortage: MemoryShortage) -> None:
    with refused(None, "Tried to allocate 2.00 GiB", remedy="smaller model"), shortage.ends_every_rank():
        raise CUDA_ERROR


def test_other_errors_pass(shortage: MemoryShortage) -> None:
    with pytest.raises(KeyError), shortage.ends_every_rank(), shortage.explained_in_step(1, []):
        raise KeyError
    with pytest.raises(UserError, match="mine"), shortage.ends_every_rank():
        raise UserError("mine")


def test_the_next_run_in_the_folder_forgets_it(tmp_path: Path) -> None:
    (tmp_path / OUT_OF_MEMORY_NOTE).touch()
    claim_run_folder(tmp_path, resume=True)
    assert not (tmp_path / OUT_OF_MEMORY_NOTE).exists()
