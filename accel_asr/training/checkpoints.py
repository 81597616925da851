"""Save, find, restore and rotate checkpoints: safetensors and JSON, no pickle, complete or absent."""

import hashlib
import json
import random
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from safetensors.torch import load_file, save_file
from torch import nn

from accel_asr.errors import UserError
from accel_asr.training.run_folder import folder_written_whole, write_json

CHECKPOINTS_DIR = "checkpoints"
MODEL_FILE, OPTIMIZER_FILE, RNG_FILE, STATE_FILE = (
    "model.safetensors",
    "optimizer.safetensors",
    "rng.safetensors",
    "state.json",
)


@dataclass
class Progress:
    """How far a run is: all that is needed to go on, beside tensors.

    step: optimizer windows trained. skipped_steps: of them, updates that the fp16 scaler left out.
    scores: the records of summary.json so far (`baseline`, `best`). metrics_bytes: length of metrics.jsonl.
    """

    step: int = 0
    skipped_steps: int = 0
    scores: dict[str, dict[str, Any]] = field(default_factory=dict)
    metrics_bytes: int = 0


def checkpoint_path(output_dir: Path, step: int) -> Path:
    """`output_dir/checkpoints/step-00000030`: the names sort by step."""
    return output_dir / CHECKPOINTS_DIR / f"step-{step:08d}"


def list_checkpoints(output_dir: Path) -> list[Path]:
    """The complete checkpoints, oldest first. One that is being written has another name."""
    return sorted((output_dir / CHECKPOINTS_DIR).glob("step-[0-9]*"))


def save_checkpoint(
    output_dir: Path,
    *,
    accelerator: Accelerator,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    progress: Progress,
    geometry: Mapping[str, int],
    save_total_limit: int,
) -> None:
    """Save all that a run needs to go on. Every rank must call this; the main process writes.

    Atomic: a crash leaves the one before. Then the oldest beyond `save_total_limit` go.

    Args:
        geometry: The numbers that the order of training depends on; compared on resume.
    """
    rng_states = gather_object([_rng_state(accelerator.device)])
    if not accelerator.is_main_process:
        return
    unwrapped = accelerator.unwrap_model(model)
    with folder_written_whole(checkpoint_path(output_dir, progress.step)) as folder:
        save_file(_contiguous(_distinct_tensors(unwrapped)), folder / MODEL_FILE)
        save_file(_contiguous(_optimizer_tensors(optimizer, unwrapped)), folder / OPTIMIZER_FILE)
        ranks = {
            f"rank{rank}.{name}": state for rank, states in enumerate(rng_states) for name, state in states.items()
        }
        save_file(ranks, folder / RNG_FILE)
        state = {
            "progress": asdict(progress),
            "geometry": dict(geometry),
            "trained_parameters": _parameter_names(optimizer, unwrapped),
            "scaler": accelerator.scaler.state_dict() if accelerator.scaler is not None else None,
            "torch_threads": torch.get_num_threads(),
            "sha256": {name: _sha256(folder / name) for name in (MODEL_FILE, OPTIMIZER_FILE, RNG_FILE)},
        }
        write_json(folder / STATE_FILE, state)
    for old in list_checkpoints(output_dir)[:-save_total_limit]:
        shutil.rmtree(old)


def restore_checkpoint(
    folder: Path,
    *,
    accelerator: Accelerator,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    geometry: Mapping[str, int],
) -> Progress:
    """Put model, optimizer, scaler and random number generators back. Every rank must call this, and reads by itself.

    Raises:
        UserError: the checkpoint is damaged, or was made by a run with another geometry.
    """
    state = _read_state(folder)
    different = [
        f"{name} was {state['geometry'].get(name)} and is {value}"
        for name, value in geometry.items()
        if state["geometry"].get(name) != value
    ]
    if different:
        raise UserError(
            f"checkpoint.resume: {str(folder)!r} can't be gone on with, since the run has changed: "
            f"{'; '.join(different)}; use the settings of the run's config.yaml, or another --output_dir"
        )
    unwrapped = accelerator.unwrap_model(model)
    if _parameter_names(optimizer, unwrapped) != state["trained_parameters"]:
        raise UserError(
            f"checkpoint.resume: {str(folder)!r} can't be gone on with, since other weights are trained now; use the "
            "settings of the run's config.yaml (model.freeze_encoder), or another --output_dir"
        )
    # the tied output projection is stored once, under the embedding's name, and shares its storage here
    missing = unwrapped.load_state_dict(load_file(folder / MODEL_FILE), strict=False)
    expected = set(unwrapped.state_dict()) - set(_distinct_tensors(unwrapped))
    assert set(missing.missing_keys) == expected, missing
    assert not missing.unexpected_keys, missing
    _restore_optimizer(optimizer, unwrapped, load_file(folder / OPTIMIZER_FILE))
    if accelerator.scaler is not None and state["scaler"]:
        accelerator.scaler.load_state_dict(state["scaler"])
    prefix = f"rank{accelerator.process_index}."
    _set_rng_state(
        {
            name.removeprefix(prefix): value
            for name, value in load_file(folder / RNG_FILE).items()
            if name.startswith(prefix)
        }
    )
    return Progress(**state["progress"])


def _read_state(folder: Path) -> dict[str, Any]:
    """The JSON part, once every file beside it has been found to be as it was written."""
    try:
        state = json.loads((folder / STATE_FILE).read_text(encoding="utf-8"))
        damaged = [name for name, digest in state["sha256"].items() if _sha256(folder / name) != digest]
    except (OSError, ValueError, KeyError) as error:
        raise UserError(_damaged(folder, str(error))) from error
    if damaged:
        raise UserError(_damaged(folder, f"{', '.join(damaged)} is not what was written"))
    return state


def _damaged(folder: Path, reason: str) -> str:
    return (
        f"checkpoint.resume: {str(folder)!r} is damaged ({reason}); delete that folder to go on from the one before it"
    )


def _distinct_tensors(model: nn.Module) -> dict[str, torch.Tensor]:
    """The state without second names of the same tensor: whisper's `proj_out.weight` is its embedding."""
    distinct, seen = {}, set()
    for name, tensor in model.state_dict().items():
        if tensor.data_ptr() not in seen:
            seen.add(tensor.data_ptr())
            distinct[name] = tensor
    return distinct


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
    states: dict[int, dict[str, torch.Tensor]] = {}
    for full_name, tensor in tensors.items():
        name, key = full_name.rsplit("/", 1)
        states.setdefault(number[name], {})[key] = tensor
    optimizer.load_state_dict({"state": states, "param_groups": optimizer.state_dict()["param_groups"]})


def _rng_state(device: torch.device) -> dict[str, torch.Tensor]:
    """The states of this rank's generators (torch on CPU and GPU, NumPy, Python), as tensors."""
    numpy_state, python_state = np.random.get_state(legacy=True), random.getstate()
    assert isinstance(numpy_state, tuple)
    states = {
        "torch": torch.get_rng_state(),
        "numpy.keys": torch.from_numpy(numpy_state[1].astype(np.int64)),
        "numpy.rest": torch.tensor([numpy_state[2], numpy_state[3]], dtype=torch.int64),
        "numpy.cached_gaussian": torch.tensor([numpy_state[4]], dtype=torch.float64),
        "python": torch.tensor(python_state[1], dtype=torch.int64),
    }
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    return states


def _set_rng_state(states: Mapping[str, torch.Tensor]) -> None:
    torch.set_rng_state(states["torch"])
    position, has_gaussian = states["numpy.rest"].tolist()
    keys = states["numpy.keys"].numpy().astype(np.uint32)
    np.random.set_state(("MT19937", keys, position, has_gaussian, float(states["numpy.cached_gaussian"])))
    random.setstate((3, tuple(states["python"].tolist()), None))
    if "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"])


def _contiguous(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().contiguous() for name, tensor in tensors.items()}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
