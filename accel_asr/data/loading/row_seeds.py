"""The seed of one row in one epoch, for all that is drawn for it: the same in any worker, on any rank, at any time."""

import numpy as np
from xxhash import xxh3_64_intdigest


def row_seed(seed: int, epoch: int, row: int | str) -> int:
    """A 63-bit hash, which fits an int64. `row` is its number, or its name in a stream, which has no numbers."""
    return xxh3_64_intdigest(f"{seed} {epoch} {row}".encode()) >> 1


def is_drawn(share: float, *seeds: int) -> bool:
    """Whether something happens to a row that happens to this share of the rows: a pure function of the seeds."""
    # from (seed, epoch, row) and not from a worker's generator, so that a resumed run draws the same
    return share > 0 and float(np.random.default_rng(seeds).random()) < share
