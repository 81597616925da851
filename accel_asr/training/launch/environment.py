"""What a run ran on: command, versions, hardware, processes, git commit."""

import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator

from accel_asr.console.public_text import public_values

RECORDED_PACKAGES = (
    "accel-asr",
    "accelerate",
    "datasets",
    "huggingface_hub",
    "jiwer",
    "numpy",
    "safetensors",
    "soundfile",
    "soxr",
    "tokenizers",
    "torch",
    "transformers",
)


def device_name(device: torch.device) -> str:
    """A GPU by its name, such as `NVIDIA H200`; another device by its kind, such as `cpu`."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def describe_environment(accelerator: Accelerator) -> dict[str, Any]:
    """What the run ran on, for environment.json: command, versions, hardware, processes, git commit."""
    return {
        "command": public_values([Path(sys.executable).name, *sys.argv]),
        "world_size": accelerator.num_processes,
        "mixed_precision": accelerator.mixed_precision,
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in RECORDED_PACKAGES},
        "platform": platform.platform(),
        "processor": platform.processor() or platform.machine(),
        "cpu_count": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "accelerators": [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())],
        "git_commit": _git_commit(),
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _git_commit() -> str | None:
    """The commit of the source tree that runs, with `-dirty` for uncommitted changes; None outside a checkout."""
    try:
        described = subprocess.run(
            ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=40"],
            capture_output=True,
            check=False,
            text=True,
            timeout=10,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return described.stdout.strip() or None
