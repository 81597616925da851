"""On what and how large a section measures, and the tables it shows."""

import dataclasses
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import torch

from benchmarks.speed.__main__ import ROWS, quiet
from benchmarks.speed.material import SIZES, TINY, Material
from benchmarks.speed.model_rows import Bench
from benchmarks.speed.results import table

QUICK = dataclasses.replace(TINY, window_s=10)  # of which something can be merged


@dataclass(frozen=True)
class Trial:
    """`folder` keeps the models of all sections; with `is_quick` every size is tiny."""

    device: torch.device
    is_quick: bool
    folder: Path

    @classmethod
    def start(cls, device: str, *, is_quick: bool, folder: Path) -> "Trial":
        """For this process."""
        quiet()
        if device == "cpu":
            torch.set_num_threads(1)
        elif not torch.cuda.is_available():
            raise RuntimeError("torch finds no CUDA device")
        return cls(torch.device(device), is_quick, folder)

    @property
    def mixed_precision(self) -> str:
        return "bf16" if self.device.type == "cuda" and torch.cuda.get_device_capability() >= (8, 0) else "no"

    @property
    def dtype(self) -> torch.dtype:
        return torch.bfloat16 if self.mixed_precision == "bf16" else torch.float32

    def bench(self, size: str, batch_size: int, *, clip_s: float | None = None, rounds: int = 3) -> Bench:
        """What the rows of `benchmarks.speed` take. With `is_quick` all tiny.

        Args:
            clip_s: Seconds of each clip, where it is not that of the size.
        """
        shape = SIZES[size]
        if self.is_quick:
            shape, batch_size, clip_s, rounds = QUICK, 2, None, 1
        folder = self.folder / shape.name
        folder.mkdir(exist_ok=True)
        shape = dataclasses.replace(shape, clip_s=clip_s or shape.clip_s)
        material = Material(folder, shape, device=self.device)
        return Bench(
            material=material,
            folder=folder,
            rounds=rounds,
            batch_size=batch_size,
            fetch_size=batch_size,
            mixed_precision=self.mixed_precision,
            warmups={},
        )


def speed_rows(bench: Bench, *names: str) -> Iterator[str]:
    """Rows of `python -m benchmarks.speed`, each as it is measured."""
    for index, name in enumerate(names):
        module, function = ROWS[name].split(".")
        rows = getattr(import_module(f"benchmarks.speed.{module}"), function)(bench)
        lines = table([dataclasses.replace(row, model=bench.material.size.name, gpu=_gpu(bench)) for row in rows])
        yield from lines.splitlines()[0 if index == 0 else 2 :]


def heads(*columns: str) -> str:
    """The first two lines of a table."""
    return line(columns) + "\n" + "|" + "---|" * len(columns)


def line(cells: Iterable[object]) -> str:
    """One line of a table; numbers with three digits."""
    texts = [f"{cell:.3g}" if isinstance(cell, float) and abs(cell) < 1_000 else _plain(cell) for cell in cells]
    return "| " + " | ".join(texts) + " |"


def _plain(cell: object) -> str:
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    return f"{cell:,.0f}" if isinstance(cell, int | float) else str(cell).replace("|", "/").replace("\n", " ")


def _gpu(bench: Bench) -> str:
    return torch.cuda.get_device_name() if bench.device.type == "cuda" else ""
