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


def _pairs(model, snapshot: Snapshot) -> list[tuple[torch.Tensor, torch.Tensor]]:
    return [(tensor, snapshot.model_tensors[name]) for name, tensor in distinct_tensors(model).items()]
