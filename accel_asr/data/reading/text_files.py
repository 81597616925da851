"""A folder of audio with a text file beside each recording: a.wav, a.txt."""

import os
from collections.abc import Sequence
from pathlib import Path

from accel_asr.data.reading.audio_paths import AudioPaths
from accel_asr.data.reading.source_table import Table, first_few, source_error
from accel_asr.data.reading.split_names import choose_splits, kind_of
from accel_asr.files.regular_files import read_regular_text

AUDIO_SUFFIXES = frozenset(
    (".wav", ".flac", ".mp3", ".ogg", ".oga", ".opus", ".aif", ".aiff", ".sph", ".m4a", ".aac", ".mp4", ".webm")
)
TEXT_SUFFIX = ".txt"


def is_audio_name(name: str) -> bool:
    """Whether a file is audio, by its suffix."""
    return os.path.splitext(name)[1].lower() in AUDIO_SUFFIXES


def list_files(folder: Path) -> tuple[list[str], list[str], list[str]]:
    """Audio files, text files and links to folders below a folder, in order, relative to it, with `/` between names.

    Hidden ones are skipped, and links to folders are not followed.
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


def names_of_split(
    lists: Sequence[list[str]], *, folder: Path, split: str, any_lone: bool
) -> tuple[list[list[str]], list[str]]:
    """The lists of names, the first of which are audio files, without those in folders of other splits; and notices.

    Raises:
        UserError: no such split.
    """
    audio = lists[0]
    tops = {name.split("/")[0] for name in audio if "/" in name}
    if split not in tops and not any(map(kind_of, tops)):
        return list(lists), []
    chosen, notices = choose_splits(split, sorted(tops), where=repr(str(folder)), any_lone=any_lone)
    of_split = [[name for name in names if name.split("/")[0] in chosen] for names in lists]
    folders = first_few([f"{name}/" for name in chosen])
    notices.append(f"{split}: {len(of_split[0]):,} of the folder's {len(audio):,} audio files, those in {folders}")
    return of_split, notices


def read_text_files(folder: Path, *, split: str, paths: AudioPaths, any_lone: bool = False) -> tuple[Table, list[str]]:
    """Every audio file below a folder, with the text in the .txt beside it, lines joined; None if there is none.

    If the folder has sub-folders named after splits, those of `split` are read.

    Returns:
        The columns `file_name` and `text`; and notices of recordings without text, and the reverse.

    Raises:
        UserError: a text that is not UTF-8 or leads outside; no such split.
    """
    (audio, texts, links), notices = names_of_split(list_files(folder), folder=folder, split=split, any_lone=any_lone)
    text_of = texts_beside(audio, texts, folder=folder, paths=paths)
    without_text = [name for name in audio if name not in text_of]
    stems = {os.path.splitext(name)[0] for name in audio}
    without_audio = [name for name in texts if os.path.splitext(name)[0] not in stems]
    if without_text:
        notices.append(f"{len(without_text):,} of {len(audio):,} audio files have no .txt: {first_few(without_text)}")
    if without_audio:
        notices.append(
            f"{len(without_audio):,} of {len(texts):,} .txt files have no audio file: {first_few(without_audio)}"
        )
    if links:
        notices.append(f"links to folders are not followed: {first_few(links)}")
    return {"file_name": audio, "text": [text_of.get(name) for name in audio]}, notices


def texts_beside(audio: Sequence[str], texts: Sequence[str], *, folder: Path, paths: AudioPaths) -> dict[str, str]:
    """The texts of the audio files that have a text file beside them, lines joined.

    Raises:
        UserError: a text that is not UTF-8 or leads outside.
    """
    stems = {os.path.splitext(name)[0]: name for name in texts}
    text_names = {name: stem for name in audio if (stem := stems.get(os.path.splitext(name)[0])) is not None}
    text_paths = {name: paths.path(name) for name in text_names.values()}
    paths.refuse_bad()
    transcripts, unreadable = {}, []
    for name, path in text_paths.items():
        try:
            lines = read_regular_text(path).splitlines()
            transcripts[name] = " ".join(line.strip() for line in lines if line.strip())
        except (OSError, UnicodeDecodeError) as error:
            unreadable.append(f"{name} ({error})")
    if unreadable:
        raise source_error(
            f"{len(unreadable):,} of its texts can't be read: {first_few(unreadable)}", folder, "they must be UTF-8"
        )
    return {name: transcripts[text_name] for name, text_name in text_names.items()}
