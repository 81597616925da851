"""The order of a stream: rows as they are read, so that a window's rows are known only when they are there."""

import json
import zlib
from dataclasses import dataclass


@dataclass(frozen=True)
class StreamPlan:
    """A `Plan` without epochs that could be counted in steps, so the run says how many steps it has.

    Unlike those of a `WindowPlan`, the rows of a window depend on the number of processes.
    """

    micro_batch_size: int
    accumulation_steps: int
    num_processes: int
    seed: int
    block_rows: int
    batch_seconds: float | None = None
    unit: str = "utterances"
    steps_per_epoch: int = 0
    num_rows: int = 0
    fewest_rows: int = 1_000  # that a share of failures is taken of

    @property
    def window_size(self) -> int:
        return self.num_processes * self.accumulation_steps * self.micro_batch_size

    @property
    def order_checksum(self) -> int:
        return zlib.crc32(json.dumps([self.block_rows]).encode())

    def rows_by(self, step: int) -> int:
        """Rows read by `step`, and never so few that a share of them says nothing."""
        return max(step * self.window_size, self.fewest_rows)

    def epochs_at(self, step: int) -> float:
        return 0.0

    def ends_epoch(self, step: int) -> bool:
        return False

    def epoch_ends(self, last_step: int) -> list[int]:
        return []
