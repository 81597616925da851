"""Checkpoints: going on is bit for bit as if nothing had happened, and only whole, unpickled ones are gone on from."""

import json
import random
import threading
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

from accel_asr.data.collator import Item
from accel_asr.data.loading import ClipItems
from accel_asr.errors import UserError
from accel_asr.modeling import freeze_encoder, load_model_and_processor
from accel_asr.training import checkpoints
from accel_asr.training.checkpoints import (
    Geometry,
    Progress,
    find_checkpoint,
    restore_checkpoint,
    save_checkpoint,
)
from accel_asr.training.run_folder import checkpoint_path, list_checkpoints
from accel_asr.training.snapshot import Snapshot
from accel_asr.training.step import build_optimizer, train_step
from accel_asr.training.written_behind import WrittenBehind

GEOMETRY = Geometry(
    train_utterances=7,
    train_data=1234,
    seed=42,
    steps_per_epoch=2,
    model_parameters=99,
    num_processes=1,
    accumulation_steps=2,
    micro_batch_size=2,
)
FILES = {"model.safetensors", "optimizer.safetensors", "rng.safetensors", "state.json"}


class Run:
    """A model in training: what a process has, and a new one must get back."""

    def __init__(self, folder: Path, accelerator, items: list[Item], collator, *, frozen: bool = False) -> None:
        self.accelerator, self.items, self.collator = accelerator, items, collator
        model, self.processor = load_model_and_processor(str(folder))
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

    def snapshot(self, written: WrittenBehind) -> Snapshot:
        return Snapshot(self.model, self.processor, is_main_process=True, written=written)

    def save(self, output_dir: Path, *, save_total_limit: int = 2) -> Path:
        """Save, and wait until it is on disk."""
        with WrittenBehind(self.accelerator, output_dir) as written:
            return self.save_behind(output_dir, self.snapshot(written), written, save_total_limit=save_total_limit)

    def save_behind(
        self, output_dir: Path, snapshot: Snapshot, written: WrittenBehind, *, save_total_limit: int = 2
    ) -> Path:
        save_checkpoint(
            output_dir,
            accelerator=self.accelerator,
            model=self.model,
            optimizer=self.optimizer,
            progress=self.progress,
            geometry=GEOMETRY,
            save_total_limit=save_total_limit,
            snapshot=snapshot,
            written=written,
        )
        return checkpoint_path(output_dir, self.progress.step)

    def restore(self, folder: Path, **changed: int) -> Progress:
        self.progress, self.notices = restore_checkpoint(
            folder,
            accelerator=self.accelerator,
            model=self.model,
            optimizer=self.optimizer,
            geometry=replace(GEOMETRY, **changed),
        )
        return self.progress


@pytest.fixture
def items(clip_items: ClipItems) -> list[Item]:
    return [clip_items[0, row] for row in range(7)]


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


def test_what_is_trained_while_a_checkpoint_is_written_is_not_in_it(new_run, tmp_path: Path) -> None:
    run, saved = new_run(), []
    with WrittenBehind(run.accelerator, tmp_path) as written:
        snapshot = run.snapshot(written)
        for _ in range(2):  # the second in the memory of the first
            gate = threading.Event()
            run.step()
            run.progress.scores = {"baseline": {"step": 0, "parts": {"en": {"wer": 0.5}}}}
            written.hand_over(lambda gate=gate: gate.wait(20), step=run.progress.step)  # until then nothing is written
            folder = run.save_behind(tmp_path, snapshot, written)
            generators = torch.get_rng_state()
            losses = [run.step(), run.step()]
            run.progress.scores["baseline"]["parts"]["en"]["wer"] = 0.25
            assert not folder.exists()
            gate.set()
            saved.append((folder, generators, losses))
            torch.set_rng_state(generators)
            written.wait_for_those_before(-2)
    for folder, generators, losses in saved:
        resumed = new_run()
        progress = resumed.restore(folder)
        assert progress.step == int(folder.name.removeprefix("step-"))
        assert progress.scores == {"baseline": {"step": 0, "parts": {"en": {"wer": 0.5}}}}
        assert torch.equal(torch.get_rng_state(), generators)
        assert [resumed.step(), resumed.step()] == losses


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
    assert (state["progress"]["step"], state["geometry"]) == (2, asdict(GEOMETRY))


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
        with pytest.raises(UserError, match=rf"disk full.*go on from {str(first)!r}"):
            run.save(tmp_path, save_total_limit=1)
    assert list((tmp_path / "checkpoints").iterdir()) == [first]
    assert new_run().restore(first).step == 1
    second = run.save(tmp_path, save_total_limit=1)
    assert list((tmp_path / "checkpoints").iterdir()) == [second]


# -- what is not gone on from


def refused(run: Run, folder: Path, **changed: int) -> str:
    with pytest.raises(UserError) as caught:
        run.restore(folder, **changed)
    return str(caught.value)


def damage(path: Path, how: str) -> None:
    content = path.read_bytes()
    if how == "missing":
        path.unlink()
    elif how == "truncated":
        path.write_bytes(content[: len(content) // 2])
    else:  # in a weight, not in a header; for the JSON file one that makes it invalid
        middle = 0 if path.name == "state.json" else len(content) - 8
        path.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])


@pytest.mark.parametrize("name", sorted(FILES))
@pytest.mark.parametrize("how", ["truncated", "missing", "one bit"])
def test_a_damaged_checkpoint_is_named_and_skipped_for_the_one_before(
    new_run, tmp_path: Path, name: str, how: str
) -> None:
    run = new_run()
    run.step()
    first = run.save(tmp_path)
    run.step()
    second = run.save(tmp_path)
    assert find_checkpoint(tmp_path) == (second, [])
    damage(second / name, how)
    found, notices = find_checkpoint(tmp_path)
    assert found == first
    assert len(notices) == 1
    assert notices[0].startswith(f"checkpoint {str(second)!r} is damaged (")
    if name != "state.json":
        assert name in notices[0]


def test_when_all_are_damaged_none_is_gone_on_from(saved: Path, accelerator, tmp_path: Path) -> None:
    (saved / "state.json").write_text("{}")
    with pytest.raises(UserError, match=r"no checkpoint in .* is intact") as caught:
        find_checkpoint(tmp_path)
    assert "sha256" in str(caught.value)


def test_a_run_that_never_saved_starts_from_the_beginning(accelerator, tmp_path: Path) -> None:
    assert find_checkpoint(tmp_path) == (None, [])


def test_another_global_batch_is_refused_with_both_sums(new_run, saved: Path) -> None:
    told = refused(new_run(), saved, num_processes=2, seed=7)
    assert told.startswith(f"checkpoint.resume: {str(saved)!r} can't be gone on with")
    assert "was 1 process x 2 x 2 = 4 and is 2 processes x 2 x 2 = 8; seed was 42 and is 7" in told


def test_the_same_global_batch_dealt_out_otherwise_goes_on_and_says_so(new_run, saved: Path) -> None:
    run = new_run()
    assert run.restore(saved, accumulation_steps=1, micro_batch_size=4).step == 2
    assert "was 1 process x 2 x 2 = 4, this run's is 1 process x 1 x 4 = 4: the same" in run.notices[0]
    assert len(run.notices) == 1


def test_fractions_of_seconds_that_come_out_even_are_the_same_global_batch(new_run, saved: Path) -> None:
    state = json.loads((saved / "state.json").read_text())
    state["geometry"] |= {"num_processes": 1, "accumulation_steps": 3, "micro_batch_size": 33.4}
    (saved / "state.json").write_text(json.dumps(state))
    assert 3 * 33.4 != 100.2
    assert new_run().restore(saved, accumulation_steps=1, micro_batch_size=100.2).step == 2


def test_a_stream_goes_on_with_as_many_processes_only(new_run, saved: Path) -> None:
    state = json.loads((saved / "state.json").read_text())
    state["geometry"]["steps_per_epoch"] = 0
    (saved / "state.json").write_text(json.dumps(state))
    told = refused(new_run(), saved, steps_per_epoch=0, num_processes=2, accumulation_steps=1)
    assert "goes on with as many only: there were 1, now there are 2" in told


def test_another_number_of_threads_is_said(new_run, saved: Path) -> None:
    state = json.loads((saved / "state.json").read_text())
    state["torch_threads"] += 3
    (saved / "state.json").write_text(json.dumps(state))
    run = new_run()
    run.restore(saved)
    assert f"made with {state['torch_threads']} threads a process" in run.notices[0]


def test_a_rank_without_a_state_is_seeded_by_seed_step_and_rank(new_run, saved: Path) -> None:
    state = json.loads((saved / "state.json").read_text())
    state["geometry"] |= {"num_processes": 2, "accumulation_steps": 1}
    (saved / "state.json").write_text(json.dumps(state))
    drawn = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        new_run().restore(saved)
        drawn.append(float(torch.rand(())))
    assert drawn[0] == drawn[1]


def test_a_geometry_that_the_checkpoint_does_not_know_is_refused(new_run, saved: Path) -> None:
    state = json.loads((saved / "state.json").read_text())
    del state["geometry"]["train_data"]
    (saved / "state.json").write_text(json.dumps(state))
    assert "train_data was None and is 1234" in refused(new_run(), saved)


def test_a_checkpoint_of_other_trained_weights_is_refused(new_run, saved: Path) -> None:
    told = refused(new_run(frozen=True), saved)  # model.freeze_encoder was set in between
    assert told.startswith(f"checkpoint.resume: {str(saved)!r}")


def test_a_refused_checkpoint_leaves_the_model_as_it_was(new_run, saved: Path) -> None:
    run = new_run()
    before = {name: tensor.clone() for name, tensor in run.model.state_dict().items()}
    refused(run, saved, seed=7)
    assert all(torch.equal(tensor, before[name]) for name, tensor in run.model.state_dict().items())
