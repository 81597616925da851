"""Checkpoints: going on is bit for bit as if nothing had happened, and only whole, unpickled ones are gone on from."""

import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

from accel_asr.data.collator import Item
from accel_asr.data.features import log_mel
from accel_asr.errors import UserError
from accel_asr.modeling import freeze_encoder, load_model_and_processor
from accel_asr.training import checkpoints
from accel_asr.training.checkpoints import (
    Progress,
    checkpoint_path,
    list_checkpoints,
    restore_checkpoint,
    save_checkpoint,
)
from accel_asr.training.step import build_optimizer, train_step

GEOMETRY = {"train_utterances": 7, "window_size": 4, "num_processes": 1, "seed": 42, "last_step": 10}
FILES = {"model.safetensors", "optimizer.safetensors", "rng.safetensors", "state.json"}


class Run:
    """A model in training: what a process has, and a new one must get back."""

    def __init__(self, folder: Path, accelerator, items: list[Item], collator, *, frozen: bool = False) -> None:
        self.accelerator, self.items, self.collator = accelerator, items, collator
        model, _ = load_model_and_processor(str(folder))
        model.config.dropout = 0.3  # so that the generators matter
        for module in model.modules():
            if hasattr(module, "dropout"):
                module.dropout = 0.3
        if frozen:
            freeze_encoder(model)
        optimizer = build_optimizer(model, learning_rate=1e-3, weight_decay=0.01)
        self.model, self.optimizer = accelerator.prepare(model.train(), optimizer)
        self.progress = Progress()

    def step(self) -> float:
        first = 2 * self.progress.step % 4
        window = [self.collator(self.items[first : first + 2]), self.collator(self.items[first + 2 : first + 3])]
        self.progress.step += 1
        return train_step(self.model, self.optimizer, window, accelerator=self.accelerator, max_grad_norm=1.0).loss

    def save(self, output_dir: Path, *, save_total_limit: int = 2) -> Path:
        save_checkpoint(
            output_dir,
            accelerator=self.accelerator,
            model=self.model,
            optimizer=self.optimizer,
            progress=self.progress,
            geometry=GEOMETRY,
            save_total_limit=save_total_limit,
        )
        return checkpoint_path(output_dir, self.progress.step)

    def restore(self, folder: Path, **changed: int) -> Progress:
        self.progress = restore_checkpoint(
            folder,
            accelerator=self.accelerator,
            model=self.model,
            optimizer=self.optimizer,
            geometry=GEOMETRY | changed,
        )
        return self.progress


@pytest.fixture
def items(utterances, model_and_processor) -> list[Item]:
    extractor = model_and_processor[1].feature_extractor
    return [Item(u.utterance_id, u.duration_s, log_mel(u.samples, extractor), u.token_ids) for u in utterances]


@pytest.fixture
def new_run(tiny_folder: Path, accelerator, items: list[Item], collator):
    return lambda **options: Run(tiny_folder, accelerator, items, collator, **options)


@pytest.fixture
def saved(new_run, tmp_path: Path) -> Path:
    """A checkpoint after two steps."""
    run = new_run()
    run.step()
    run.step()
    return run.save(tmp_path)


# -- as if nothing had happened


@pytest.mark.parametrize("frozen", [False, True], ids=["all trained", "encoder frozen"])
def test_a_new_process_goes_on_bit_for_bit(new_run, tmp_path: Path, frozen: bool) -> None:
    run = new_run(frozen=frozen)
    run.step()
    run.step()
    run.progress.scores = {"baseline": {"wer": 0.75, "step": 0}}
    run.progress.metrics_bytes = 321
    folder = run.save(tmp_path)
    expected_losses = [run.step(), run.step()]
    expected = {name: tensor.clone() for name, tensor in run.model.state_dict().items()}

    torch.manual_seed(999)  # whatever the new process did before
    resumed = new_run(frozen=frozen)
    progress = resumed.restore(folder)
    assert progress == Progress(step=2, scores={"baseline": {"wer": 0.75, "step": 0}}, metrics_bytes=321)
    assert [resumed.step(), resumed.step()] == expected_losses
    for name, tensor in resumed.model.state_dict().items():
        assert torch.equal(tensor, expected[name]), name


def test_without_the_generators_it_would_not_be_the_same(new_run, saved: Path) -> None:
    losses = []
    for seed in (1, 2):
        run = new_run()
        run.restore(saved)
        torch.manual_seed(seed)
        losses.append(run.step())
    assert losses[0] != losses[1]  # so the test above can tell


def test_every_generator_goes_on_where_it_was(new_run, tmp_path: Path) -> None:
    def draw() -> list[float]:
        return [float(torch.rand(())), float(np.random.normal()), float(np.random.random()), random.random()]

    np.random.normal()  # makes two numbers and keeps one back, which is part of the state
    run = new_run()
    run.step()
    folder = run.save(tmp_path)
    expected = draw()
    draw()
    new_run().restore(folder)
    assert draw() == expected


def test_saving_moves_nothing(new_run, tmp_path: Path) -> None:
    def three_steps(*, saves: bool) -> list[float]:
        torch.manual_seed(5)
        run, losses = new_run(), []
        for _ in range(3):
            losses.append(run.step())
            if saves:
                run.save(tmp_path)
        return losses

    assert three_steps(saves=True) == three_steps(saves=False)


def test_the_tied_projection_stays_tied(new_run, saved: Path) -> None:
    run = new_run()
    run.restore(saved)
    assert run.model.proj_out.weight is run.model.get_input_embeddings().weight
    with safe_open(saved / "model.safetensors", "pt") as file:
        assert "proj_out.weight" not in file.keys()  # noqa: SIM118 - not a dictionary


# -- what is on disk


def test_a_checkpoint_is_safetensors_and_json_only(saved: Path, tmp_path: Path) -> None:
    assert {path.name for path in saved.iterdir()} == FILES
    assert {path.suffix for path in tmp_path.rglob("*") if path.is_file()} == {".safetensors", ".json"}
    for name in sorted(FILES - {"state.json"}):
        with safe_open(saved / name, "pt") as file:
            assert list(file.keys())
    state = json.loads((saved / "state.json").read_text())
    assert (state["progress"]["step"], state["geometry"]) == (2, GEOMETRY)


def test_the_names_sort_by_step(tmp_path: Path) -> None:
    assert checkpoint_path(tmp_path, 30) == tmp_path / "checkpoints" / "step-00000030"
    for step in (9, 100, 20):
        checkpoint_path(tmp_path, step).mkdir(parents=True)
    assert [path.name for path in list_checkpoints(tmp_path)] == ["step-00000009", "step-00000020", "step-00000100"]
    assert list_checkpoints(tmp_path / "nowhere") == []


def test_the_oldest_rotate_away_and_other_folders_stay(new_run, tmp_path: Path) -> None:
    (tmp_path / "best").mkdir()
    run = new_run()
    for _ in range(4):
        run.step()
        run.save(tmp_path, save_total_limit=2)
    assert [path.name for path in list_checkpoints(tmp_path)] == ["step-00000003", "step-00000004"]
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["step-00000003", "step-00000004"]
    assert (tmp_path / "best").is_dir()


def test_a_crash_while_writing_leaves_the_one_before(new_run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = new_run()
    run.step()
    first = run.save(tmp_path, save_total_limit=1)
    run.step()
    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "write_json", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
        with pytest.raises(OSError, match="disk full"):
            run.save(tmp_path, save_total_limit=1)
    assert len(list((tmp_path / "checkpoints").iterdir())) == 2  # the half-written one is there under another name
    assert list_checkpoints(tmp_path) == [first]
    assert new_run().restore(first).step == 1
    second = run.save(tmp_path, save_total_limit=1)
    assert list((tmp_path / "checkpoints").iterdir()) == [second]


# -- what is not gone on from


def refused(run: Run, folder: Path, **changed: int) -> str:
    with pytest.raises(UserError) as caught:
        run.restore(folder, **changed)
    return str(caught.value)


@pytest.mark.parametrize("name", sorted(FILES))
@pytest.mark.parametrize("damage", ["truncated", "missing", "one bit"])
def test_a_damaged_file_is_named(new_run, saved: Path, name: str, damage: str) -> None:
    path = saved / name
    content = path.read_bytes()
    if damage == "missing":
        path.unlink()
    elif damage == "truncated":
        path.write_bytes(content[: len(content) // 2])
    else:  # in a weight, not in a header; for the JSON file one that makes it invalid
        middle = 0 if name == "state.json" else len(content) - 8
        path.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
    told = refused(new_run(), saved)
    assert told.startswith(f"checkpoint.resume: {str(saved)!r} is damaged (")
    assert "delete that folder to go on from the one before it" in told
    if name != "state.json":
        assert name in told


def test_a_state_without_checksums_is_damaged(new_run, saved: Path) -> None:
    (saved / "state.json").write_text("{}")
    assert "is damaged" in refused(new_run(), saved)


def test_another_geometry_is_refused_with_both_numbers(new_run, saved: Path) -> None:
    told = refused(new_run(), saved, num_processes=2, window_size=8)
    assert told.startswith(f"checkpoint.resume: {str(saved)!r} can't be gone on with")
    assert "window_size was 4 and is 8; num_processes was 1 and is 2" in told


def test_a_geometry_that_the_checkpoint_does_not_know_is_refused(new_run, saved: Path) -> None:
    assert "train_data was None and is 5" in refused(new_run(), saved, train_data=5)


def test_a_checkpoint_of_other_trained_weights_is_refused(new_run, saved: Path) -> None:
    told = refused(new_run(frozen=True), saved)  # model.freeze_encoder was set in between
    assert told.startswith(f"checkpoint.resume: {str(saved)!r}")


def test_a_refused_checkpoint_leaves_the_model_as_it_was(new_run, saved: Path) -> None:
    run = new_run()
    before = {name: tensor.clone() for name, tensor in run.model.state_dict().items()}
    refused(run, saved, seed=7)
    assert all(torch.equal(tensor, before[name]) for name, tensor in run.model.state_dict().items())
