"""Save, find, restore and rotate checkpoints: safetensors and JSON, no pickle, complete or absent."""

import hashlib
import json
import math
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from safetensors.torch import load_file, save_file
from torch import nn

from accel_asr.errors import UserError
from accel_asr.training.random_state import random_state, restore_random_state, seed_for
from accel_asr.training.run_folder import checkpoint_path, folder_written_whole, list_checkpoints, write_json
from accel_asr.training.sharding import dealt_out_like
from accel_asr.training.snapshot import Snapshot, distinct_tensors
from accel_asr.training.written_behind import WrittenBehind

MODEL_FILE, OPTIMIZER_FILE, RNG_FILE, STATE_FILE = (
    "model.safetensors",
    "optimizer.safetensors",
    "rng.safetensors",
    "state.json",
)


@dataclass(frozen=True)
class Geometry:
    """The numbers that the order of training depends on; compared on resume.

    A run may go on with other `num_processes`, `accumulation_steps` and `micro_batch_size` of the same product.
    `micro_batch_size` counts utterances, or seconds where windows are filled by them; `order` is a checksum of what
    else the order depends on.
    """

    train_utterances: int
    train_data: int
    seed: int
    steps_per_epoch: int
    model_parameters: int
    num_processes: int
    accumulation_steps: int
    micro_batch_size: float
    order: int = 0

    @property
    def window_size(self) -> float:
        return self.num_processes * self.accumulation_steps * self.micro_batch_size

    def window_sum(self) -> str:
        """How the global batch comes about, for messages."""
        processes = f"{self.num_processes} process{'es' if self.num_processes > 1 else ''}"
        return f"{processes} x {self.accumulation_steps} x {self.micro_batch_size:g} = {self.window_size:g}"


@dataclass
class Progress:
    """How far a run is: all that is needed to go on, beside tensors.

    step: optimizer windows trained. evaluated_step: the last of them that an evaluation came after.
    skipped_steps: of them, updates that the fp16 scaler left out.
    unreadable: ids of training utterances that could not be decoded when their turn came.
    filtered: rows of a stream that a setting left out, by reason. places: where each rank is in its stream.
    scores: the records of summary.json so far (`baseline`, `best`). metrics_bytes: length of metrics.jsonl.
    loss_sum, loss_tokens: token losses since its last line on training, in nats, and how many they are.
    """

    step: int = 0
    evaluated_step: int = 0
    skipped_steps: int = 0
    unreadable: list[str] = field(default_factory=list)
    filtered: dict[str, int] = field(default_factory=dict)
    places: list[dict[str, int]] = field(default_factory=list)
    scores: dict[str, dict[str, Any]] = field(default_factory=dict)
    metrics_bytes: int = 0
    loss_sum: float = 0.0
    loss_tokens: int = 0

    def add_loss(self, loss: float, target_tokens: int) -> float:
        """Count a step's mean loss; returns the mean of a target token since `loss_is_written`."""
        self.loss_sum += loss * target_tokens
        self.loss_tokens += target_tokens
        return self.loss_sum / self.loss_tokens

    def loss_is_written(self) -> None:
        """Begin the next mean."""
        self.loss_sum, self.loss_tokens = 0.0, 0


def save_checkpoint(
    output_dir: Path,
    *,
    accelerator: Accelerator,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    progress: Progress,
    geometry: Geometry,
    save_total_limit: int,
    snapshot: Snapshot,
    written: WrittenBehind,
) -> None:
    """Save all that a run needs to go on. Every rank must call this; it returns when a snapshot is taken.

    The main process writes it behind. Atomic: a crash leaves the one before. Then the oldest beyond `save_total_limit`
    go.

    Raises:
        UserError: an earlier write has failed (`WrittenBehind.hand_over`); on every rank.
    """
    rng_states = gather_object([random_state(accelerator.device)])
    unwrapped = accelerator.unwrap_model(model)
    step = progress.step
    snapshot.take_weights(unwrapped, step=step)
    snapshot.take_optimizer(_optimizer_tensors(optimizer, unwrapped), step=step)
    state = {
        "progress": asdict(progress),
        "geometry": asdict(geometry),
        "trained_parameters": _parameter_names(optimizer, unwrapped),
        "scaler": accelerator.scaler.state_dict() if accelerator.scaler is not None else None,
        "torch_threads": torch.get_num_threads(),  # of this thread, which trains
    }

    def write() -> None:
        with folder_written_whole(checkpoint_path(output_dir, step)) as folder:
            save_file(snapshot.model_tensors, folder / MODEL_FILE)
            save_file(snapshot.optimizer, folder / OPTIMIZER_FILE)
            ranks = {
                f"rank{rank}.{name}": state for rank, states in enumerate(rng_states) for name, state in states.items()
            }
            save_file(ranks, folder / RNG_FILE)
            digests = {name: _sha256(folder / name) for name in (MODEL_FILE, OPTIMIZER_FILE, RNG_FILE)}
            write_json(folder / STATE_FILE, {**state, "sha256": digests})
        for old in list_checkpoints(output_dir)[:-save_total_limit]:
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
    found = list_checkpoints(output_dir)
    for folder in reversed(found):
        damage = _damage(folder)
        if damage is None:
            intact = folder
            break
        notices.append(f"checkpoint {str(folder)!r} is damaged ({damage}), skipped for the one before it")
    everyones = gather_object([str(intact)])
    if len(set(everyones)) > 1:
        raise UserError(
            f"checkpoint.resume: the ranks do not see the same checkpoints in {str(output_dir)!r} (newest intact "
            f"one by rank: {', '.join(everyones)}); several machines need an --output_dir on a file system they share"
        )
    if found and intact is None:
        raise UserError(
            f"checkpoint.resume: no checkpoint in {str(output_dir)!r} is intact:\n"
            + "\n".join(f"  {notice}" for notice in notices)
            + "\ndelete them to start from the beginning, or give another --output_dir",
            same_on_every_rank=True,
        )
    return intact, notices


def restore_checkpoint(
    folder: Path,
    *,
    accelerator: Accelerator,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    geometry: Geometry,
) -> tuple[Progress, list[str]]:
    """Put model, optimizer, scaler and random number generators back. Every rank must call this, and reads by itself.

    Returns:
        The progress, and a notice for each reason why the run will not go on bit for bit as if it had not stopped.

    Raises:
        UserError: the checkpoint was made by a run that this one can't go on with; all numbers are named.
    """
    state = json.loads((folder / STATE_FILE).read_text(encoding="utf-8"))
    progress = Progress(**state["progress"])
    notices = _check_geometry(folder, state["geometry"], geometry)
    if state["torch_threads"] != torch.get_num_threads():
        notices.append(
            f"the checkpoint was made with {state['torch_threads']} threads a process and this run has "
            f"{torch.get_num_threads()} (OMP_NUM_THREADS): sums round otherwise, so it goes on equal to about 1e-5, "
            "not bit for bit"
        )
    unwrapped = accelerator.unwrap_model(model)
    if _parameter_names(optimizer, unwrapped) != state["trained_parameters"]:
        raise UserError(
            f"checkpoint.resume: {str(folder)!r} can't be gone on with, since other weights are trained now; use the "
            "settings of the run's config.yaml (model.freeze_encoder), or another --output_dir",
            same_on_every_rank=True,
        )
    # the tied output projection is stored once, under the embedding's name, and shares its storage here
    weights = unwrapped.state_dict()
    saved = {name: dealt_out_like(weights[name], tensor) for name, tensor in load_file(folder / MODEL_FILE).items()}
    missing = unwrapped.load_state_dict(saved, strict=False)
    expected = set(weights) - set(distinct_tensors(unwrapped))
    assert set(missing.missing_keys) == expected, missing
    assert not missing.unexpected_keys, missing
    _restore_optimizer(optimizer, unwrapped, load_file(folder / OPTIMIZER_FILE))
    if accelerator.scaler is not None and state["scaler"]:
        accelerator.scaler.load_state_dict(state["scaler"])
    if state["geometry"]["num_processes"] == accelerator.num_processes:
        prefix = f"rank{accelerator.process_index}."
        every_rank = load_file(folder / RNG_FILE)
        restore_random_state(
            {name.removeprefix(prefix): value for name, value in every_rank.items() if name.startswith(prefix)}
        )
    else:
        seed_for(geometry.seed, progress.step, accelerator.process_index)
    return progress, notices


def _check_geometry(folder: Path, saved: Mapping[str, int], geometry: Geometry) -> list[str]:
    """Refuse another run; give a notice where the same global batch is dealt out otherwise."""
    dealing = ("num_processes", "accumulation_steps", "micro_batch_size")
    different = [
        f"{name} was {saved.get(name)} and is {value}"
        for name, value in asdict(geometry).items()
        if name not in dealing and saved.get(name) != value
    ]
    before = Geometry(**{**asdict(geometry), **{name: saved[name] for name in dealing}})
    if geometry.steps_per_epoch == 0 and before.num_processes != geometry.num_processes:
        different.insert(
            0,
            f"a stream is dealt to the processes, and goes on with as many only: there were {before.num_processes}, "
            f"now there are {geometry.num_processes}",
        )
    elif not math.isclose(before.window_size, geometry.window_size):  # seconds may be fractions
        sums = f"was {before.window_sum()} and is {geometry.window_sum()}"
        different.insert(0, f"the global batch (processes x accumulation x micro-batch) {sums}")
    if different:
        raise UserError(
            f"checkpoint.resume: {str(folder)!r} can't be gone on with, since the run has changed: "
            f"{'; '.join(different)}; use the settings of the run's config.yaml, or another --output_dir",
            same_on_every_rank=True,
        )
    if before == geometry:
        return []
    return [
        f"the checkpoint's global batch was {before.window_sum()}, this run's is {geometry.window_sum()}: the same, so "
        "it goes on equal to about 1e-5, not bit for bit"
    ]


def _damage(folder: Path) -> str | None:
    """What is wrong with the files of a checkpoint; None when all are as they were written."""
    try:
        state = json.loads((folder / STATE_FILE).read_text(encoding="utf-8"))
        damaged = [name for name, digest in state["sha256"].items() if _sha256(folder / name) != digest]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return f"{STATE_FILE}: no {error}" if isinstance(error, KeyError) else str(error)
    return f"{', '.join(damaged)} is not what was written" if damaged else None


def _parameter_names(optimizer: torch.optim.Optimizer, model: nn.Module) -> list[list[str]]:
    """The names of the parameters in each group of the optimizer, in its order."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return [[names[id(parameter)] for parameter in group["params"]] for group in optimizer.param_groups]


def _optimizer_tensors(optimizer: torch.optim.Optimizer, model: nn.Module) -> dict[str, torch.Tensor]:
    """The optimizer's state by `parameter name/state name`, such as `model.encoder.conv1.bias/exp_avg`."""
    return {
        f"{name}/{key}": value
        for group, names in zip(optimizer.param_groups, _parameter_names(optimizer, model), strict=True)
        for parameter, name in zip(group["params"], names, strict=True)
        for key, value in optimizer.state[parameter].items()
    }


def _restore_optimizer(optimizer: torch.optim.Optimizer, model: nn.Module, tensors: Mapping[str, torch.Tensor]) -> None:
    """Put the state back; learning rate, weight decay and the rest stay as the run's settings have them."""
    names = [name for group in _parameter_names(optimizer, model) for name in group]
    number = {name: index for index, name in enumerate(names)}  # as optimizer.state_dict() counts parameters
    parameters = dict(model.named_parameters())
    states: dict[int, dict[str, torch.Tensor]] = {}
    for full_name, tensor in tensors.items():
        name, key = full_name.rsplit("/", 1)
        is_like_the_weight = tensor.shape == parameters[name].shape  # all but the count of steps
        placed = dealt_out_like(parameters[name], tensor) if is_like_the_weight else tensor
        states.setdefault(number[name], {})[key] = placed
    optimizer.load_state_dict({"state": states, "param_groups": optimizer.state_dict()["param_groups"]})


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
