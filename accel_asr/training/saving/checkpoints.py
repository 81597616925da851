"""Save, find, restore and rotate checkpoints: safetensors and JSON, no pickle, complete or absent."""

import hashlib
import shutil
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from accel_asr.errors import UserError
from accel_asr.files.atomic_writes import folder_written_whole
from accel_asr.files.run_folder import checkpoint_path, list_checkpoints
from accel_asr.model.frozen_weights import originals
from accel_asr.model.pretrained import named_not_finite, not_finite_in_file
from accel_asr.training.averages import MovingAverage
from accel_asr.training.launch.environment import device_name
from accel_asr.training.launch.sharding import sharded_like
from accel_asr.training.random_state import random_state, restore_random_state, seed_for
from accel_asr.training.saving.checkpoint_state import (
    STATE_FILE,
    DamagedStateError,
    Geometry,
    Progress,
    SavedState,
    read_state,
    write_state,
)
from accel_asr.training.saving.divergence import require_finite_tensors
from accel_asr.training.saving.optimizer_state import optimizer_tensors, parameter_names, restore_optimizer
from accel_asr.training.saving.recorded_settings import RecordedSettings, change_of_length
from accel_asr.training.saving.resume_checks import (
    SAME_SETTINGS,
    allowed_changes,
    require_same_shape,
    require_steps_left,
)
from accel_asr.training.saving.snapshot import Snapshot, saved_tensors
from accel_asr.training.saving.written_behind import WrittenBehind

MODEL_FILE, OPTIMIZER_FILE, RNG_FILE = "model.safetensors", "optimizer.safetensors", "rng.safetensors"
AVERAGE_FILE = "ema.safetensors"  # only with training.ema_decay


def save_checkpoint(
    output_dir: Path,
    *,
    accelerator: Accelerator,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    progress: Progress,
    geometry: Geometry,
    settings: RecordedSettings,
    save_total_limit: int,
    snapshot: Snapshot,
    written: WrittenBehind,
    average: MovingAverage | None = None,
) -> None:
    """Save all that a run needs to resume. Every rank must call this; it returns when a snapshot is taken.

    The main process writes it behind. Atomic: a crash leaves the one before. Then the oldest beyond `save_total_limit`
    go.

    Raises:
        UserError: an earlier write has failed (`WrittenBehind.hand_over`); on every rank.
    """
    rng_states = gather_object([random_state(accelerator.device)])
    unwrapped = accelerator.unwrap_model(model)
    step = progress.step
    snapshot.take_weights(unwrapped, step=step)
    snapshot.take_optimizer(optimizer_tensors(optimizer, unwrapped), step=step)
    snapshot.take_average({} if average is None else average.state(), step=step)
    state = SavedState(
        progress=Progress(**asdict(progress)),  # a copy: training goes on
        geometry=geometry,
        recorded=settings,
        trained_parameters=parameter_names(optimizer, unwrapped),
        scaler=accelerator.scaler.state_dict() if accelerator.scaler is not None else None,
        torch_threads=torch.get_num_threads(),  # of this thread, which trains
        device=device_name(accelerator.device),
        torch_version=str(torch.__version__),
        sha256={},
    )

    def write() -> None:
        # the weights were looked at before they were copied
        require_finite_tensors({**snapshot.optimizer, **snapshot.average}, output_dir=output_dir, step=step)
        with folder_written_whole(checkpoint_path(output_dir, step)) as folder:
            save_file(snapshot.model_tensors, folder / MODEL_FILE)
            save_file(snapshot.optimizer, folder / OPTIMIZER_FILE)
            ranks = {
                f"rank{rank}.{name}": state for rank, states in enumerate(rng_states) for name, state in states.items()
            }
            save_file(ranks, folder / RNG_FILE)
            if snapshot.average:
                save_file(snapshot.average, folder / AVERAGE_FILE)
            digests = {path.name: _sha256(path) for path in sorted(folder.iterdir())}
            write_state(folder, replace(state, sha256=digests))
        # a later checkpoint is damaged, or this run would have resumed from it: it must not push this one out
        newest = checkpoint_path(output_dir, step).name
        so_far = [path for path in list_checkpoints(output_dir) if path.name <= newest]
        for old in so_far[:-save_total_limit]:
            shutil.rmtree(old)

    written.hand_over(write, step=step)


def find_checkpoint(output_dir: Path) -> tuple[Path | None, list[str]]:
    """The newest checkpoint that is as it was written, and a notice for each newer one that is not. A collective.

    Every rank reads the files; None where there has never been a checkpoint.

    Raises:
        UserError: all of them are damaged, or the ranks do not see the same ones.
    """
    notices: list[str] = []
    intact: Path | None = None
    folders = list_checkpoints(output_dir)
    for folder in reversed(folders):
        damage = damage_of(folder)
        if damage is None:
            intact = folder
            break
        notices.append(f"checkpoint {str(folder)!r} is damaged ({damage}); skipped")
    by_rank = gather_object([str(intact)])
    if len(set(by_rank)) > 1:
        raise UserError(
            f"the ranks see different checkpoints; the newest intact checkpoint by rank: {', '.join(by_rank)}",
            setting="--output_dir",
            value=output_dir,
            remedy="several machines need a folder on a file system they share",
        )
    if folders and intact is None:
        raise UserError(
            "no checkpoint is intact:\n" + "\n".join(f"  {notice}" for notice in notices) + "\n",
            setting="--output_dir",
            value=output_dir,
            remedy="delete them to start from the beginning, or give another folder",
            same_on_every_rank=True,
        )
    return intact, notices


def newest_geometry(output_dir: Path) -> Geometry | None:
    """That of the newest checkpoint whose `state.json` is intact; None without one. Looks at nothing else."""
    for folder in reversed(list_checkpoints(output_dir)):
        with suppress(DamagedStateError):
            return read_state(folder).geometry
    return None


def restore_checkpoint(
    folder: Path,
    *,
    accelerator: Accelerator,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    geometry: Geometry,
    settings: RecordedSettings,
    allow_changes: bool = False,
    average: MovingAverage | None = None,
) -> tuple[Progress, list[str]]:
    """Put all that a checkpoint holds back. Every rank must call this, and reads by itself.

    Args:
        allow_changes: Resume although the result depends on what has changed. Where the scores depend on it, the scores
            so far are put aside, so that `best` is never chosen across two yardsticks.

    Returns:
        The progress, and a notice for each reason why the run will differ from one that was never stopped.

    Raises:
        UserError: this run can't resume the checkpoint, or may not; names all reasons.
    """
    state = read_state(folder)
    progress, unwrapped = state.progress, accelerator.unwrap_model(model)
    require_same_shape(folder, state, geometry, settings, trained=parameter_names(optimizer, unwrapped))
    notices, same_yardstick = allowed_changes(folder, state, geometry, settings, allow_changes=allow_changes)
    require_steps_left(folder, progress, settings)
    if state.recorded is not None:
        notices += change_of_length(state.recorded, settings, step=progress.step, skipped_steps=progress.skipped_steps)
    if not same_yardstick and progress.scores:
        notices.append(
            "the scores so far were measured otherwise and are put aside: there is no baseline any more, and best/ is "
            "chosen anew from here on"
        )
        progress.scores, progress.evaluated_step, progress.measured_since = {}, 0, progress.step
        progress.evaluations_without_gain = 0
    if state.torch_threads != torch.get_num_threads():
        notices.append(
            f"the checkpoint was made with {state.torch_threads} threads a process and this run has "
            f"{torch.get_num_threads()} (OMP_NUM_THREADS): sums round differently, so results agree to about 1e-5, "
            "not bit for bit"
        )
    made_on, runs_on = (state.device, state.torch_version), (device_name(accelerator.device), str(torch.__version__))
    if state.device is not None and made_on != runs_on:
        notices.append(
            "the checkpoint was made on {} with torch {} and this run has {} with torch {}: sums round differently, so "
            "results agree, but not bit for bit".format(*made_on, *runs_on)
        )
    # the tied output projection is stored once, under the embedding's name, and shares its storage here; what adapters
    # were added to is not stored
    weights = unwrapped.state_dict()
    loaded = load_file(folder / MODEL_FILE)
    other_shapes = [
        name for name, tensor in loaded.items() if name not in weights or weights[name].shape != tensor.shape
    ]
    if other_shapes:
        raise UserError(
            f"{str(folder)!r} holds another kind of model: other shapes of {', '.join(other_shapes[:3])}",
            setting="--model.name_or_path",
            remedy=SAME_SETTINGS,
            same_on_every_rank=True,
        )
    saved = {name: sharded_like(weights[name], tensor) for name, tensor in loaded.items()}
    missing = unwrapped.load_state_dict(saved, strict=False)
    for name, original in originals(unwrapped).items():
        original.copy_(loaded.get(name, original))
    expected = set(weights) - set(saved_tensors(unwrapped))
    assert set(missing.missing_keys) == expected, missing
    assert not missing.unexpected_keys, missing
    restore_optimizer(optimizer, unwrapped, load_file(folder / OPTIMIZER_FILE))
    if average is not None:
        notices += _restore_average(average, folder)
    if accelerator.scaler is not None and state.scaler:
        accelerator.scaler.load_state_dict(state.scaler)
    if state.geometry.num_processes == accelerator.num_processes:
        prefix = f"rank{accelerator.process_index}."
        every_rank = load_file(folder / RNG_FILE)
        restore_random_state(
            {name.removeprefix(prefix): value for name, value in every_rank.items() if name.startswith(prefix)}
        )
    else:
        seed_for(geometry.seed, progress.step, accelerator.process_index)
    return progress, notices


def damage_of(folder: Path) -> str | None:
    """What is wrong with the files of a checkpoint; None when all are as they were written, and finite."""
    try:
        state = read_state(folder)
        if set(state.sha256) - {AVERAGE_FILE} != {MODEL_FILE, OPTIMIZER_FILE, RNG_FILE}:
            return f"{STATE_FILE} does not say what the other files were"
        damaged = [name for name, digest in state.sha256.items() if _sha256(folder / name) != digest]
        if damaged:
            return f"{', '.join(damaged)} is not what was written"
        for name in sorted(state.sha256.keys() - {RNG_FILE}):
            broken = not_finite_in_file(folder / name)
            if broken:
                return f"{name} is not finite: {named_not_finite(broken)}"
    except (DamagedStateError, OSError, SafetensorError) as error:
        return str(error)
    return None


def _restore_average(average: MovingAverage, folder: Path) -> list[str]:
    """Continue the moving average, or begin it here with a notice, where the checkpoint has none."""
    if average.decay is None:
        return []
    if not (folder / AVERAGE_FILE).is_file():
        average.begin_here()
        return [f"training.ema_decay: {str(folder)!r} holds no moving average; it begins with these weights"]
    saved = load_file(folder / AVERAGE_FILE)
    placed = {name: sharded_like(tensor, saved[name]) for name, tensor in average.tensors.items()}
    average.load_state({**saved, **placed})
    return []


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
