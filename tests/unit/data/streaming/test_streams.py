"""Streams: each row once an epoch on any number of ranks, from any place on; tars in shards."""

import itertools
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader

from accel_asr.data.reading.rows import Row, RowColumns
from accel_asr.data.reading.sources import SourceName, read_source
from accel_asr.data.reading.tar_shards import iterate_tar_shard
from accel_asr.data.streaming.shards import TarShards, open_shards
from accel_asr.data.streaming.streams import Place, Stream, StreamOrder, first_rows
from accel_asr.data.text_processing import TextProcessing
from tests.refusals import refused
from tests.unit.data.shard_server import ShardServer, clip, write_tar


class CountedShards:
    """Shards of so many rows, `a0`, `a1`, ... of shard a; a place is three times the row's number."""

    checksum = 17
    notices: list[str] = []  # noqa: RUF012
    files: tuple[Path, ...] = ()

    def __init__(self, sizes: Sequence[int]) -> None:
        self.sizes = sizes
        self.read: Counter[int] = Counter()  # how often each shard was begun

    def __len__(self) -> int:
        return len(self.sizes)

    def rows(self, shard: int, place: int = 0) -> Iterator[tuple[Row, int]]:
        assert place % 3 == 0
        self.read[shard] += place == 0
        for number in range(place // 3, self.sizes[shard]):
            yield Row(f"{'abcdefghij'[shard]}{number}", b"", "x"), 3 * (number + 1)


def stream_of(sizes: Sequence[int], *, held_out: Sequence[int] = (), block_rows: int = 4) -> Stream:
    return Stream(CountedShards(sizes), tuple(held_out), block_rows, TextProcessing(), 30.0)


def order_of(stream: Stream, rank: int = 0, ranks: int = 1, *, seed: int = 3) -> StreamOrder:
    return StreamOrder(stream, rank=rank, num_processes=ranks, seed=seed)


def of_epoch(order: StreamOrder, epoch: int) -> list[tuple[str, Place]]:
    """One rank's rows of one epoch, each with the place after it."""
    rows = itertools.takewhile(lambda step: step[1].epoch == epoch, order.rows(Place(epoch)))
    return [(row.utterance_id, place) for row, place in rows]


def names(steps: Sequence[tuple[str, Place]]) -> list[str]:
    return [name for name, _ in steps]


def everything(sizes: Sequence[int], held_out: Sequence[int] = ()) -> list[str]:
    firsts = held_out or [0] * len(sizes)
    return [
        f"{'abcdefghij'[shard]}{number}"
        for shard, (first, size) in enumerate(zip(firsts, sizes, strict=True))
        for number in range(first, size)
    ]


SIZES = [(9,), (5, 12), (7, 0, 9), (4, 8, 4, 4), (1, 9, 2, 30, 5), (8, 8, 0, 8, 8, 8), (13, 1, 4, 6, 4, 11, 2)]


# -- the order


@pytest.mark.parametrize("ranks", [1, 2, 3, 4])
@pytest.mark.parametrize("sizes", SIZES)
def test_all_ranks_together_read_each_row_once_an_epoch(sizes: tuple[int, ...], ranks: int) -> None:
    stream = stream_of(sizes)
    epochs = []
    for epoch in range(4):
        by_rank = [names(of_epoch(order_of(stream, rank, ranks), epoch)) for rank in range(ranks)]
        assert sorted(itertools.chain(*by_rank)) == sorted(everything(sizes))
        epochs.append(tuple(map(tuple, by_rank)))
    assert len(set(epochs)) > 1


@pytest.mark.parametrize("ranks", [1, 2, 3, 4])
def test_held_out_rows_are_never_read(ranks: int) -> None:
    sizes, held_out = (6, 9, 11, 4, 5), (6, 3, 0, 1, 0)
    for epoch in range(3):
        orders = [order_of(stream_of(sizes, held_out=held_out), rank, ranks) for rank in range(ranks)]
        read = [name for order in orders for name in names(of_epoch(order, epoch))]
        assert sorted(read) == sorted(everything(sizes, held_out))


def test_a_shard_is_read_by_one_rank_alone_wherever_that_comes_out_even() -> None:
    stream = stream_of((4,) * 7)
    for rank in range(3):
        assert len(list(itertools.islice(order_of(stream, rank, 3).rows(Place()), 9))) == 9
    assert isinstance(stream.shards, CountedShards)
    # seven shards on three ranks: two for each, and one that all share
    assert sorted(stream.shards.read.values()) == [1] * 6 + [3]


@pytest.mark.parametrize("ranks", [1, 2, 3])
@pytest.mark.parametrize("sizes", [(9,), (5, 0, 12), (13, 1, 4, 6, 4, 11, 2)])
def test_going_on_from_any_row_gives_exactly_the_rest(sizes: tuple[int, ...], ranks: int) -> None:
    stream = stream_of(sizes, held_out=[min(size, 1) for size in sizes])
    length = 2 * sum(sizes)
    for rank in range(ranks):
        order = order_of(stream, rank, ranks)
        unbroken = [(row.utterance_id, place) for row, place in itertools.islice(order.rows(Place()), length)]
        for done in range(1, length):
            kept = json.loads(json.dumps(asdict(unbroken[done - 1][1])))  # as a checkpoint keeps it
            going_on = itertools.islice(order.rows(Place(**kept)), length - done)
            assert [(row.utterance_id, place) for row, place in going_on] == unbroken[done:]


def test_going_on_reads_no_more_than_the_block_it_was_in() -> None:
    stream = stream_of((40, 40))
    order = order_of(stream)
    _, place = next(itertools.islice(order.rows(Place()), 30, None))
    assert (place.row, place.place, place.taken) == (28, 84, 3)  # blocks of four rows


def test_rows_are_shuffled_in_blocks_and_shards_as_wholes() -> None:
    order = order_of(stream_of((8, 8, 8, 8)))
    read = names(of_epoch(order, 0))
    blocks = [read[first : first + 4] for first in range(0, 32, 4)]
    for block in blocks:
        numbers = sorted(int(name[1:]) for name in block)
        assert numbers in ([0, 1, 2, 3], [4, 5, 6, 7])
        assert len({name[0] for name in block}) == 1
    assert [sorted(block) for block in blocks] != blocks
    shards = ["".join(dict.fromkeys(name[0] for name in names(of_epoch(order, epoch)))) for epoch in range(6)]
    assert all(len(letters) == 4 for letters in shards)
    assert len(set(shards)) > 1
    assert read != names(of_epoch(order_of(stream_of((8, 8, 8, 8)), seed=4), 0))


def test_a_rank_shuffles_as_many_rows_of_a_shared_shard_as_of_its_own() -> None:
    read = names(of_epoch(order_of(stream_of((24,), block_rows=4), 1, 3), 0))
    assert sorted(read[:4]) == ["a1", "a10", "a4", "a7"]
    assert sorted(read[4:]) == ["a13", "a16", "a19", "a22"]


def test_a_block_has_another_order_in_each_epoch_and_from_its_neighbours() -> None:
    stream = stream_of((40,), block_rows=8)
    read = names(of_epoch(order_of(stream), 0)) + names(of_epoch(order_of(stream), 1))
    orders = [tuple(int(name[1:]) % 8 for name in read[first : first + 8]) for first in range(0, 80, 8)]
    assert len(set(orders)) == 10


@pytest.mark.parametrize("num_workers", [0, 1, 2])
def test_worker_processes_change_nothing(num_workers: int) -> None:
    order = order_of(stream_of((5, 12, 3)), 1, 2)
    rows = (row for row, _ in itertools.islice(order.rows(Place()), 24))
    loader = DataLoader(
        _Names(),
        batch_sampler=([row] for row in rows),
        collate_fn=list,
        num_workers=num_workers,
        generator=torch.Generator(),
    )
    expected = [row.utterance_id for row, _ in itertools.islice(order.rows(Place()), 24)]
    assert [name for batch in loader for name in batch] == expected


class _Names(torch.utils.data.Dataset):
    def __getitem__(self, row: Row) -> str:
        return row.utterance_id


# -- ranks without rows


@pytest.mark.parametrize(
    ("sizes", "held_out", "rank", "ranks"),
    [
        ((0, 0, 0), (), 0, 1),
        ((0, 0, 0), (), 1, 2),
        ((4, 4), (4, 4), 0, 2),
        ((1,), (), 1, 2),  # all ranks share it
        ((2, 3), (), 3, 4),
    ],
)
def test_a_rank_for_which_there_is_no_row_is_told_so(
    sizes: tuple[int, ...], held_out: tuple[int, ...], rank: int, ranks: int
) -> None:
    with refused("--data.streaming", f"the {len(sizes)} shards", f"rank {rank} of {ranks}", remedy="fewer processes"):
        next(order_of(stream_of(sizes, held_out=held_out), rank, ranks).rows(Place()))


def test_shards_that_empty_later_end_in_the_same_message() -> None:
    shards = CountedShards([3])
    rows = order_of(Stream(shards, (), 4, TextProcessing(), 30.0)).rows(Place())
    assert [next(rows)[0].utterance_id[0] for _ in range(3)] == ["a"] * 3
    shards.sizes = [0]
    with refused("--data.streaming", "rank 0 of 1"):
        next(rows)


@pytest.mark.parametrize("rank", [0, 1])
def test_a_run_does_not_end_because_a_rank_is_dealt_empty_shards_in_some_epoch(rank: int) -> None:
    # three of four shards are empty: in about half of the epochs there is no row for a rank
    order = order_of(stream_of((0, 6, 0, 0)), rank, 2)
    epochs = [place.epoch for _, place in itertools.islice(order.rows(Place()), 60)]
    assert len(set(epochs)) == 10  # of six rows each
    assert max(epochs) > 10


# -- what is held out


def test_the_first_rows_of_the_shards_are_held_out_and_counted() -> None:
    source = first_rows(CountedShards((3, 0, 4, 2)), 5)
    assert [row.utterance_id for row in source.rows] == ["a0", "a1", "a2", "c0", "c1"]
    assert source.facts == {"rows_of_shards": [3, 0, 2, 0]}
    assert [row.utterance_id for row in first_rows(CountedShards((2, 1)), None).rows] == ["a0", "a1", "b0"]


def test_what_holds_no_row_beyond_those_is_refused() -> None:
    for most in (3, 4):
        with refused("--data.eval_rows", "only 3 rows", value=most):
            first_rows(CountedShards((2, 1)), most)
    with refused("--data.eval_split"):
        first_rows(CountedShards((0, 0)), None)


def test_whatever_changes_what_is_trained_on_changes_the_checksum() -> None:
    stream = stream_of((5, 6), held_out=(1, 0))
    others = [
        replace(stream, held_out=(2, 0)),
        replace(stream, text=TextProcessing(lowercase=True)),
        replace(stream, text=TextProcessing(replacements={"a": "b"})),
        replace(stream, max_duration_s=20.0),
        replace(stream, channel=0),
        replace(stream, cut_long_labels=True),
    ]
    checksums = {one.checksum for one in (stream, *others)}
    assert len(checksums) == 1 + len(others)
    assert replace(stream).checksum == stream.checksum


# -- tars


def shard(folder: Path, name: str, numbers: Sequence[int], **fields: Any) -> Path:
    members: dict[str, Any] = {}
    for number in numbers:
        members[f"u{number}.wav"] = clip(number)
        members[f"u{number}.json"] = {"text": f"word {number}", **fields}
    (folder / name).parent.mkdir(exist_ok=True, parents=True)
    return write_tar(folder / name, members)


def read(shards: Any, number: int, place: int = 0) -> list[tuple[str, bytes, str | None, int]]:
    return [(row.utterance_id, row.audio, row.text, after) for row, after in shards.rows(number, place)]


def test_tars_are_shards_whose_places_are_bytes(tmp_path: Path) -> None:
    for number in range(3):
        shard(tmp_path, f"s-{number}.tar", range(10 * number, 10 * number + 4))
    shards = open_shards(SourceName(str(tmp_path / "s-{0..2}.tar")))
    assert isinstance(shards, TarShards)
    assert (len(shards), shards.notices) == (3, [])
    assert shards.files == tuple(tmp_path / f"s-{number}.tar" for number in range(3))
    everyone = read(shards, 1)
    assert [(name, audio, text) for name, audio, text, _ in everyone] == [
        (f"s-1/u{number}", clip(number), f"word {number}") for number in range(10, 14)
    ]
    offsets = [sample.next_offset for sample in iterate_tar_shard(str(tmp_path / "s-1.tar"))]
    assert [place for *_, place in everyone] == offsets
    for done, place in enumerate(offsets, start=1):
        assert read(shards, 1, place) == everyone[done:]


def test_tars_of_a_server_are_gone_on_with_by_a_range(tmp_path: Path) -> None:
    content = shard(tmp_path, "s.tar", range(5)).read_bytes()
    with ShardServer() as server:
        server.files = {"s-0.tar": content, "s-1.tar": content}
        shards = open_shards(SourceName(server.url("s-{0..1}.tar")))
        assert server.requests == []  # nothing is fetched before it is read
        everyone = read(shards, 0)
        assert [name for name, *_ in everyone] == [f"s-0/u{number}" for number in range(5)]
        server.requests.clear()
        place = everyone[2][-1]
        assert read(shards, 0, place) == everyone[3:]
        assert f"bytes={place}-" in server.asked()
        assert shards.files == ()
        server.statuses = [404]
        with refused("--data.name_or_path", value=server.url("s-1.tar")):
            read(shards, 1)


def test_rows_of_tars_with_one_name_have_different_ids(tmp_path: Path) -> None:
    for folder in ("one", "two", "two/deep"):
        shard(tmp_path, f"{folder}/000.tar", [1])
    shard(tmp_path, "one/001.tar", [1])
    shards = open_shards(SourceName(str(tmp_path / "**" / "*.tar")))
    ids = [name for number in range(len(shards)) for name, *_ in read(shards, number)]
    assert len(set(ids)) == len(ids) == 4
    assert "001/u1" in ids


def test_the_secrets_of_an_address_are_neither_in_ids_nor_in_the_checksum(tmp_path: Path) -> None:
    content = shard(tmp_path, "s.tar", [1]).read_bytes()
    with ShardServer() as server:
        server.files = {"s-0.tar": content, "s-1.tar": content}
        first, second = (
            open_shards(SourceName(f"{server.url('s-{0..1}.tar')}?signature=a/b.{secret}")) for secret in "xy"
        )
        assert [name for name, *_ in read(first, 1)] == ["s-1/u1"]
        assert first.checksum == second.checksum  # or a run could not go on once the address is signed anew
        other = open_shards(SourceName(server.url("s-{0..2}.tar")))
        assert other.checksum != first.checksum
    told_apart = [open_shards(SourceName("http://127.0.0.1:9/get.tar?part={%s}" % parts)) for parts in ("0..1", "1..2")]  # noqa: UP031
    assert told_apart[0].checksum != told_apart[1].checksum


def test_the_audio_of_tars_has_no_column_to_be_named(tmp_path: Path) -> None:
    shard(tmp_path, "s.tar", [1])
    name = SourceName(str(tmp_path / "s.tar"), audio_column="recording")
    assert read(open_shards(name), 0)[0][1] == clip(1)


def test_language_task_and_prompt_are_fields_of_the_json(tmp_path: Path) -> None:
    members = {
        "a.wav": clip(1),
        "a.json": {"said": "one", "lang": "de", "kind": "translate", "before": "zero"},
        "b.wav": clip(2),
        "b.json": {"said": "two", "lang": "", "kind": None},
        "c.wav": clip(3),
        "c.json": {"said": 3},
        "d.wav": clip(4),
    }
    write_tar(tmp_path / "s.tar", members)
    columns = RowColumns(language="lang", task="kind", prompt="before")
    shards = open_shards(SourceName(str(tmp_path / "s.tar"), text_column="said", columns=columns))
    places = [place for _, place in shards.rows(0)]
    fields = [(row.text, row.language, row.task, row.prompt) for row, _ in shards.rows(0)]
    assert fields == [("one", "de", "translate", "zero"), ("two", None, None, None), ("3",) + (None,) * 3, (None,) * 4]
    # nor does a run that goes on there, and reads nothing else before
    again = open_shards(SourceName(str(tmp_path / "s.tar"), text_column="said", columns=columns))
    assert [row.text for row, _ in again.rows(0, places[2])] == [None]


def test_fields_are_found_under_the_names_that_indexed_tars_know(tmp_path: Path) -> None:
    members: dict[str, Any] = {}
    for number in range(3):
        members |= {f"{number}.wav": clip(number), f"{number}.json": {"transcript": f"word {number}", "locale": "de"}}
    write_tar(tmp_path / "s.tar", members)
    name = SourceName(str(tmp_path / "s.tar"), columns=RowColumns(language="language"))
    shards = open_shards(name)
    streamed = [(row.text, row.language) for row, _ in shards.rows(0)]
    assert (
        streamed
        == [(row.text, row.language) for row in read_source(name).rows]
        == [(f"word {number}", "de") for number in range(3)]
    )
    assert any("took 'transcript'" in notice for notice in shards.notices)


def test_a_text_that_no_tar_has_is_answered_with_the_fields_there_are(tmp_path: Path) -> None:
    shard(tmp_path, "s.tar", [1], speaker="ada")
    shards = open_shards(SourceName(str(tmp_path / "s.tar"), text_column="sentence"))
    with refused("--data.text_column", "the columns are: key, audio, text, speaker", value="sentence"):
        read(shards, 0)


@pytest.mark.parametrize(
    "columns",
    [
        {"text_column": "said"},
        {"columns": RowColumns(language="lang")},
        {"columns": RowColumns(task="kind")},
        {"columns": RowColumns(prompt="before")},
    ],
)
def test_other_columns_are_another_stream(tmp_path: Path, columns: dict[str, Any]) -> None:
    shard(tmp_path, "s.tar", [1])
    name = SourceName(str(tmp_path / "s.tar"))
    assert open_shards(replace(name, **columns)).checksum != open_shards(name).checksum


def test_what_is_local_is_not_streamed(tmp_path: Path) -> None:
    (tmp_path / "metadata.csv").write_text("file_name,text\n")
    for local in (tmp_path, tmp_path / "metadata.csv", "quickstart"):
        with refused("--data.streaming", repr(str(local)), remedy="leave out data.streaming"):
            open_shards(SourceName(str(local)))


def test_tars_have_no_splits_to_validate_on(tmp_path: Path) -> None:
    # all their rows would be validated on, and trained on too
    shard(tmp_path, "s.tar", [1])
    with refused("--data.train_split or --data.eval_split", value="test", remedy="eval_rows"):
        open_shards(SourceName(str(tmp_path / "s.tar"), split="test"))


def test_other_shards_under_the_same_names_have_another_checksum(tmp_path: Path) -> None:
    checksums = []
    for text in ("one", "two", "one"):
        write_tar(tmp_path / "a.tar", {"0.wav": clip(0.1), "0.txt": text})
        checksums.append(open_shards(SourceName(str(tmp_path / "a.tar"))).checksum)
    assert checksums[0] == checksums[2] != checksums[1]
