"""The snapshot that a checkpoint is written from: equal to what trains on the device, and there when it is taken."""

from pathlib import Path

import torch

from accel_asr.training.optimizers import ADAMW, WHOLE_STATES, build_optimizer
from accel_asr.training.saving.optimizer_state import optimizer_tensors
from accel_asr.training.saving.snapshot import Snapshot, distinct_tensors
from accel_asr.training.saving.written_behind import WrittenBehind
from tests.gpu.conftest import Start


def test_a_snapshot_is_what_trains(start: Start, fresh_model, model_and_processor, tmp_path: Path) -> None:
    accelerator = start()
    model = fresh_model().to(accelerator.device)
    optimizer = build_optimizer(model, learning_rate=1e-2, weight_decay=0.0)
    with WrittenBehind(accelerator, tmp_path) as written:
        moments = WHOLE_STATES[ADAMW]
        snapshot = Snapshot(model, model_and_processor[1], is_main_process=True, written=written, moments=moments)
        for step in (1, 2):
            for weight in model.parameters():
                weight.grad = torch.randn_like(weight) if weight.requires_grad else None
            optimizer.step()
            snapshot.take_weights(model, step=step)
            snapshot.take_optimizer(optimizer_tensors(optimizer, model), step=step)
            state = {**distinct_tensors(model), **optimizer_tensors(optimizer, model)}
            copies = {**snapshot.model_tensors, **snapshot.optimizer}
            # before anything else is asked of the device
            assert all(torch.equal(copies[name], tensor.cpu()) for name, tensor in state.items())
            is_cuda = accelerator.device.type == "cuda"
            assert all(tensor.is_pinned() == is_cuda for tensor in copies.values())
            assert copies.keys() == state.keys()
