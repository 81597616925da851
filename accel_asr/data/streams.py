"""Sources that are read from end to end: shards of a Hub dataset or of tars, each from any place in it."""

import itertools
import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from accel_asr.data.columns import require_column
from accel_asr.data.rows import Row, RowColumns
from accel_asr.data.sources import Source, SourceName
from accel_asr.data.tar_shards import expand_shards, is_shard_pattern, iterate_tar_shard
from accel_asr.data.text_processing import TextProcessing
from accel_asr.errors import UserError


class Shards(Protocol):
    """A source in shards. A place in a shard is a number that the shard itself gave, or 0 for its beginning."""

    checksum: int
    notices: list[str]

    def __len__(self) -> int: ...

    def rows(self, shard: int, place: int = 0) -> Iterator[tuple[Row, int]]:
        """The rows of a shard from a place on, each with the place after it."""
        ...


def open_shards(name: SourceName) -> Shards:
    """The shards that a source's name names; nothing but their list is fetched.

    Raises:
        UserError: a local source, for which there is no need to stream, or one that can't be reached.
    """
    if is_shard_pattern(name.name_or_path):
        return TarShards(name)
    if name.local_path is not None:
        raise UserError(
            f"data.streaming: {name.name_or_path!r} is a local source, which is indexed and not streamed; leave out "
            "data.streaming (only Hub datasets and .tar shards are streamed)"
        )
    return HubShards(name)


class TarShards:
    """WebDataset tars, local or by URL. A place is an offset in bytes, so that going on there costs nothing."""

    def __init__(self, name: SourceName) -> None:
        self.locations = expand_shards(name.name_or_path)
        self.name = name
        self.notices: list[str] = []
        self.checksum = zlib.crc32("\n".join(self.locations).encode())

    def __len__(self) -> int:
        return len(self.locations)

    def rows(self, shard: int, place: int = 0) -> Iterator[tuple[Row, int]]:
        """As `Shards.rows`.

        Raises:
            UserError: the shard can't be read, or is damaged.
        """
        location = self.locations[shard]
        stem = Path(location).stem
        for sample in iterate_tar_shard(location, offset=place):
            cells = {**sample.fields, "audio": sample.audio}
            yield row_of(cells, self.name, utterance_id=f"{stem}/{sample.key}"), sample.next_offset


class HubShards:
    """A Hub dataset as the library `datasets` streams it. A place is a row number; rows before it are passed over."""

    def __init__(self, name: SourceName) -> None:
        from accel_asr.data.hub_datasets import open_hub_dataset

        self.dataset, self.notices = open_hub_dataset(
            name.name_or_path, subset=name.subset, revision=name.revision, split=name.split, streaming=True
        )
        self.name = name
        told = (name.name_or_path, name.subset, name.revision, name.split, len(self))
        self.checksum = zlib.crc32(repr(told).encode())

    def __len__(self) -> int:
        return int(self.dataset.num_shards)

    def rows(self, shard: int, place: int = 0) -> Iterator[tuple[Row, int]]:
        """As `Shards.rows`.

        Raises:
            UserError: the Hub can't be reached.
        """
        from accel_asr.data.hub_datasets import explained_hub_errors

        with explained_hub_errors(self.name.name_or_path):
            part = self.dataset.shard(num_shards=len(self), index=shard)
            for number, cells in enumerate(part.skip(place) if place else part, start=place):
                utterance_id = f"{self.name.split}-{shard:05d}-{number:07d}"
                yield row_of(cells, self.name, utterance_id=utterance_id), number + 1


def row_of(cells: Mapping[str, Any], name: SourceName, *, utterance_id: str) -> Row:
    """A row of a stream.

    Raises:
        UserError: a column is missing; lists those there are.
    """
    for setting, column in (("data.audio_column", name.audio_column), ("data.text_column", name.text_column)):
        require_column(cells, setting, column)
    audio = cells[name.audio_column]
    content = audio.get("bytes") if isinstance(audio, Mapping) else audio
    if content is None and isinstance(audio, Mapping) and audio.get("path"):
        content = _fetched(str(audio["path"]))
    text = cells[name.text_column]
    columns: RowColumns = name.columns
    language, task, prompt = (
        None if not column or cells.get(column) in (None, "") else str(cells[column])
        for column in (columns.language, columns.task, columns.prompt)
    )
    said = None if text is None else str(text)
    return Row(utterance_id, content, said, language=language, task=task, prompt=prompt)


def _fetched(path: str) -> bytes:
    """A file of a Hub dataset that its rows name by an address."""
    from datasets.download.streaming_download_manager import xopen

    with xopen(path, "rb") as file:
        content: bytes = file.read()
    return content


@dataclass(frozen=True)
class Stream:
    """Shards to train on, and how. Of each, the first `held_out` rows are validated on."""

    shards: Shards
    held_out: tuple[int, ...]
    block_rows: int
    text: TextProcessing
    max_duration_s: float
    channel: int | None = None
    cut_long_labels: bool = False

    @property
    def checksum(self) -> int:
        """Of what is trained on: training can only be gone on with on the same data."""
        told = [self.shards.checksum, self.held_out, asdict(self.text), self.max_duration_s, self.channel]
        return zlib.crc32(json.dumps([*told, self.cut_long_labels], sort_keys=True).encode())


def first_rows(shards: Shards, most: int | None) -> Source:
    """The first rows of all shards, in the order of the shards; None takes every row.

    Raises:
        UserError: as `Shards.rows`; or there are no more rows than that, so that none is left.
    """
    rows: list[Row] = []
    counts = [0] * len(shards)
    for shard in range(len(shards)):
        for row, _ in shards.rows(shard):
            if most is not None and len(rows) == most:
                return Source(rows, facts={"rows_of_shards": counts})
            rows.append(row)
            counts[shard] += 1
    if most is not None:
        raise UserError(
            f"data.eval_rows: {most} leaves nothing to train on, the stream holds {len(rows)} rows; give fewer"
        )
    if not rows:
        raise UserError("data.eval_split: it holds no rows")
    return Source(rows, facts={"rows_of_shards": counts})


@dataclass(frozen=True, slots=True)
class Place:
    """Where one rank is in its endless stream: all that is needed to go on.

    `turn` counts the shards it has gone through in this epoch; `place` and `row` say where in the shard the block of
    rows begins that is being shuffled, and `taken` how many rows of that block are used up.
    """

    epoch: int = 0
    turn: int = 0
    place: int = 0
    row: int = 0
    taken: int = 0


@dataclass(frozen=True)
class StreamOrder:
    """Which rows one rank reads, in which order: a pure function of the seed and the place.

    Each epoch the shards are shuffled and dealt to the ranks; those that do not come out even are read by all ranks,
    each of which takes its own rows of them. So each row is trained on by one rank once an epoch, whatever the number
    of shards. Within a shard, blocks of rows are shuffled.
    """

    stream: Stream
    rank: int
    num_processes: int
    seed: int

    def rows(self, start: Place) -> Iterator[tuple[Row, Place]]:
        """Endless: the rows from `start` on, each with the place after it.

        Raises:
            UserError: the shards have no rows for this rank, or can't be read.
        """
        epoch, turn, at = start.epoch, start.turn, start
        while True:
            found, from_beginning = 0, at == Place(epoch)
            turns = self._turns(epoch)
            for number in range(turn, len(turns)):
                shard, is_shared = turns[number]
                if (at.epoch, at.turn) != (epoch, number):
                    at = Place(epoch, number)
                for row, place in self._rows_of_shard(shard, at, is_shared=is_shared):
                    found += 1
                    yield row, place
            if not found and from_beginning:
                raise UserError(
                    f"data.streaming: the {len(self.stream.shards)} shards hold no row for rank {self.rank} of "
                    f"{self.num_processes}; start fewer processes, or look at the shards"
                )
            epoch, turn = epoch + 1, 0
            at = Place(epoch)

    def _turns(self, epoch: int) -> list[tuple[int, bool]]:
        """(shard, whether all ranks share it) of this rank, in the order of this epoch."""
        order = np.random.default_rng((self.seed, epoch)).permutation(len(self.stream.shards)).tolist()
        even = len(order) - len(order) % self.num_processes
        return [(shard, False) for shard in order[:even][self.rank :: self.num_processes]] + [
            (shard, True) for shard in order[even:]
        ]

    def _rows_of_shard(self, shard: int, start: Place, *, is_shared: bool) -> Iterator[tuple[Row, Place]]:
        skipped = self.stream.held_out[shard] if self.stream.held_out else 0
        numbered = enumerate(self.stream.shards.rows(shard, start.place), start=start.row)
        at, taken = start, start.taken
        while block := list(itertools.islice(numbered, self.stream.block_rows)):
            mine = [
                row
                for number, (row, _) in block
                if number >= skipped and (not is_shared or number % self.num_processes == self.rank)
            ]
            key = (self.seed, start.epoch, shard, at.row)
            order = np.random.default_rng(key).permutation(len(mine))
            for position in range(taken, len(mine)):
                yield mine[order[position]], Place(at.epoch, at.turn, at.place, at.row, position + 1)
            at, taken = Place(at.epoch, at.turn, block[-1][1][1], block[-1][0] + 1), 0
