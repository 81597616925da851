"""The seed of one row in one epoch, for all that is drawn for it: the same in any worker, on any rank, at any time."""

from xxhash import xxh3_64_intdigest


def row_seed(seed: int, epoch: int, row: int | str) -> int:
    """A 63-bit hash, which fits an int64. `row` is its number, or its name in a stream, which has no numbers."""
    return xxh3_64_intdigest(f"{seed} {epoch} {row}".encode()) >> 1
