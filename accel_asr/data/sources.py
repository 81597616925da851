"""From a source's name to rows: a Hub dataset, a folder, a manifest, or the embedded quickstart."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from accel_asr.data.manifests import MANIFEST_SUFFIXES, Table, find_manifest, read_manifest, select_split
from accel_asr.data.quickstart import CLIPS_PARQUET, QUICKSTART
from accel_asr.errors import UserError


@dataclass(frozen=True)
class Row:
    """One recording and its text, not yet decoded.

    `audio` is the encoded file's bytes, its path, or None where the source holds none.
    """

    utterance_id: str
    audio: bytes | Path | None
    text: str | None


@dataclass(frozen=True)
class Source:
    """Rows in the source's order, and what the user should be told about how they were found."""

    rows: list[Row]
    notices: list[str] = field(default_factory=list)


def load_source(
    name_or_path: str,
    *,
    split: str,
    audio_column: str,
    text_column: str,
    subset: str | None = None,
    revision: str | None = None,
) -> Source:
    """Read one split of a source. Nothing is decoded here.

    Raises:
        UserError: no such source, unreadable, a missing column (the message lists those there are), an empty split.
    """
    path = CLIPS_PARQUET if name_or_path == QUICKSTART else Path(name_or_path)
    notices: list[str] = []
    table: Table
    if path.exists():
        manifest = find_manifest(path) if path.is_dir() else path
        table = select_split(read_manifest(manifest), split=split, manifest=manifest)
        folder, id_prefix = manifest.parent, None
        if audio_column not in table and "file_name" in table:
            audio_column = "file_name"  # the audiofolder convention
    elif path.suffix in MANIFEST_SUFFIXES or name_or_path.startswith((".", "/", "~")) or name_or_path.count("/") > 1:
        raise UserError(f"data.name_or_path: {name_or_path!r} does not exist; check the path, or give a Hub dataset")
    else:
        from accel_asr.data.hub_datasets import load_hub_table  # `datasets` takes a second to import

        table, notices = load_hub_table(
            name_or_path, subset=subset, revision=revision, split=split, audio_column=audio_column
        )
        folder, id_prefix = Path(), split
    if not any(table.values()):
        raise UserError(f"data.name_or_path: {name_or_path!r} has no rows in its split {split!r}")
    for setting, column in (("data.audio_column", audio_column), ("data.text_column", text_column)):
        if column not in table:
            raise UserError(f"{setting}: there is no column {column!r}; the columns are: {', '.join(table)}")
    rows = _rows(table[audio_column], table[text_column], folder=folder, id_prefix=id_prefix)
    return Source(rows=rows, notices=notices)


def _rows(audios: list[Any], texts: list[Any], *, folder: Path, id_prefix: str | None) -> list[Row]:
    """Rows with unique ids: `<split>-<row>` for a Hub split; the file's name, as given, for a local source."""
    rows, seen = [], set()
    for index, (audio, text) in enumerate(zip(audios, texts, strict=True)):
        file_name, content = _audio_reference(audio, folder)
        utterance_id = f"{id_prefix or 'row'}-{index:06d}" if id_prefix is not None or not file_name else file_name
        while utterance_id in seen:
            utterance_id = f"{utterance_id}#{index}"
        seen.add(utterance_id)
        rows.append(Row(utterance_id, content, None if text is None else str(text)))
    return rows


def _audio_reference(audio: Any, folder: Path) -> tuple[str | None, bytes | Path | None]:
    """What an audio cell refers to: (its file name if it has one, its bytes or path)."""
    if isinstance(audio, Mapping):
        file_name, content = audio.get("path"), audio.get("bytes")
        return file_name, content if content is not None else _path(file_name, folder)
    if isinstance(audio, bytes):
        return None, audio
    file_name = str(audio) if audio else None
    return file_name, _path(file_name, folder)


def _path(file_name: str | None, folder: Path) -> Path | None:
    return folder / file_name if file_name else None
