"""What a run asks of the order it trains in, whether that is windows of rows, packs of rows or a stream.

The orders themselves are made in `epoch_order.py`, `packing.py` and `stream_plan.py`.
"""

from typing import Protocol


class Plan(Protocol):
    """The order of training: optimizer step 1, 2, 3, ... each takes one window, the global batch.

    A window is processes x accumulation steps x micro-batch. Micro-batches are `micro_batch_size` of `unit`, or about
    `batch_seconds` of audio where that is set.
    """

    @property
    def num_rows(self) -> int:
        """Training utterances; 0 of a stream."""

    @property
    def num_processes(self) -> int: ...

    @property
    def accumulation_steps(self) -> int: ...

    @property
    def micro_batch_size(self) -> int: ...

    @property
    def seed(self) -> int: ...

    @property
    def batch_seconds(self) -> float | None: ...

    @property
    def unit(self) -> str:
        """What micro-batches are counted in."""

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps of the first epoch; 0 of a stream, whose epochs are not known."""

    @property
    def order_checksum(self) -> int:
        """Of what the order depends on beside the seed, the rows and the size of the window."""

    def rows_by(self, step: int) -> int:
        """Rows that failures by `step` are a share of."""

    def epochs_at(self, step: int) -> float:
        """Epochs done after `step`, such as 1.5; 0 of a stream."""

    def ends_epoch(self, step: int) -> bool:
        """Whether `step` is the last of its epoch."""

    def epoch_ends(self, last_step: int) -> list[int]:
        """The steps before `last_step` that end an epoch, in order."""
