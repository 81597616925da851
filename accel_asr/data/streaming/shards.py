"""Sources that are streamed: shards of a Hub dataset or of tars, each read from any place in it.

`datasets` streams too, but a tar only from its beginning; here going on costs one seek.
"""

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
from accel_asr.data.reading.columns import Columns, is_text, require_column, resolve_columns, text_of
from accel_asr.data.reading.downloads import is_http, without_secrets
from accel_asr.data.reading.row_segments import find_segments
from accel_asr.data.reading.rows import Row, columns_in_use, language_column_of
from accel_asr.data.reading.shard_names import expand_shards, is_shard_pattern
from accel_asr.data.reading.source_table import quoted, source_error
from accel_asr.data.reading.sources import SourceName
from accel_asr.data.reading.tar_shards import iterate_tar_shard
from accel_asr.errors import UserError
from accel_asr.files.content_hash import hash_of_file

OF_THE_HUB = re.compile(r"(zip://[^:]*::)?hf://[^:]+")  # what a row may name instead of holding it


class Shards(Protocol):
    """A source in shards. A place in a shard is a number that the shard itself returned, or 0 for its beginning.

    `files` are the local ones, which may change.
    """

    checksum: int
    notices: list[str]
    files: tuple[Path, ...]

    def __len__(self) -> int: ...

    def rows(self, shard: int, place: int = 0) -> Iterator[tuple[Row, int]]:
        """The rows of a shard from a place on, each with the place after it."""
        ...


def open_shards(name: SourceName) -> Shards:
    """The shards of a source; only their list is fetched.

    Raises:
        UserError: a local source, which need not be streamed, or an unreachable one.
    """
    if is_shard_pattern(name.name_or_path):
        if name.split != "train":
            raise UserError(
                "tar shards have no splits",
                setting="--data.train_split or --data.eval_split",
                value=name.split,
                remedy="leave both out, and validate on the first rows of the stream with data.eval_rows",
            )
        return TarShards(name)
    if name.local_path is not None:
        raise UserError(
            f"{name.name_or_path!r} is local, and is indexed instead; only Hub datasets and .tar shards are streamed",
            setting="--data.streaming",
            remedy="leave out data.streaming",
        )
    return HubShards(name)


class TarShards:
    """WebDataset tars, local or by URL. A place is an offset in bytes, so going on there costs nothing."""

    def __init__(self, name: SourceName) -> None:
        self.locations = expand_shards(name.name_or_path)
        self.name = replace(name, audio_column="audio")
        self.notices: list[str] = []
        self.files = tuple(Path(location) for location in self.locations if not is_http(location))
        public = [without_secrets(location) if is_http(location) else location for location in self.locations]
        self.checksum = checksum_of(
            [
                # a signed address is another one tomorrow
                self.locations if len(set(public)) < len(public) else public,
                *_column_settings(self.name),
                *(hash_of_file(path) for path in self.files if path.is_file()),  # a missing one is reported later
            ]
        )
        stems = [Path(location).stem for location in public]
        count = Counter(stems)
        self._prefixes = [stem if count[stem] == 1 else f"{stem}-{number}" for number, stem in enumerate(stems)]

    def __len__(self) -> int:
        return len(self.locations)

    def rows(self, shard: int, place: int = 0) -> Iterator[tuple[Row, int]]:
        """As `Shards.rows`. Ids are unique as long as no key comes again within its shard.

        Raises:
            UserError: the shard can't be read or is damaged; the very first sample has no such text column.
        """
        for number, sample in enumerate(iterate_tar_shard(self.locations[shard], offset=place)):
            cells = {"key": sample.key, "audio": sample.audio, **sample.fields}
            columns = _columns_of(cells, self.name)
            if shard == place == number == 0:  # others may lack it: each .json has its own fields
                require_column(cells, "--data.text_column", columns.text)
                self.notices += [notice for notice in columns.notices if notice not in self.notices]
            utterance_id = visible(f"{self._prefixes[shard]}/{sample.key}")
            yield row_of(cells, self.name, columns, utterance_id=utterance_id), sample.next_offset


class HubShards:
    """A Hub dataset as the library `datasets` streams it. A place is a row number; rows before it are skipped."""

    def __init__(self, name: SourceName) -> None:
        from accel_asr.data.reading.hub_datasets import commit_of, open_hub_dataset

        self.dataset, self.notices = open_hub_dataset(
            name.name_or_path, subset=name.subset, revision=name.revision, split=name.split, streaming=True
        )
        self.name = name
        self.files: tuple[Path, ...] = ()
        commit = commit_of(name.name_or_path, revision=name.revision)
        self.notices.append(f"{name.name_or_path} is streamed at commit {commit}")
        identity = [name.name_or_path, name.subset, commit, name.split, len(self)]
        self.checksum = checksum_of([*identity, *_column_settings(name)])

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
                columns = _columns_of(cells, self.name)
                self.notices += [notice for notice in columns.notices if notice not in self.notices]
                for setting, column in _required_columns(self.name, columns).items():
                    require_column(cells, setting, column)
                utterance_id = f"{self.name.split}-{shard:05d}-{number:07d}"
                yield row_of(cells, self.name, columns, utterance_id=utterance_id), number + 1

    def _next(self, rows: Iterator[tuple[int, Mapping[str, Any]]]) -> tuple[int, Mapping[str, Any]] | None:
        from accel_asr.data.reading.hub_datasets import download_remedy

        try:
            return next(rows, None)
        except ImportError as error:
            name = self.name.name_or_path
            raise source_error(
                f"it holds bare audio files, which can't be streamed as they are ({error})",
                name,
                f"{download_remedy(name)}, and leave out data.streaming",
            ) from error


def _columns_of(cells: Mapping[str, Any], name: SourceName) -> Columns:
    """The audio and text columns, as an indexed source of one such row would have them."""
    table = {column: [cell] for column, cell in cells.items()}
    return resolve_columns(table, audio_column=name.audio_column, text_column=name.text_column)


def _column_settings(name: SourceName) -> list[str | None]:
    columns, times = name.columns, name.times
    asked = [name.audio_column, name.text_column, columns.language, columns.task, columns.prompt]
    return [*asked, times.start, times.end, times.duration]


def _required_columns(name: SourceName, columns: Columns) -> dict[str, str]:
    """By setting: those of audio and text, and those that the user asked for by name."""
    required = {
        "--data.audio_column": columns.audio,
        "--data.text_column": columns.text,
        "--data.task_column": name.columns.task,
        "--data.prompt_column": name.columns.prompt,
    }
    if name.columns.language != DataConfig.language_column:
        required["--data.language_column"] = name.columns.language
    return {setting: column for setting, column in required.items() if column is not None}


def row_of(cells: Mapping[str, Any], name: SourceName, columns: Columns, *, utterance_id: str) -> Row:
    """A row of a stream; None for what it has no cell for.

    Raises:
        UserError: its audio is not in the dataset, but only named, and lies elsewhere.
    """
    table = {column: [cell] for column, cell in cells.items()}
    audio = cells.get(columns.audio)
    content = audio.get("bytes") if isinstance(audio, Mapping) else audio
    path = audio.get("path") if isinstance(audio, Mapping) else None
    if content is None and path:
        content = path
    if content is not None and not isinstance(content, bytes):
        content = _fetched(content, columns.audio, utterance_id=utterance_id)
    language_column = language_column_of(table, name.columns.language)
    text, language, task, prompt = (
        text_of(cells.get(column)) or None if column else None
        for column in (columns.text, language_column, name.columns.task, name.columns.prompt)
    )
    further = (*name.columns.breakdown, *name.columns.references)
    breakdown = tuple((text_of(cells.get(column)) or "").strip() or None for column in further)
    row = Row(utterance_id, content, text, language=language, task=task, prompt=prompt, breakdown=breakdown)
    table.setdefault(columns.audio, [None])
    others = columns_in_use(columns.text, name.columns)
    try:
        if not is_text(cells.get(columns.text)):
            raise UserError(f"{quoted(cells[columns.text])} is not text", setting="--data.text_column")
        segments = find_segments(table, name.times, audio_column=columns.audio, others=others)
    except UserError as error:  # one row's fault does not end a run: the row is left out, and counted
        return replace(row, problem=str(error))
    (start_s, end_s), stated_s = segments.spans[0], segments.stated_s[0]
    return replace(row, start_s=start_s, end_s=end_s, stated_s=stated_s)


def _fetched(location: Any, audio_column: str, *, utterance_id: str) -> bytes:
    """A file of a Hub dataset that its row names by an address. No other is opened: a row could name any."""
    from datasets.download.streaming_download_manager import xopen

    if not isinstance(location, str) or not OF_THE_HUB.fullmatch(location):
        raise UserError(
            f"row {utterance_id} holds {str(location)[:100]!r}, which is neither audio nor a file of a Hub dataset",
            setting="--data.audio_column",
            value=audio_column,
            remedy="stream a dataset that holds its audio",
        )
    with xopen(location, "rb") as file:
        content: bytes = file.read()
    return content


def checksum_of(identity: list[Any]) -> int:
    """Of anything that JSON can hold."""
    return zlib.crc32(json.dumps(identity, sort_keys=True).encode())
