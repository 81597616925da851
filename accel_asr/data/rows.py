"""From a table of any source to rows: one recording, or a segment of one, with its text."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from accel_asr.data.audio_paths import AudioPaths
from accel_asr.data.columns import (
    COMMON_VOICE_COLUMNS,
    Segment,
    column_as_text,
    find_columns,
    find_segments,
    require_column,
)
from accel_asr.data.manifests import Table


@dataclass(frozen=True)
class Row:
    """One recording, or the segment of it from `start_s` to `end_s`, and its text, not yet decoded.

    `audio` is the encoded file's bytes, its path, or None where the source holds none. `group` is what the rows that
    must stay together share, such as the speaker.
    """

    utterance_id: str
    audio: bytes | Path | None
    text: str | None
    start_s: float | None = None
    end_s: float | None = None
    group: str | None = None


@dataclass(frozen=True)
class Found:
    """A table and how to read it.

    `paths` resolves the names of its audio files; None where they are those of the Hub's own cache. `id_prefix` names
    the rows; None names them by their files. `is_manifest` tables may select segments.
    """

    table: Table
    notices: list[str]
    audio_column: str
    text_column: str
    paths: AudioPaths | None = None
    id_prefix: str | None = None
    is_manifest: bool = False


def rows_of(found: Found, *, group_column: str | None) -> tuple[list[Row], list[str]]:
    """Rows with unique ids, in order, and all notices.

    Raises:
        UserError: a column is missing; a segment is impossible; a path is a URL, or leads out of the folder.
    """
    table = found.table
    columns = find_columns(table, audio_column=found.audio_column, text_column=found.text_column)
    notices = [*found.notices, *columns.notices]
    audios = table[columns.audio]
    segments: list[Segment] | None = None
    if found.is_manifest:
        segments, told = find_segments(table, audio_column=columns.audio)
        notices += told
    groups: list[str | None] = [None] * len(audios)
    if group_column is not None:
        require_column(table, "data.group_column", group_column)
        groups = column_as_text(table[group_column])
    subfolder = ""
    if found.is_manifest and found.paths and (columns.audio, columns.text) == COMMON_VOICE_COLUMNS:
        subfolder = _common_voice_folder(audios, folder=found.paths.folder)
    rows = []
    seen: set[str] = set()
    for index, (audio, text, group) in enumerate(zip(audios, table[columns.text], groups, strict=True)):
        name = file_name(audio)
        start_s, end_s = segments[index] if segments else (None, None)
        utterance_id = _utterance_id(name, index, id_prefix=found.id_prefix, start_s=start_s, end_s=end_s)
        while utterance_id in seen:
            utterance_id = f"{utterance_id}#{index}"
        seen.add(utterance_id)
        content: bytes | Path | None = _content(audio)
        if content is None and name:
            content = found.paths.path(subfolder + name) if found.paths else Path(name)
        rows.append(Row(utterance_id, content, None if text is None else str(text), start_s, end_s, group))
    if found.paths:
        found.paths.refuse_bad()
    return rows, notices


def _utterance_id(
    name: str | None, index: int, *, id_prefix: str | None, start_s: float | None, end_s: float | None
) -> str:
    """`<split>-<row>` where splits have their own tables; else the file's name as given, with the segment's times."""
    if id_prefix is not None or not name:
        return f"{id_prefix or 'row'}-{index:06d}"
    if start_s is None and end_s is None:
        return name
    return f"{name}[{start_s or 0:.3f}-{'' if end_s is None else f'{end_s:.3f}'}]"


def _common_voice_folder(audios: list[Any], *, folder: Path) -> str:
    """`clips/` where Common Voice's own layout is kept: its tables name the files in there by their bare names."""
    first = next((name for name in map(file_name, audios) if name), None)
    return "clips/" if first and (folder / "clips").is_dir() and not (folder / first).exists() else ""


def file_name(audio: Any) -> str | None:
    """The name of the file that an audio cell refers to, if it has one."""
    name = audio.get("path") if isinstance(audio, Mapping) else audio
    return str(name) if name and not isinstance(name, bytes) else None


def _content(audio: Any) -> bytes | None:
    """The encoded file that an audio cell holds itself."""
    content = audio.get("bytes") if isinstance(audio, Mapping) else audio
    return content if isinstance(content, bytes) else None
