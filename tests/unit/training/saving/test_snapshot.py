"""Snapshots: nothing shared with what trains, taken once a step, in memory that workers do not inherit."""

import os
import re
import sys
import threading
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from accel_asr.model.pretrained import save_model_folder
from accel_asr.training.saving import snapshot as snapshots
from accel_asr.training.saving.snapshot import Snapshot, distinct_tensors, memory_like
from accel_asr.training.saving.written_behind import WrittenBehind

SOON_S = 0.2
DEADLINE_S = 20


@pytest.fixture
def written(accelerator, tmp_path: Path):
    with WrittenBehind(accelerator, tmp_path) as written:
        yield written


@pytest.fixture
def snapshot(model_and_processor, written: WrittenBehind) -> Snapshot:
    return Snapshot(*model_and_processor, is_main_process=True, written=written)


def test_a_model_folder_of_it_is_that_of_the_model_byte_for_byte(
    model_and_processor, snapshot: Snapshot, tmp_path: Path
) -> None:
    snapshot.take_weights(model_and_processor[0], step=1)
    snapshot.save_model_folder(tmp_path / "snapshot")
    save_model_folder(*model_and_processor, tmp_path / "model")
    files = {path.name: path.read_bytes() for path in (tmp_path / "model").iterdir()}
    assert {path.name: path.read_bytes() for path in (tmp_path / "snapshot").iterdir()} == files


def test_weights_and_words_of_training_do_not_come_into_it(
    model_and_processor, snapshot: Snapshot, tmp_path: Path
) -> None:
    model, processor = model_and_processor
    before = {name: tensor.clone() for name, tensor in distinct_tensors(model).items()}
    snapshot.take_weights(model, step=1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1)
    processor.tokenizer.set_prefix_tokens(language="de", task="translate")
    model.generation_config.max_new_tokens = 3
    snapshot.save_model_folder(tmp_path / "model")
    saved = load_file(tmp_path / "model" / "model.safetensors")
    assert saved.keys() == before.keys()
    assert all(torch.equal(saved[name], tensor) for name, tensor in before.items())
    assert '"max_new_tokens": 3' not in (tmp_path / "model" / "generation_config.json").read_text()


def test_weights_are_taken_once_a_step(model_and_processor, snapshot: Snapshot) -> None:
    model, _ = model_and_processor
    snapshot.take_weights(model, step=1)
    first = next(iter(snapshot.model_tensors.values())).clone()
    with torch.no_grad():
        model.get_input_embeddings().weight.zero_()
    for step, changed in ((1, False), (2, True)):
        snapshot.take_weights(model, step=step)
        differs = [not torch.equal(tensor, own) for tensor, own in _pairs(model, snapshot)]
        assert any(differs) != changed
    assert next(iter(snapshot.model_tensors.values())).shape == first.shape


def test_what_is_still_being_written_is_not_copied_over(
    model_and_processor, snapshot: Snapshot, written: WrittenBehind
) -> None:
    model, _ = model_and_processor
    gate, seen = threading.Event(), []
    snapshot.take_weights(model, step=1)
    before = [tensor.clone() for tensor in snapshot.model_tensors.values()]

    def write() -> None:
        gate.wait(DEADLINE_S)
        seen.extend(tensor.clone() for tensor in snapshot.model_tensors.values())

    written.hand_over(write, step=1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1)
    later = threading.Thread(target=lambda: snapshot.take_weights(model, step=2))
    later.start()
    later.join(SOON_S)
    assert later.is_alive()
    gate.set()
    later.join(DEADLINE_S)
    assert all(torch.equal(one, other) for one, other in zip(seen, before, strict=True))
    assert all(torch.equal(tensor, own) for tensor, own in _pairs(model, snapshot))


def test_other_ranks_hold_nothing(model_and_processor, written: WrittenBehind) -> None:
    snapshot = Snapshot(*model_and_processor, is_main_process=False, written=written)
    snapshot.take_weights(model_and_processor[0], step=1)
    snapshot.take_optimizer({"weight/exp_avg": torch.ones(2)}, step=1)
    assert snapshot.optimizer == {}


def test_the_generators_are_left_as_they_are(model_and_processor, written: WrittenBehind) -> None:
    before = torch.get_rng_state()
    Snapshot(*model_and_processor, is_main_process=True, written=written)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere it is ordinary memory")
def test_forked_processes_do_not_inherit_it() -> None:
    memory = memory_like(torch.ones(300_000)).fill_(1)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        address = memory.data_ptr()
        spans = re.findall(r"^([0-9a-f]+)-([0-9a-f]+) ", Path("/proc/self/maps").read_text(), re.MULTILINE)
        os.write(writer, b"there" if any(int(a, 16) <= address < int(b, 16) for a, b in spans) else b"not there")
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reader, 20) == b"not there"
    assert float(memory.sum()) == 300_000


class FakeCuda:
    """Takes tensors of the CPU for CUDA's, and writes down what is done with them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.pinned: list[int] = []
        self.calls: list[str] = []
        empty, copy_ = torch.empty, torch.Tensor.copy_

        def pinned(*shape: object, pin_memory: bool = False, **options: object) -> torch.Tensor:
            tensor = empty(*shape, **options)
            if pin_memory:
                self.pinned.append(tensor.data_ptr())
            return tensor

        def copied(memory: torch.Tensor, tensor: torch.Tensor, non_blocking: bool = False) -> torch.Tensor:
            self.calls.append("queued" if non_blocking and memory.data_ptr() in self.pinned else "waited")
            return copy_(memory, tensor)

        monkeypatch.setattr(snapshots, "is_on_cuda", lambda tensor: True)
        monkeypatch.setattr(torch, "empty", pinned)
        monkeypatch.setattr(torch.Tensor, "copy_", copied)
        monkeypatch.setattr(torch.cuda, "current_stream", lambda device: self)

    def synchronize(self) -> None:
        self.calls.append("synchronised")


def test_copies_from_cuda_are_queued_into_pinned_memory_and_waited_for_once(
    model_and_processor, written: WrittenBehind, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, moments = model_and_processor[0], ["exp_avg"]
    state = {f"{name}/exp_avg": torch.full_like(weight, 2.0) for name, weight in model.named_parameters()}
    cuda = FakeCuda(monkeypatch)
    snapshot = Snapshot(*model_and_processor, is_main_process=True, written=written, moments=moments)
    taken = []
    for step in (1, 2):
        cuda.calls.clear()
        snapshot.take_weights(model, step=step)
        assert cuda.calls == ["queued"] * len(distinct_tensors(model)) + ["synchronised"]
        assert all(torch.equal(tensor, own) for tensor, own in _pairs(model, snapshot))
        cuda.calls.clear()
        snapshot.take_optimizer(state, step=step)
        assert cuda.calls == ["queued"] * len(state) + ["synchronised"]
        assert all(torch.equal(snapshot.optimizer[name], tensor) for name, tensor in state.items())
        held = {**snapshot.model_tensors, **snapshot.optimizer}
        taken.append({name: tensor.data_ptr() for name, tensor in held.items()})
    assert taken[0] == taken[1]
    assert sorted(taken[1].values()) == sorted(cuda.pinned)


def test_copies_on_the_cpu_are_as_ever(
    model_and_processor, snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: pytest.fail("there is no CUDA"))
    snapshot.take_weights(model_and_processor[0], step=1)
    assert not any(tensor.is_pinned() for tensor in snapshot.model_tensors.values())


def _pairs(model, snapshot: Snapshot) -> list[tuple[torch.Tensor, torch.Tensor]]:
    return [(tensor, snapshot.model_tensors[name]) for name, tensor in distinct_tensors(model).items()]
