"""metrics.jsonl, which is always written; its numbers go to the trackers too."""

import os
from pathlib import Path
from typing import Any, TextIO

from accelerate import Accelerator

from accel_asr.files.atomic_writes import to_json


class MetricsLog:
    """One JSON object a line, `{"kind": "train" | "eval", "step", "epoch", ...}`; the main process writes.

    A resumed run cuts the file back to what it was at the checkpoint, so that no step stands there twice.
    """

    def __init__(self, path: Path, *, accelerator: Accelerator, keep_bytes: int = 0) -> None:
        self.accelerator = accelerator
        self.file: TextIO | None = None
        if accelerator.is_main_process:
            path.touch()
            os.truncate(path, min(keep_bytes, path.stat().st_size))
            self.file = path.open("a", encoding="utf-8")

    def write(self, kind: str, step: int, epoch: float, **values: Any) -> None:
        """Append a line, and give the numbers in it to the trackers."""
        if self.file is not None:
            line = {"kind": kind, "step": step, "epoch": round(epoch, 4), **values}
            self.file.write(to_json(line) + "\n")
            self.file.flush()
        numbers = {f"{kind}/{name}": value for name, value in values.items() if isinstance(value, int | float)}
        self.accelerator.log(numbers, step=step)

    def close(self) -> None:
        """Close the file; the trackers are closed by `Accelerator.end_training`."""
        if self.file is not None:
            self.file.close()

    def size_bytes(self) -> int:
        """How long the file is now; 0 on the other ranks."""
        return self.file.tell() if self.file is not None else 0
