"""A folder of audio with a text file beside each recording: a.wav, a.txt."""

import os
from pathlib import Path

from accel_asr.data.reading.audio_paths import AudioPaths, named
from accel_asr.data.reading.manifests import Table
from accel_asr.errors import UserError

AUDIO_SUFFIXES = frozenset(
    (".wav", ".flac", ".mp3", ".ogg", ".oga", ".opus", ".aif", ".aiff", ".m4a", ".aac", ".mp4", ".webm")
)
TEXT_SUFFIX = ".txt"
SPLIT_FOLDERS = frozenset(("train", "training", "validation", "valid", "val", "dev", "test", "eval", "evaluation"))


def list_files(folder: Path) -> tuple[list[str], list[str], list[str]]:
    """Audio files, text files and links to folders under a folder, in order, relative to it, with `/` between names.

    Hidden ones are passed over, and links to folders are not followed.
    """
    audio: list[str] = []
    texts: list[str] = []
    links: list[str] = []
    for here, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        inside = Path(here).relative_to(folder)
        links += [(inside / name).as_posix() for name in folders if os.path.islink(os.path.join(here, name))]
        for name in files:
            suffix = os.path.splitext(name)[1].lower()
            if not name.startswith(".") and (suffix == TEXT_SUFFIX or suffix in AUDIO_SUFFIXES):
                (texts if suffix == TEXT_SUFFIX else audio).append((inside / name).as_posix())
    return sorted(audio), sorted(texts), sorted(links)


def read_text_files(folder: Path, *, split: str, paths: AudioPaths) -> tuple[Table, list[str]]:
    """Every audio file under a folder, with the text beside it; None where there is none.

    Where the folder has sub-folders named after splits, those of `split` are read. Lines of a text become one.

    Returns:
        The columns `file_name` and `text`, and notices of recordings without text and texts without recording.

    Raises:
        UserError: no audio, or none with a text; a text that is not UTF-8 or leads outside; no such split.
    """
    notices = []
    audio, texts, links = list_files(folder)
    tops = {name.split("/")[0] for name in audio if "/" in name}
    if split in tops or tops & SPLIT_FOLDERS:
        if split not in tops:
            raise UserError(
                f"data.train_split or data.eval_split: {str(folder)!r} has no folder {split!r}; "
                f"it has: {', '.join(sorted(tops))}"
            )
        everywhere = len(audio)
        audio, texts, links = (
            [name for name in names if name.startswith(f"{split}/")] for names in (audio, texts, links)
        )
        notices.append(f"{split}: {len(audio):,} of the folder's {everywhere:,} audio files, those in {split}/")
    stems = {os.path.splitext(name)[0]: name for name in texts}
    text_names = [stems.get(os.path.splitext(name)[0]) for name in audio]
    if not any(text_names):
        raise UserError(
            f"data.name_or_path: the folder {str(folder)!r} has no metadata.csv, metadata.tsv or metadata.jsonl; "
            "write one with a column file_name (relative to the folder) and a column for the text, or put a .txt "
            f"beside each audio file (it has {len(audio):,} audio files, and a .txt beside none)"
        )
    read, unreadable = {}, []
    text_paths = {name: paths.path(name) for name in text_names if name is not None}
    paths.refuse_bad()
    for name, path in text_paths.items():
        try:
            lines = path.read_text(encoding="utf-8-sig").splitlines()
            read[name] = " ".join(line.strip() for line in lines if line.strip())
        except (OSError, UnicodeDecodeError) as error:
            unreadable.append(f"{name} ({error})")
    if unreadable:
        raise UserError(
            f"data.name_or_path: can't read {len(unreadable):,} of the texts in {str(folder)!r}: {named(unreadable)}; "
            "they must be UTF-8"
        )
    silent = [name for name, text_name in zip(audio, text_names, strict=True) if text_name is None]
    lost = [name for name in texts if name not in read]
    if silent:
        notices.append(f"{len(silent):,} of {len(audio):,} audio files have no .txt beside them: {named(silent)}")
    if lost:
        notices.append(f"{len(lost):,} of {len(texts):,} .txt files have no audio file beside them: {named(lost)}")
    if links:
        notices.append(f"links to folders are not followed: {named(links)}")
    return {"file_name": audio, "text": [None if name is None else read[name] for name in text_names]}, notices
