"""LibriSpeech: folders of speakers and chapters with a `*.trans.txt`, whose lines name the audio files beside it."""

from collections.abc import Iterable
from pathlib import Path

from accel_asr.data.reading.audio_paths import named
from accel_asr.data.reading.source_table import Table
from accel_asr.data.reading.text_files import AUDIO_SUFFIXES
from accel_asr.errors import UserError
from accel_asr.files.regular_files import read_regular_text

TRANSCRIPTS_SUFFIX = ".trans.txt"


def split_of_transcripts(path: str) -> str:
    """`dev-clean` of `LibriSpeech/dev-clean/84/121123/84-121123.trans.txt`; empty where no folder says it."""
    folders = Path(path).parts[:-1]
    return folders[-3] if len(folders) > 2 else ""


def read_transcripts(folder: Path, names: Iterable[str]) -> tuple[Table, list[str]]:
    """The rows of these transcripts, which are relative to `folder`, in order.

    Returns:
        The columns `utterance_id`, `audio` (relative to `folder`), `text` and `speaker`, and notices.

    Raises:
        UserError: a file is unreadable or not UTF-8; there is an audio file for none of the lines.
    """
    table: dict[str, list[str]] = {"utterance_id": [], "audio": [], "text": [], "speaker": []}
    lost = []
    for name in names:
        path = folder / name
        try:
            lines = read_regular_text(path).split("\n")
            audio = {
                file.stem: file.name for file in sorted(path.parent.iterdir()) if file.suffix.lower() in AUDIO_SUFFIXES
            }
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"data.name_or_path: can't read {str(path)!r}: {error}; it must be UTF-8 text") from error
        for line in lines:
            utterance, _, text = line.strip().partition(" ")
            if not utterance:
                continue
            if utterance not in audio:
                lost.append(utterance)
                continue
            table["utterance_id"].append(utterance)
            table["audio"].append((Path(name).parent / audio[utterance]).as_posix())
            table["text"].append(text.strip())
            table["speaker"].append(utterance.split("-", maxsplit=1)[0])
    if not table["audio"]:
        raise UserError(
            f"data.name_or_path: {str(folder)!r} has {TRANSCRIPTS_SUFFIX} files as LibriSpeech has, but none of the "
            f"audio files that they name ({named(lost)}); put them beside the transcripts"
        )
    notices = [f"{len(lost):,} lines of {TRANSCRIPTS_SUFFIX} files have no audio file: {named(lost)}"] if lost else []
    return table, notices
