"""The contents of a folder that may be a dataset: its tables, each with the split and subset that its name gives."""

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from accel_asr.data.reading.corpus_layouts import KALDI_FILE, TRANSCRIPTS_SUFFIX
from accel_asr.data.reading.manifests import METADATA_SUFFIXES
from accel_asr.data.reading.source_table import first_few
from accel_asr.data.reading.split_names import is_split_name, without_shard_number
from accel_asr.data.reading.text_files import AUDIO_SUFFIXES, TEXT_SUFFIX
from accel_asr.data.reading.timed_texts.annotation_formats import FORMATS

MANIFEST_STEMS = ("metadata", "manifest")
# folders of tables that are not subsets
_PLAIN_FOLDERS = frozenset(("data", "dataset", "metadata", "manifest", "manifests", "splits", "transcripts", "lists"))
LAYOUTS = (
    "metadata.csv, .tsv, .jsonl or .parquet (with a column file_name, and one for the text), also in a folder for each "
    "split; tables named by split (train.tsv, dev.json, train-00000-of-00002.parquet); Kaldi's wav.scp and text; "
    "LibriSpeech's *.trans.txt; LJSpeech's metadata.csv; the output of save_to_disk; a .txt beside each audio file; or "
    "subtitles or another annotation with times (.srt, .vtt, .json, .tsv, ...) beside it"
)


@dataclass(frozen=True)
class DataTable:
    """A table in a folder. `path` is relative to it; `split` is the name that stands for its split."""

    path: str
    split: str
    subset: str


@dataclass
class FolderContents:
    """Everything below a folder except hidden files, by what it may be; paths are relative to the folder."""

    folder: Path
    folders: list[Path] = field(default_factory=list)
    tables: list[str] = field(default_factory=list)
    kaldi: list[str] = field(default_factory=list)
    transcripts: list[str] = field(default_factory=list)
    has_texts_beside_audio: bool = False
    suffixes: Counter[str] = field(default_factory=Counter)

    @classmethod
    def of(cls, folder: Path) -> "FolderContents":
        """List a folder; links to folders are not followed."""
        contents = cls(folder)
        for here, folders, files in os.walk(folder):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            contents.folders.append(Path(here))
            inside = Path(here).relative_to(folder)
            if KALDI_FILE in files:
                contents.kaldi.append(inside.as_posix())
                folders[:] = []  # parts of it that Kaldi made
            stems: dict[str, set[str]] = {}
            for name in sorted(files):
                stem, suffix = os.path.splitext(name)
                if not name.startswith("."):
                    contents.suffixes[suffix.lower() or name] += 1
                    stems.setdefault(suffix.lower(), set()).add(stem)
            audio = {stem for suffix in AUDIO_SUFFIXES for stem in stems.get(suffix, ())}
            contents.has_texts_beside_audio |= bool(audio & stems.get(TEXT_SUFFIX, set()))
            for name in sorted(files):
                stem, suffix = os.path.splitext(name)
                if name.endswith(TRANSCRIPTS_SUFFIX):
                    contents.transcripts.append((inside / name).as_posix())
                # a table beside a recording of its name is about that recording
                elif stem not in audio and not name.startswith(".") and _may_be_table(stem, suffix):
                    contents.tables.append((inside / name).as_posix())
        return contents

    @property
    def may_have_annotations(self) -> bool:
        """Whether there are recordings, and files that may be annotations of them, by their suffixes."""
        return bool(AUDIO_SUFFIXES & self.suffixes.keys() and FORMATS.keys() & self.suffixes.keys())

    def split_tables(self) -> list[DataTable]:
        """The tables whose own name, or folder's name, stands for a split."""
        return [table for table in self.named_tables() if is_split_name(table.split)]

    def named_tables(self) -> Iterator[DataTable]:
        """All tables, with the split and subset in their names."""
        for path in self.tables:
            *folders, name = Path(path).parts
            stem = without_shard_number(os.path.splitext(name)[0])
            split_folder = next((name for name in reversed(folders) if is_split_name(name)), None)
            split = stem
            if not is_split_name(stem) and split_folder is not None:
                if self.has_texts_beside_audio and stem not in MANIFEST_STEMS:
                    continue  # notes among recordings whose texts lie beside them
                split = split_folder
            subset = [name for name in folders if not is_split_name(name) and name.lower() not in _PLAIN_FOLDERS]
            yield DataTable(path, split, "/".join(subset))

    def summary(self) -> str:
        """What the folder holds, in a few words."""
        counts = [f"{count:,} {suffix}" for suffix, count in self.suffixes.most_common()]
        files = f"files: {first_few(counts)}" if counts else "no files"
        subfolders = [path.name for path in self.folders if path.parent == self.folder]
        return files + (f"; folders: {first_few(subfolders)}" if subfolders else "")


def _may_be_table(stem: str, suffix: str) -> bool:
    # NeMo writes rows to .json, others anything at all
    is_list = suffix == ".json" and (is_split_name(without_shard_number(stem)) or stem in MANIFEST_STEMS)
    return is_list or suffix in METADATA_SUFFIXES
