"""Sources that are read from end to end: shards of a Hub dataset or of tars, each from any place in it."""

import json
import re
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from accel_asr.config.settings import DataConfig
from accel_asr.console.public_text import visible
from accel_asr.data.reading.audio_paths import shown
from accel_asr.data.reading.columns import is_text, require_column, text_of
from accel_asr.data.reading.downloads import is_http, without_secrets
from accel_asr.data.reading.row_segments import find_segments
from accel_asr.data.reading.rows import Row, columns_in_use
from accel_asr.data.reading.shard_names import expand_shards, is_shard_pattern
from accel_asr.data.reading.sources import SourceName
from accel_asr.data.reading.tar_shards import iterate_tar_shard
from accel_asr.errors import UserError
from accel_asr.files.content_hash import hash_of_file

OF_THE_HUB = re.compile(r"(zip://[^:]*::)?hf://[^:]+")  # what a row may name in place of holding it


class Shards(Protocol):
    """A source in shards. A place in a shard is a number that the shard itself gave, or 0 for its beginning.

    `files` are those on this machine, which may change.
    """

    checksum: int
    notices: list[str]
    files: tuple[Path, ...]

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
        if name.split != "train":
            raise UserError(
                f"data.train_split, data.eval_split: {name.split!r}: tar shards are not told apart by split; leave "
                "these settings out, and validate on the first rows of the stream with data.eval_rows"
            )
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
        self.name = replace(name, audio_column="audio")
        self.notices: list[str] = []
        self.files = tuple(Path(location) for location in self.locations if not is_http(location))
        shown = [without_secrets(location) if is_http(location) else location for location in self.locations]
        # a signed address is another one tomorrow
        self.checksum = checksum_of(
            [
                self.locations if len(set(shown)) < len(shown) else shown,
                *_columns_of(self.name),
                *(hash_of_file(path) for path in self.files if path.is_file()),  # one that is not there is named later
            ]
        )
        stems = [Path(location).stem for location in shown]
        count = Counter(stems)
        self._prefixes = [stem if count[stem] == 1 else f"{stem}-{number}" for number, stem in enumerate(stems)]

    def __len__(self) -> int:
        return len(self.locations)

    def rows(self, shard: int, place: int = 0) -> Iterator[tuple[Row, int]]:
        """As `Shards.rows`. The ids are unique as long as no key comes again within its shard.

        Raises:
            UserError: the shard can't be read, or is damaged; the first sample of all has no such text column.
        """
        for number, sample in enumerate(iterate_tar_shard(self.locations[shard], offset=place)):
            cells = {"key": sample.key, "audio": sample.audio, **sample.fields}
            if shard == place == number == 0:  # others may be without: a .json holds what it wants
                require_column(cells, "data.text_column", self.name.text_column)
            utterance_id = visible(f"{self._prefixes[shard]}/{sample.key}")
            yield row_of(cells, self.name, utterance_id=utterance_id), sample.next_offset


class HubShards:
    """A Hub dataset as the library `datasets` streams it. A place is a row number; rows before it are passed over."""

    def __init__(self, name: SourceName) -> None:
        from accel_asr.data.reading.hub_datasets import commit_of, open_hub_dataset

        self.dataset, self.notices = open_hub_dataset(
            name.name_or_path, subset=name.subset, revision=name.revision, split=name.split, streaming=True
        )
        self.name = name
        self.files: tuple[Path, ...] = ()
        commit = commit_of(name.name_or_path, revision=name.revision)
        self.notices.append(f"{name.name_or_path} is streamed at commit {commit}")
        told = [name.name_or_path, name.subset, commit, name.split, len(self)]
        self.checksum = checksum_of([*told, *_columns_of(name)])

    def __len__(self) -> int:
        return int(self.dataset.num_shards)

    def rows(self, shard: int, place: int = 0) -> Iterator[tuple[Row, int]]:
        """As `Shards.rows`.

        Raises:
            UserError: the Hub can't be reached; a column is missing; audio that is not in the dataset.
        """
        from accel_asr.data.reading.hub_datasets import explained_hub_errors

        with explained_hub_errors(self.name.name_or_path):
            part = self.dataset.shard(num_shards=len(self), index=shard)
            rows = enumerate(part.skip(place) if place else part, start=place)
            while (numbered := self._next(rows)) is not None:
                number, cells = numbered
                for setting, column in _columns_by_setting(self.name).items():
                    require_column(cells, setting, column)
                utterance_id = f"{self.name.split}-{shard:05d}-{number:07d}"
                yield row_of(cells, self.name, utterance_id=utterance_id), number + 1

    def _next(self, rows: Iterator[tuple[int, Mapping[str, Any]]]) -> tuple[int, Mapping[str, Any]] | None:
        try:
            return next(rows, None)
        except ImportError as error:
            name = self.name.name_or_path
            raise UserError(
                f"data.name_or_path: {name!r} holds bare audio files, which can't be streamed as they are ({error}) "
                f"Download them with `hf download {name} --repo-type dataset --local-dir <folder>`, give that folder, "
                "and leave out data.streaming"
            ) from error


def _columns_of(name: SourceName) -> list[str | None]:
    columns, times = name.columns, name.times
    asked = [name.audio_column, name.text_column, columns.language, columns.task, columns.prompt]
    return [*asked, times.start, times.end, times.duration]


def _columns_by_setting(name: SourceName) -> dict[str, str]:
    """The columns that have to be there: those that were asked for by name, and those of audio and text."""
    columns = {
        "data.audio_column": name.audio_column,
        "data.text_column": name.text_column,
        "data.task_column": name.columns.task,
        "data.prompt_column": name.columns.prompt,
    }
    if name.columns.language != DataConfig.language_column:
        columns["data.language_column"] = name.columns.language
    return {setting: column for setting, column in columns.items() if column is not None}


def row_of(cells: Mapping[str, Any], name: SourceName, *, utterance_id: str) -> Row:
    """A row of a stream; what it has no cell for is None.

    Raises:
        UserError: its audio is not in the dataset, but only named, and lies elsewhere.
    """
    audio = cells.get(name.audio_column)
    content = audio.get("bytes") if isinstance(audio, Mapping) else audio
    path = audio.get("path") if isinstance(audio, Mapping) else None
    if content is None and path:
        content = path
    if content is not None and not isinstance(content, bytes):
        content = _fetched(content, name, utterance_id=utterance_id)
    text, language, task, prompt = (
        text_of(cells.get(column)) or None if column else None
        for column in (name.text_column, name.columns.language, name.columns.task, name.columns.prompt)
    )
    breakdown = tuple((text_of(cells.get(column)) or "").strip() or None for column in name.columns.breakdown)
    row = Row(utterance_id, content, text, language=language, task=task, prompt=prompt, breakdown=breakdown)
    table = {column: [cell] for column, cell in cells.items()}
    table.setdefault(name.audio_column, [None])
    others = columns_in_use(name.text_column, name.columns)
    try:
        if not is_text(cells.get(name.text_column)):
            raise UserError(f"data.text_column: {shown(cells[name.text_column])} is no text")
        segments = find_segments(table, name.times, audio_column=name.audio_column, others=others)
    except UserError as error:  # one row's fault ends no run: it is left out, and counted
        return replace(row, problem=str(error))
    (start_s, end_s), stated_s = segments.spans[0], segments.stated_s[0]
    return replace(row, start_s=start_s, end_s=end_s, stated_s=stated_s)


def _fetched(named: Any, name: SourceName, *, utterance_id: str) -> bytes:
    """A file of a Hub dataset that its row names by an address. No other is opened: a row could name any."""
    from datasets.download.streaming_download_manager import xopen

    if not isinstance(named, str) or not OF_THE_HUB.fullmatch(named):
        raise UserError(
            f"data.audio_column: {name.audio_column!r} holds {str(named)[:100]!r} in row {utterance_id}, which is no "
            "audio and no file of a Hub dataset; a stream reads what the dataset itself holds"
        )
    with xopen(named, "rb") as file:
        content: bytes = file.read()
    return content


def checksum_of(told: list[Any]) -> int:
    """Of anything that JSON can say."""
    return zlib.crc32(json.dumps(told, sort_keys=True).encode())
