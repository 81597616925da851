"""The mean of the weights of several checkpoints, read a weight at a time."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import torch
from accelerate.utils import broadcast_object_list
from safetensors import safe_open

from accel_asr.files.run_folder import checkpoint_path, list_checkpoints
from accel_asr.training.saving.checkpoints import MODEL_FILE, damage_of


def newest_intact(output_dir: Path, *, step: int, most: int) -> tuple[list[Path], list[str]]:
    """The last checkpoints up to `step` that are as they were written, oldest first; and notices of damaged ones.

    A collective: the main process reads them, once the newest is on disk.
    """
    intact, notices = broadcast_object_list([_newest_intact(output_dir, step, most)])[0]
    return intact, notices


def mean_weights(folders: Sequence[Path], names: Iterable[str]) -> Iterator[tuple[str, torch.Tensor]]:
    """(name, mean over the checkpoints) of each weight, summed in float64 and rounded to fp32."""
    with ExitStack() as stack:
        files = [stack.enter_context(safe_open(folder / MODEL_FILE, framework="pt")) for folder in folders]
        for name in names:
            total = files[0].get_tensor(name).double()
            for file in files[1:]:
                total += file.get_tensor(name)
            yield name, (total / len(files)).float()


def _newest_intact(output_dir: Path, step: int, most: int) -> tuple[list[Path], list[str]]:
    intact: list[Path] = []
    notices = []
    for folder in reversed(list_checkpoints(output_dir)):
        if len(intact) == most:
            break
        if folder.name > checkpoint_path(output_dir, step).name:
            continue  # damaged, or this run would have resumed from it
        damage = damage_of(folder)
        if damage is None:
            intact.insert(0, folder)
        else:
            notices.append(f"checkpoint {str(folder)!r} is damaged ({damage}); left out of the mean")
    return intact, notices
