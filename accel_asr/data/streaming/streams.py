"""Training on shards without an index: which rows each rank reads, in which order, and how it goes on from a place.

`datasets.IterableDataset` resumes too, but loses its shuffle buffer.
"""

import hashlib
import itertools
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from accel_asr.audio.decoding import ByteRange
from accel_asr.data.indexing.recordings import Recording
from accel_asr.data.reading.rows import Row
from accel_asr.data.reading.sources import Source
from accel_asr.data.streaming.shards import Shards, checksum_of
from accel_asr.data.text_processing import TextProcessing
from accel_asr.errors import UserError


@dataclass(frozen=True)
class Stream:
    """Shards to train on, and how.

    Args:
        held_out: So many first rows of each shard are for validation.
        validated: Digests of the validation recordings, which are not trained on.
    """

    shards: Shards
    held_out: tuple[int, ...]
    block_rows: int
    text: TextProcessing
    max_duration_s: float
    channel: int | None = None
    cut_long_labels: bool = False
    validated: frozenset[str] = frozenset()

    @property
    def checksum(self) -> int:
        """Of the training data: resuming requires the same."""
        identity = [self.shards.checksum, self.held_out, asdict(self.text), self.max_duration_s, self.channel]
        return checksum_of([*identity, self.cut_long_labels, *sorted(self.validated)])


def digest_of(row: Row | Recording) -> str | None:
    """Of an encoded recording and its segment; None if the recording is not at hand."""
    audio = row.audio if isinstance(row, Row) else row.source
    content = audio.read() if isinstance(audio, ByteRange) else audio
    if isinstance(audio, Path):
        content = audio.read_bytes()
    if not isinstance(content, bytes):
        return None
    return f"{hashlib.blake2b(content, digest_size=16).hexdigest()} {row.start_s} {row.end_s}"


def first_rows(shards: Shards, most: int | None) -> Source:
    """The first rows of all shards, in the order of the shards; all of them if `most` is None.

    Raises:
        UserError: as `Shards.rows`; or no row would be left to train on.
    """
    rows: list[Row] = []
    counts = [0] * len(shards)
    for shard in range(len(shards)):
        for row, _ in shards.rows(shard):
            if most is not None and len(rows) == most:
                return Source(rows, facts={"rows_of_shards": counts}, dependencies=shards.files)
            rows.append(row)
            counts[shard] += 1
    if most is not None:
        raise UserError(
            f"the stream has only {len(rows)} rows, so none is left to train on",
            setting="--data.eval_rows",
            value=most,
            remedy="give fewer",
        )
    if not rows:
        raise UserError("it has no rows", setting="--data.eval_split")
    return Source(rows, facts={"rows_of_shards": counts}, dependencies=shards.files)


@dataclass(frozen=True, slots=True)
class Place:
    """Where one rank is in its endless stream: all that it needs to go on.

    `turn` counts the finished shards of this epoch; the current block of shuffled rows begins at `place` and `row` of
    the shard, and `taken` of its rows are used up.
    """

    epoch: int = 0
    turn: int = 0
    place: int = 0
    row: int = 0
    taken: int = 0


@dataclass(frozen=True)
class StreamOrder:
    """Which rows one rank reads, in which order: a pure function of the seed and the place.

    Each epoch the shards are shuffled and dealt to the ranks; the remainder is read by all ranks, each of which takes
    its own rows. So one rank trains on each row once an epoch, whatever the number of shards. Within a shard, blocks
    of rows are shuffled.
    """

    stream: Stream
    rank: int
    num_processes: int
    seed: int

    def rows(self, start: Place) -> Iterator[tuple[Row, Place]]:
        """Endlessly, the rows from `start` on, each with the place after it.

        Raises:
            UserError: the shards have no rows for this rank, or can't be read.
        """
        at = start
        count = len(self.stream.shards)
        without: set[int] = set()  # shards that had no row for this rank
        while True:
            for turn, (shard, is_shared) in enumerate(self._turns(at.epoch)):
                if turn < at.turn:
                    continue
                if turn > at.turn:
                    at = Place(at.epoch, turn)
                from_beginning, has_rows = at == Place(at.epoch, turn), False
                for row, place in self._rows_of_shard(shard, at, is_shared=is_shared):
                    has_rows = True
                    yield row, place
                # later epochs deal this rank other shards, or a shared one alone
                if from_beginning and not has_rows and (not is_shared or count < self.num_processes):
                    without.add(shard)
                if len(without) == count:
                    raise UserError(
                        f"the {count} shards have no row for rank {self.rank} of {self.num_processes}",
                        setting="--data.streaming",
                        remedy="start fewer processes, or check the shards",
                    )
            at = Place(at.epoch + 1)

    def _turns(self, epoch: int) -> list[tuple[int, bool]]:
        """(shard, whether all ranks share it) for this rank, in the order of this epoch."""
        order = np.random.default_rng((self.seed, epoch)).permutation(len(self.stream.shards)).tolist()
        even = len(order) - len(order) % self.num_processes
        return [(shard, False) for shard in order[:even][self.rank :: self.num_processes]] + [
            (shard, True) for shard in order[even:]
        ]

    def _rows_of_shard(self, shard: int, start: Place, *, is_shared: bool) -> Iterator[tuple[Row, Place]]:
        skipped = self.stream.held_out[shard] if self.stream.held_out else 0
        numbered = enumerate(self.stream.shards.rows(shard, start.place), start=start.row)
        # a rank keeps only its own rows of a shared block, and shuffles as many as of any other
        block_rows = self.stream.block_rows * (self.num_processes if is_shared else 1)
        at, taken = start, start.taken
        while True:
            mine, after = [], at
            for number, (row, place) in itertools.islice(numbered, block_rows):
                after = Place(at.epoch, at.turn, place, number + 1)
                if number >= skipped and (not is_shared or number % self.num_processes == self.rank):
                    mine.append(row)
            if after == at:
                return
            key = (self.seed, at.epoch, shard, at.row)
            order = np.random.default_rng(key).permutation(len(mine))
            for position in range(taken, len(mine)):
                yield mine[order[position]], replace(at, taken=position + 1)
            at, taken = after, 0
