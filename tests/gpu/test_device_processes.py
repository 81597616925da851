"""A process group of one process, NCCL's on a GPU: DDP and FSDP2 make the update of a process without a group."""

from pathlib import Path

import pytest
import torch
from accelerate.utils import DistributedType, gather_object
from torch.nn.parallel import DistributedDataParallel

from accel_asr.data.loading.clip_items import ClipItems
from accel_asr.data.loading.collator import Batch, Collator
from accel_asr.ranks.agreement import Agreement
from accel_asr.training.launch import topology
from accel_asr.training.launch.sharding import whole_model
from tests.gpu.conftest import Start
from tests.gpu.updates import Update, update
from tests.integration.relabelled import fsdp_variables, pretend_to_shard


@pytest.fixture
def window(clip_items: ClipItems, collator: Collator) -> list[Batch]:
    items = [clip_items[0, row] for row in range(6)]
    return [collator(items[:3]), collator(items[3:])]


@pytest.fixture
def alone(start: Start, fresh_model, window: list[Batch]) -> Update:
    """The update of a process without a group, on the device."""
    return update(fresh_model(), window, start())


def assert_alike(first: Update, second: Update) -> None:
    assert first.loss == pytest.approx(second.loss, rel=1e-5)
    assert first.grad_norm == pytest.approx(second.grad_norm, rel=1e-4)
    assert first.cosine(second) > 0.9999


def test_ddp(alone: Update, one_rank: Start, fresh_model, window: list[Batch], device: torch.device) -> None:
    accelerator = one_rank()
    assert {"cuda": "nccl", "cpu": "gloo"}[device.type] in str(accelerator.state.backend)
    in_a_group = update(fresh_model(), window, accelerator)
    assert isinstance(in_a_group.model, DistributedDataParallel)
    assert_alike(in_a_group, alone)
    # what an evaluation and a stop need of the group
    assert gather_object([{"text": "what one rank says"}]) == [{"text": "what one rank says"}]
    assert Agreement(accelerator).all_done(is_done=True)


@pytest.mark.parametrize("precision", ["no", "bf16"])
def test_fsdp2(
    alone: Update,
    one_rank: Start,
    fresh_model,
    window: list[Batch],
    device: torch.device,
    precision: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    for name, value in fsdp_variables().items():
        monkeypatch.setenv(name, value)
    if device.type == "cuda":
        monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    else:
        monkeypatch.chdir(tmp_path)  # where it keeps its notes
        monkeypatch.setattr(topology, "Accelerator", topology.Accelerator)  # so that it is put back
        monkeypatch.setattr("accel_asr.model.pretrained.save_model_folder", lambda *_, **__: None)
        pretend_to_shard()
    accelerator = one_rank(precision)
    assert accelerator.distributed_type == DistributedType.FSDP
    sharded = update(fresh_model(), window, accelerator)
    if precision == "no":
        assert_alike(sharded, alone)
    else:
        assert sharded.loss == pytest.approx(alone.loss, rel=0.02)
        assert sharded.cosine(alone) > 0.9
    whole = whole_model(accelerator, sharded.model)
    assert {weight.dtype for weight in whole.parameters()} == {torch.float32}
    assert all(type(weight) is torch.nn.Parameter for weight in whole.parameters())
