"""Checkpoints: going on is bit for bit as if nothing had happened, and only whole, unpickled ones are gone on from."""

import json
import random
import shutil
import threading
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from accel_asr.config.settings import Config, ModelConfig
from accel_asr.config.training_settings import TrainingConfig
from accel_asr.data.loading.clip_items import ClipItems
from accel_asr.data.loading.items import Item
from accel_asr.errors import UserError
from accel_asr.files.atomic_writes import write_json
from accel_asr.files.run_folder import checkpoint_path, list_checkpoints
from accel_asr.model.adapter_layers import add_adapters
from accel_asr.model.parts import freeze
from accel_asr.model.pretrained import load_model_and_processor
from accel_asr.training.averages import MovingAverage
from accel_asr.training.optimizers import build_optimizer
from accel_asr.training.saving import checkpoint_state, checkpoints
from accel_asr.training.saving.checkpoint_state import Geometry, Progress
from accel_asr.training.saving.checkpoints import find_checkpoint, restore_checkpoint, save_checkpoint
from accel_asr.training.saving.optimizer_state import optimizer_tensors
from accel_asr.training.saving.recorded_settings import RecordedSettings, recorded
from accel_asr.training.saving.snapshot import Snapshot
from accel_asr.training.saving.written_behind import WrittenBehind
from accel_asr.training.step import train_step
from tests.refusals import refused
from tests.tiny_models import make_tiny_whisper

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
TRAINING = TrainingConfig(learning_rate=1e-5, lr_scheduler_type="constant_with_warmup", warmup_steps=50)
SETTINGS = RecordedSettings(
    recorded(Config(model=ModelConfig(language="en"), training=TRAINING).to_dict()),
    base_model="abc",
    validation_data=77,
    validation_utterances=10,
    last_step=12,
)
FILES = {"model.safetensors", "optimizer.safetensors", "rng.safetensors", "state.json"}


class Run:
    """A model in training: what a process has, and a new one must get back."""

    def __init__(
        self,
        folder: Path,
        accelerator,
        items: list[Item],
        collator,
        *,
        frozen: bool = False,
        adapters: bool = False,
        ema_decay: float | None = None,
        **options: Any,
    ) -> None:
        self.accelerator, self.items, self.collator = accelerator, items, collator
        model, self.processor = load_model_and_processor(str(folder))
        model.config.dropout = 0.3  # so that the generators matter
        for module in model.modules():
            if hasattr(module, "dropout"):
                module.dropout = 0.3
        if frozen:
            freeze(model, ["encoder"])
        if adapters:
            settings = {
                "r": 4,
                "lora_alpha": 8,
                "lora_dropout": 0.3,
                "use_dora": True,
                "modules_to_save": ["layer_norm"],
            }
            add_adapters(model, target_modules="all-linear", seed=3, base_name="tiny", base_revision=None, **settings)
        optimizer = build_optimizer(model, learning_rate=1e-3, weight_decay=0.01, **options)
        self.model, self.optimizer = accelerator.prepare(model.train(), optimizer)
        self.average = MovingAverage(self.model, ema_decay)
        self.progress = Progress()

    def step(self) -> float:
        first = 2 * self.progress.step % 4
        window = [self.collator(self.items[first : first + 2]), self.collator(self.items[first + 2 : first + 3])]
        self.progress.step += 1
        result = train_step(self.model, self.optimizer, window, accelerator=self.accelerator, max_grad_norm=1.0)
        self.average.update(skipped=result.skipped)
        return result.loss

    def snapshot(self, written: WrittenBehind) -> Snapshot:
        return Snapshot(self.model, self.processor, is_main_process=True, written=written)

    def save(self, output_dir: Path, **options: Any) -> Path:
        """Save, and wait until it is on disk."""
        with WrittenBehind(self.accelerator, output_dir) as written:
            return self.save_behind(output_dir, self.snapshot(written), written, **options)

    def save_behind(
        self,
        output_dir: Path,
        snapshot: Snapshot,
        written: WrittenBehind,
        *,
        save_total_limit: int = 2,
        settings: RecordedSettings = SETTINGS,
    ) -> Path:
        save_checkpoint(
            output_dir,
            accelerator=self.accelerator,
            model=self.model,
            optimizer=self.optimizer,
            progress=self.progress,
            geometry=GEOMETRY,
            settings=settings,
            save_total_limit=save_total_limit,
            snapshot=snapshot,
            written=written,
            average=self.average,
        )
        return checkpoint_path(output_dir, self.progress.step)

    def restore(
        self,
        folder: Path,
        *,
        settings: RecordedSettings = SETTINGS,
        allow_changes: bool = False,
        **changed: float,
    ) -> Progress:
        self.progress, self.notices = restore_checkpoint(
            folder,
            accelerator=self.accelerator,
            model=self.model,
            optimizer=self.optimizer,
            geometry=replace(GEOMETRY, **changed),
            settings=settings,
            allow_changes=allow_changes,
            average=self.average,
        )
        return self.progress


@pytest.fixture
def items(clip_items: ClipItems) -> list[Item]:
    return [clip_items[0, row] for row in range(7)]


@pytest.fixture
def new_run(tiny_folder: Path, accelerator, items: list[Item], collator):
    return lambda **options: Run(tiny_folder, accelerator, items, collator, **options)


@pytest.fixture
def saved(new_run, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint after two steps, made once."""
    template = tmp_path_factory.getbasetemp() / "saved-checkpoint"
    if not template.exists():
        run = new_run()
        run.step()
        run.step()
        run.save(template)
    shutil.copytree(template, tmp_path, dirs_exist_ok=True)
    return checkpoint_path(tmp_path, 2)


# -- as if nothing had happened


@pytest.mark.parametrize("options", [{}, {"frozen": True}, {"adapters": True}], ids=str)
def test_a_new_process_goes_on_bit_for_bit(new_run, tmp_path: Path, options: dict[str, bool]) -> None:
    run = new_run(**options)
    run.step()
    run.step()
    run.progress.scores = {"baseline": {"wer": 0.75, "step": 0}}
    run.progress.metrics_bytes = 321
    folder = run.save(tmp_path)
    expected_losses = [run.step(), run.step()]
    expected = {name: tensor.clone() for name, tensor in run.model.state_dict().items()}

    torch.manual_seed(999)  # whatever the new process did before
    resumed = new_run(**options)
    progress = resumed.restore(folder)
    assert progress == Progress(step=2, scores={"baseline": {"wer": 0.75, "step": 0}}, metrics_bytes=321)
    assert [resumed.step(), resumed.step()] == expected_losses
    for name, tensor in resumed.model.state_dict().items():
        assert torch.equal(tensor, expected[name]), name


@pytest.mark.parametrize("optim", ["adamw_8bit", "adafactor", "muon"])
def test_every_state_of_every_optimizer_comes_back(
    tmp_path: Path, accelerator, items: list[Item], collator, optim: str
) -> None:
    """In a model whose layers are large enough for states of 8 bits."""
    wide = make_tiny_whisper(tmp_path / "wide", max_source_positions=100, width=64, layers=1)
    run = Run(wide, accelerator, items, collator, optim=optim)
    run.step()
    folder = run.save(tmp_path / "run")
    expected_losses = [run.step(), run.step()]
    expected = {name: tensor.clone() for name, tensor in run.model.state_dict().items()}
    states = optimizer_tensors(run.optimizer, run.model)

    resumed = Run(wide, accelerator, items, collator, optim=optim)
    resumed.restore(folder)
    assert [resumed.step(), resumed.step()] == expected_losses
    assert all(torch.equal(tensor, expected[name]) for name, tensor in resumed.model.state_dict().items())
    again = optimizer_tensors(resumed.optimizer, resumed.model)
    assert again.keys() == states.keys()
    assert all(torch.equal(again[name], state) and again[name].dtype == state.dtype for name, state in states.items())
    trained = {name for name, weight in run.model.named_parameters() if weight.requires_grad}
    assert {name.rpartition("/")[0] for name in states} == trained
    kinds = {state.dtype for state in states.values()}
    assert (torch.uint8 in kinds, torch.int64 in kinds) == (optim == "adamw_8bit", optim != "muon")


def test_another_optimizer_is_refused_whatever_is_allowed(new_run, saved: Path) -> None:
    now = replace(SETTINGS, settings={**SETTINGS.settings, "training.optim": "muon"})
    with refused("--checkpoint.resume", "adamw_torch_fused", "muon", "training.optim"):
        new_run(optim="muon").restore(saved, settings=now, allow_changes=True)


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


def test_of_a_model_with_adapters_only_what_is_trained_is_saved(new_run, tmp_path: Path) -> None:
    run = new_run(adapters=True)
    run.step()
    folder = run.save(tmp_path)
    trained = {name for name, weight in run.model.named_parameters() if weight.requires_grad}
    with WrittenBehind(run.accelerator, tmp_path) as written:
        snapshot = run.snapshot(written)
        assert snapshot.model_tensors.keys() == trained
        # nothing of the base is copied on a CPU
        base = {tensor.data_ptr() for name, tensor in run.model.state_dict().items() if name not in trained}
        of_snapshot = {tensor.data_ptr() for tensor in snapshot._model.state_dict().values()}
        assert base <= of_snapshot
    assert set(load_file(folder / "model.safetensors")) == trained
    assert {name.rpartition("/")[0] for name in load_file(folder / "optimizer.safetensors")} == trained


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
        patch.setattr(checkpoints, "write_state", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
        with refused("--output_dir", "disk full", repr(str(first))):
            run.save(tmp_path, save_total_limit=1)
    assert list((tmp_path / "checkpoints").iterdir()) == [first]
    assert new_run().restore(first).step == 1
    second = run.save(tmp_path, save_total_limit=1)
    assert list((tmp_path / "checkpoints").iterdir()) == [second]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_optimizer_states_that_are_not_finite_are_not_saved(new_run, tmp_path: Path, value: float) -> None:
    run = new_run()
    run.step()
    first = run.save(tmp_path)
    run.step()
    next(iter(run.optimizer.state.values()))["exp_avg_sq"].view(-1)[0] = value
    with refused("--training.learning_rate", "step 2", remedy=f"resume from {str(first)!r}"):
        run.save(tmp_path)
    assert list((tmp_path / "checkpoints").iterdir()) == [first]


# -- what is not gone on from


def refusal(run: Run, folder: Path, **changed: Any) -> str:
    with pytest.raises(UserError) as caught:
        run.restore(folder, **changed)
    assert caught.value.setting == "--checkpoint.resume"
    return str(caught.value)


def edited(folder: Path, **changed: Any) -> Path:
    """The checkpoint with other values in its state.json, as if they had been written so. Objects are merged."""
    content = json.loads((folder / "state.json").read_text())
    content.pop("digest")
    for name, value in changed.items():
        content[name] = {**content[name], **value} if isinstance(value, dict) else value
    content["digest"] = checkpoint_state._digest(content)
    (folder / "state.json").write_text(json.dumps(content))
    return folder


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


# -- the moving average


def test_the_moving_average_continues_bit_for_bit(new_run, tmp_path: Path) -> None:
    run = new_run(frozen=True, ema_decay=0.9)
    run.step()
    run.step()
    folder = run.save(tmp_path)
    assert {path.name for path in folder.iterdir()} == FILES | {"ema.safetensors"}
    trained = {name for name, weight in run.model.named_parameters() if weight.requires_grad}
    assert load_file(folder / "ema.safetensors").keys() == trained | {"updates"}
    assert "model.encoder.conv1.weight" not in trained
    run.step()
    run.step()

    resumed = new_run(frozen=True, ema_decay=0.9)
    resumed.restore(folder)
    resumed.step()
    resumed.step()
    assert resumed.average.updates == run.average.updates == 4
    own = dict(run.model.named_parameters())
    for name, tensor in run.average.tensors.items():
        assert torch.equal(resumed.average.tensors[name], tensor), name
    assert any(not torch.equal(tensor, own[name]) for name, tensor in run.average.tensors.items())


def test_a_checkpoint_without_a_moving_average_lets_it_begin_there_and_says_so(new_run, saved: Path) -> None:
    run = new_run(ema_decay=0.9)
    run.average.updates = 5
    run.restore(saved)
    assert [notice for notice in run.notices if "training.ema_decay" in notice]
    assert run.average.updates == 0
    own = dict(run.model.named_parameters())
    assert all(torch.equal(tensor, own[name]) for name, tensor in run.average.tensors.items())


@pytest.mark.parametrize("how", ["truncated", "missing", "one bit", "nan"])
def test_a_checkpoint_with_a_damaged_moving_average_is_skipped(new_run, tmp_path: Path, how: str) -> None:
    run = new_run(ema_decay=0.9)
    run.step()
    first = run.save(tmp_path)
    run.step()
    second = run.save(tmp_path)
    if how == "nan":
        tensors = load_file(second / "ema.safetensors")
        next(tensor for tensor in tensors.values() if tensor.numel() > 1).view(-1)[0] = float("nan")
        save_file(tensors, second / "ema.safetensors")
        digests = json.loads((second / "state.json").read_text())["sha256"]
        edited(second, sha256={**digests, "ema.safetensors": checkpoints._sha256(second / "ema.safetensors")})
    else:
        damage(second / "ema.safetensors", how)
    found, notices = find_checkpoint(tmp_path)
    assert found == first
    assert "ema.safetensors" in notices[0]


def test_a_moving_average_that_is_not_finite_is_not_saved(new_run, tmp_path: Path) -> None:
    run = new_run(ema_decay=0.9)
    run.step()
    next(iter(run.average.tensors.values())).view(-1)[0] = float("inf")
    with refused("--training.learning_rate", "not finite"):
        run.save(tmp_path)
    assert list_checkpoints(tmp_path) == []


def test_when_all_are_damaged_none_is_gone_on_from(saved: Path, accelerator, tmp_path: Path) -> None:
    (saved / "state.json").write_text("{}")
    with refused("--output_dir", "no checkpoint is intact", "sha256"):
        find_checkpoint(tmp_path)


def test_a_run_that_never_saved_starts_from_the_beginning(accelerator, tmp_path: Path) -> None:
    assert find_checkpoint(tmp_path) == (None, [])


def test_another_global_batch_is_refused_with_both_sums(new_run, saved: Path) -> None:
    message = refusal(new_run(), saved, num_processes=2, seed=7)
    assert "1 process x 2 x 2 = 4 -> 2 processes x 2 x 2 = 8" in message
    assert "training.seed: 42 -> 7" in message


def test_the_same_global_batch_dealt_out_otherwise_goes_on_and_says_so(new_run, saved: Path) -> None:
    run = new_run()
    assert run.restore(saved, accumulation_steps=1, micro_batch_size=4).step == 2
    assert "was 1 process x 2 x 2 = 4, this run's is 1 process x 1 x 4 = 4: the same" in run.notices[0]
    assert len(run.notices) == 1


def test_fractions_of_seconds_that_come_out_even_are_the_same_global_batch(new_run, saved: Path) -> None:
    edited(saved, geometry={"num_processes": 1, "accumulation_steps": 3, "micro_batch_size": 33.4})
    assert 3 * 33.4 != 100.2
    assert new_run().restore(saved, accumulation_steps=1, micro_batch_size=100.2).step == 2


def test_a_stream_goes_on_with_as_many_processes_only(new_run, saved: Path) -> None:
    edited(saved, geometry={"steps_per_epoch": 0})
    message = refusal(new_run(), saved, steps_per_epoch=0, num_processes=2, accumulation_steps=1)
    assert "each process reads its own part of a stream" in message
    assert "1 -> 2" in message


def test_another_number_of_threads_is_said(new_run, saved: Path) -> None:
    edited(saved, torch_threads=torch.get_num_threads() + 3)
    run = new_run()
    run.restore(saved)
    assert f"made with {torch.get_num_threads() + 3} threads a process" in run.notices[0]


def test_another_gpu_or_torch_is_said(new_run, saved: Path) -> None:
    def notices() -> list[str]:
        run = new_run()
        run.restore(saved)
        return run.notices

    assert not any("torch" in notice for notice in notices())
    edited(saved, device="NVIDIA H200")
    assert f"made on NVIDIA H200 with torch {torch.__version__} and this run has cpu" in notices()[0]
    edited(saved, device="cpu", torch_version="2.11.0+cu130")
    assert "with torch 2.11.0+cu130 " in notices()[0]


def test_an_earlier_version_recorded_neither_device_nor_torch(new_run, saved: Path) -> None:
    content = json.loads((saved / "state.json").read_text())
    for name in ("digest", "device", "torch_version"):
        del content[name]
    content["digest"] = checkpoint_state._digest(content)
    (saved / "state.json").write_text(json.dumps(content))
    run = new_run()
    assert run.restore(saved).step == 2
    assert run.notices == []


def test_a_rank_without_a_state_is_seeded_by_seed_step_and_rank(new_run, saved: Path) -> None:
    edited(saved, geometry={"num_processes": 2, "accumulation_steps": 1})
    drawn = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        new_run().restore(saved)
        drawn.append(float(torch.rand(())))
    assert drawn[0] == drawn[1]


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"geometry": {"train_data": None}}, "train_data is 'None'"),
        ({"geometry": {"colour": 3}}, "unknown 'colour'"),
        ({"progress": {"step": "2"}}, "step is '2'"),
        ({"progress": {"step": True}}, "step is 'True'"),
        ({"progress": {"step": -2}}, "step is '-2'"),
        ({"progress": {"step": 10**400}}, "step is '1000"),
        ({"progress": {"step": 3}}, "is that of step-00000003"),
        ({"progress": {"metrics_bytes": 1.5}}, "metrics_bytes is '1.5'"),
        ({"geometry": {"micro_batch_size": float("nan")}}, "micro_batch_size is 'nan'"),
        ({"progress": {"unreadable": "abc"}}, "unreadable is 'abc'"),
        ({"progress": {"places": [[1]]}}, "places is '[1]'"),
        ({"torch_threads": None}, "torch_threads is 'None'"),
        ({"trained_parameters": [1]}, "trained_parameters is '1'"),
        ({"recorded": {"settings": []}}, "settings is '[]'"),
        ({"sha256": []}, "sha256 is '[]'"),
        ({"sha256": {"../../etc/passwd": "0"}}, "does not say what the other files were"),
        ({"sha256": {"model.safetensors": "0"}}, "model.safetensors is not what was written"),
        ({"format": 99}, "this version reads format 2"),
        ({"format": [2]}, "this version reads format 2"),
        ({"extra": 1}, "unknown 'extra'"),
    ],
)
def test_a_state_that_can_not_be_is_damage_and_no_traceback(
    saved: Path, tmp_path: Path, changed: dict[str, Any], reason: str
) -> None:
    edited(saved, **changed)
    with refused("--output_dir", "no checkpoint is intact", reason):
        find_checkpoint(tmp_path)


@pytest.mark.parametrize("content", ["", "[]", "null", "{}", "7", "[" * 100_000, '{"format": 2}', "\x00", '{"a": NaN}'])
def test_a_state_that_is_no_state_is_damage_and_no_traceback(saved: Path, tmp_path: Path, content: str) -> None:
    (saved / "state.json").write_text(content)
    with refused("--output_dir", "no checkpoint is intact"):
        find_checkpoint(tmp_path)


def test_one_changed_value_in_the_state_is_noticed(saved: Path, tmp_path: Path) -> None:
    text = (saved / "state.json").read_text()
    assert '"evaluated_step": 0' in text
    (saved / "state.json").write_text(text.replace('"evaluated_step": 0', '"evaluated_step": 1'))
    with refused("--output_dir", "state.json is not what was written"):
        find_checkpoint(tmp_path)


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.safetensors"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_checkpoint_that_is_not_finite_is_skipped_for_the_one_before(
    new_run, tmp_path: Path, name: str, value: float
) -> None:
    run = new_run()
    run.step()
    first = run.save(tmp_path)
    run.step()
    second = run.save(tmp_path)
    tensors = load_file(second / name)
    spoilt = next(key for key, tensor in tensors.items() if tensor.numel() > 1)
    tensors[spoilt].view(-1)[-1] = value
    save_file(tensors, second / name)
    edited(second, sha256={name: checkpoints._sha256(second / name)})
    found, notices = find_checkpoint(tmp_path)
    assert found == first
    assert f"{name} is not finite: {spoilt}" in notices[0]


def test_a_damaged_later_checkpoint_does_not_push_out_those_that_are_whole(new_run, tmp_path: Path) -> None:
    run = new_run()
    run.step()
    run.save(tmp_path)
    damaged = checkpoint_path(tmp_path, 5)
    damaged.mkdir()
    run.step()
    second = run.save(tmp_path, save_total_limit=1)
    assert list_checkpoints(tmp_path) == [second, damaged]
    assert find_checkpoint(tmp_path)[0] == second


def test_a_folder_that_only_looks_like_a_checkpoint_is_left_alone(new_run, tmp_path: Path) -> None:
    run = new_run()
    run.step()
    run.save(tmp_path)
    mine = tmp_path / "checkpoints" / "step-00000001-copy"
    mine.mkdir()
    (tmp_path / "checkpoints" / "step-00000009").write_text("no folder")
    run.step()
    second = run.save(tmp_path, save_total_limit=1)
    assert list_checkpoints(tmp_path) == [second]
    assert mine.is_dir()


# -- settings and data that have changed since


def with_settings(last_step: int = 12, **changed: Any) -> RecordedSettings:
    """Those of the checkpoint, but for some, by their full names with `__` for the dot."""
    values = {name.replace("__", "."): value for name, value in changed.items()}
    return replace(SETTINGS, settings={**SETTINGS.settings, **values}, last_step=last_step)


def test_a_setting_that_the_result_depends_on_is_refused_and_may_be_allowed(new_run, saved: Path) -> None:
    run, other = new_run(), with_settings(training__learning_rate=2e-5)
    message = refusal(run, saved, settings=other)
    assert "\n  training.learning_rate: 1e-05 -> 2e-05\n" in message
    assert "--checkpoint.allow_changes true" in message
    assert run.restore(saved, settings=other, allow_changes=True).step == 2
    assert any(notice.endswith("allowed: training.learning_rate: 1e-05 -> 2e-05") for notice in run.notices)


def test_all_that_has_changed_is_said_at_once(new_run, saved: Path) -> None:
    other = replace(with_settings(training__weight_decay=1, data__text_column="words"), base_model="def")
    other = replace(other, validation_data=78, validation_utterances=3)
    message = refusal(new_run(), saved, settings=other, train_data=99)
    for part in ("weight_decay: 0.0 -> 1", "base model", "abc -> def", "10 utterances (checksum 77) -> 3 utterances"):
        assert part in message
    assert "training data (checksum): 1234 -> 99" in message
    assert "data.text_column: text -> words" in message  # which may be why the data is other data


def test_nothing_is_said_of_what_is_as_it_was(new_run, saved: Path) -> None:
    run = new_run()
    run.restore(saved)
    assert run.notices == []
    run.restore(saved, settings=with_settings(training__dataloader_num_workers=0))
    assert len(run.notices) == 1
    assert "does not depend on it: training.dataloader_num_workers: null -> 0" in run.notices[0]


@pytest.mark.parametrize(
    "other",
    [with_settings(evaluation__normalizer="none"), replace(SETTINGS, validation_data=78, validation_utterances=3)],
    ids=["normalizer", "validation data"],
)
def test_scores_of_another_yardstick_are_put_aside(new_run, tmp_path: Path, other: RecordedSettings) -> None:
    run = new_run()
    run.step()
    run.progress.scores = {"baseline": {"wer": 0.9}, "best": {"wer": 0.1}}
    run.progress.evaluated_step = 1
    folder = run.save(tmp_path)
    progress = run.restore(folder, settings=other, allow_changes=True)
    assert (progress.scores, progress.evaluated_step, progress.measured_since) == ({}, 0, 1)
    assert "best/ is chosen anew" in " ".join(run.notices)
    again = run.restore(folder, settings=with_settings(training__weight_decay=1), allow_changes=True)
    assert again.scores == {"baseline": {"wer": 0.9}, "best": {"wer": 0.1}}  # measured alike


def test_a_run_that_is_made_longer_goes_on_and_says_what_becomes_of_the_schedule(new_run, tmp_path: Path) -> None:
    linear = {"training__lr_scheduler_type": "linear", "training__warmup_steps": 1, "training__learning_rate": 1e-3}
    before = with_settings(4, **linear)
    run = new_run()
    run.step()
    run.step()
    folder = edited(run.save(tmp_path), recorded={"settings": before.settings, "last_step": 4})
    run.restore(folder, settings=with_settings(10, **linear, training__max_steps=10))
    message = " ".join(run.notices)
    assert "made longer: it ends at step 10, and was to end at 4" in message
    # of (last + 1 - step) / (last + 1 - warmup): 3 of 4 at step 2; 8 of 10 at step 3, where it was to be 2 of 4
    assert "0.00075 at step 2, 0.0008 at step 3 in place of 0.0005" in message
    constant = {**linear, "training__lr_scheduler_type": "constant_with_warmup"}
    edited(folder, recorded={"settings": with_settings(4, **constant).settings})
    run.restore(folder, settings=with_settings(10, **constant))
    assert run.notices == ["the run is made longer: it ends at step 10, and was to end at 4"]


def test_a_run_that_is_past_its_end_is_refused(new_run, saved: Path) -> None:
    with refused("--training.max_steps", "ends the run at step 1", "after step 2", value=1):
        new_run().restore(saved, settings=with_settings(1, training__max_steps=1))


def test_a_checkpoint_of_an_earlier_version_is_gone_on_from_only_when_allowed(new_run, tmp_path: Path) -> None:
    run = new_run()
    run.step()
    run.progress.scores = {"best": {"wer": 0.1}}
    folder = run.save(tmp_path)
    content = json.loads((folder / "state.json").read_text())
    for name in ("format", "digest", "recorded"):
        del content[name]
    del content["progress"]["measured_since"]
    (folder / "state.json").write_text(json.dumps(content))
    assert find_checkpoint(tmp_path) == (folder, [])
    message = refusal(new_run(), folder)
    assert "earlier version" in message
    assert "--checkpoint.allow_changes true" in message
    progress = new_run().restore(folder, allow_changes=True)
    assert (progress.step, progress.scores) == (1, {})


def test_a_checkpoint_from_before_early_stopping_has_counted_nothing(new_run, tmp_path: Path) -> None:
    run = new_run()
    run.step()
    run.progress.evaluations_without_gain = 2
    folder = run.save(tmp_path)
    assert new_run().restore(folder).evaluations_without_gain == 2
    content = json.loads((folder / "state.json").read_text())
    del content["progress"]["evaluations_without_gain"], content["digest"]
    write_json(folder / "state.json", {**content, "digest": checkpoint_state._digest(content)})
    assert new_run().restore(folder).evaluations_without_gain == 0


def test_what_can_not_be_gone_on_from_is_refused_even_when_changes_are_allowed(new_run, saved: Path) -> None:
    assert "99 parameters and has 98" in refusal(new_run(), saved, allow_changes=True, model_parameters=98)
    assert "(model.freeze)" in refusal(new_run(frozen=True), saved, allow_changes=True)
    edited(saved, geometry={"steps_per_epoch": 0})
    message = refusal(new_run(), saved, allow_changes=True, steps_per_epoch=0, train_data=5)
    assert "place in another stream" in message


def test_a_checkpoint_of_other_trained_weights_is_refused(new_run, saved: Path) -> None:
    message = refusal(new_run(frozen=True), saved)  # model.freeze was set in between
    assert repr(str(saved)) in message


def test_a_part_may_get_a_rate_of_its_own(new_run, saved: Path) -> None:
    """The groups of the optimizer differ, and its state is found by the names of the weights."""
    run, other = new_run(), new_run(rate_multipliers={"encoder": 0.1})
    run.restore(saved)
    other.restore(saved)
    for mine, its in zip(run.model.parameters(), other.model.parameters(), strict=True):
        for name, value in run.optimizer.state[mine].items():
            assert torch.equal(value, other.optimizer.state[its][name])


WITH_ADAPTERS = replace(SETTINGS, settings={**SETTINGS.settings, "lora.enabled": True, "lora.r": 4})


@pytest.mark.parametrize("allow_changes", [False, True])
def test_adapters_do_not_go_on_from_a_whole_model_nor_the_other_way_round(
    new_run, saved: Path, tmp_path: Path, allow_changes: bool
) -> None:
    with refused("--checkpoint.resume", "holds a whole model", "trains adapters", "lora.enabled"):
        new_run(adapters=True).restore(saved, settings=WITH_ADAPTERS, allow_changes=allow_changes)
    shutil.rmtree(saved)
    run = new_run(adapters=True)
    run.step()
    folder = run.save(tmp_path, settings=WITH_ADAPTERS)
    with refused("--checkpoint.resume", "holds adapters", "trains a whole model", "lora.enabled"):
        new_run().restore(folder, allow_changes=allow_changes)


def test_adapters_of_another_kind_are_refused_even_when_changes_are_allowed(new_run, tmp_path: Path) -> None:
    run = new_run(adapters=True)
    run.step()
    folder = run.save(tmp_path, settings=WITH_ADAPTERS)
    other = {**WITH_ADAPTERS.settings, "lora.r": 8, "lora.target_modules": ["fc1"]}
    with refused("--checkpoint.resume", "lora.r: 4 -> 8", "lora.target_modules: all-linear -> ['fc1']") as caught:
        new_run(adapters=True).restore(folder, settings=replace(SETTINGS, settings=other), allow_changes=True)
    assert str(caught.value).count("of another kind") == 1
    scaled = replace(SETTINGS, settings={**WITH_ADAPTERS.settings, "lora.lora_alpha": 1})
    with refused("--checkpoint.resume", "lora.lora_alpha: 64 -> 1"):
        new_run(adapters=True).restore(folder, settings=scaled)
    assert new_run(adapters=True).restore(folder, settings=scaled, allow_changes=True).step == 1


def test_a_refused_checkpoint_leaves_the_model_as_it_was(new_run, saved: Path) -> None:
    run = new_run()
    before = {name: tensor.clone() for name, tensor in run.model.state_dict().items()}
    refusal(run, saved, seed=7)
    assert all(torch.equal(tensor, before[name]) for name, tensor in run.model.state_dict().items())
