"""Where transcripts go, each as soon as it is ready: to standard output, or into files."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from accel_asr.commands.transcribe_options import TO_FILES
from accel_asr.console.printing import json_to_print, print_result, say, standard_output
from accel_asr.console.public_text import visible
from accel_asr.errors import UserError
from accel_asr.files.atomic_writes import write_errors_explained, write_text
from accel_asr.transcription.formats import Style, as_object, rendered

if TYPE_CHECKING:
    from accel_asr.transcription.inputs import Recording
    from accel_asr.transcription.segments import TimedText

SHOWN_FILES = 5


class TranscriptOutput(Protocol):
    """`write` gets the transcripts in the order of the recordings; `finish` says on stderr what was written."""

    def write(self, index: int, spoken: "TimedText") -> None:
        """Write the transcript of recording number `index`.

        Raises:
            UserError: it can't be written.
            BrokenPipeError: nobody reads any more.
        """
        ...

    def finish(self, *, failed: int) -> None: ...


class ToStandardOutput:
    """One format, one recording after the other; their names before them, if plain texts are several."""

    def __init__(self, recordings: "Sequence[Recording]", *, output_format: str, style: Style) -> None:
        self.recordings, self.output_format, self.style = recordings, output_format, style
        self.is_one_of_many = output_format == "txt" and len(recordings) > 1
        self.has_noted = False

    def write(self, index: int, spoken: "TimedText") -> None:
        name = self.recordings[index].name
        if self.output_format == "json":
            content = json_to_print(as_object(spoken, name=name, style=self.style))
        else:
            content = rendered(spoken, output_format=self.output_format, name=name, style=self.style)
        if not self.has_noted and not standard_output().can_show(content):
            self.has_noted = True
            say(f"note: {_lossy(standard_output().encoding)}", to_stderr=True)
        if self.output_format == "ctm" and not content:
            return  # a file of no lines, within one of all recordings
        try:
            print_result(f"{visible(name)}: {content}" if self.is_one_of_many else content)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise UserError(f"standard output can't be written ({error.strerror})", remedy=TO_FILES) from error

    def finish(self, *, failed: int) -> None:
        pass


class ToFiles:
    """A file of each format for each recording."""

    def __init__(self, recordings: "Sequence[Recording]", files: Mapping[str, Sequence[Path]], *, style: Style) -> None:
        self.recordings, self.files, self.style = recordings, files, style

    def write(self, index: int, spoken: "TimedText") -> None:
        name = self.recordings[index].name
        for output_format, files in self.files.items():
            content = rendered(spoken, output_format=output_format, name=name, style=self.style, indent=2)
            with write_errors_explained(files[index], setting="--output_dir"):
                write_text(files[index], content + "\n")

    def finish(self, *, failed: int) -> None:
        count = len(self.recordings)
        done = count - failed
        what = f"{done:,} of {count:,} recordings" if failed else f"{done:,} recording{'s' * (done != 1)}"
        into = os.path.commonpath([file.parent for files in self.files.values() for file in files])
        say(f"transcribed {what} into {into}", to_stderr=True)


def make_room(folder: Path, files: Sequence[Path], *, overwrite: bool) -> None:
    """Make the output folder, before anything takes time.

    Raises:
        UserError: it can't be made, or holds one of the files.
    """
    there = [file.name for file in files if file.exists()]
    if there and not overwrite:
        more = f" and {len(there) - SHOWN_FILES:,} more" if len(there) > SHOWN_FILES else ""
        raise UserError(
            f"already holds {', '.join(there[:SHOWN_FILES])}{more}",
            setting="--output_dir",
            value=folder,
            remedy="give another folder, or --overwrite to replace",
        )
    with write_errors_explained(folder, setting="--output_dir"):
        folder.mkdir(parents=True, exist_ok=True)


def _lossy(encoding: str) -> str:
    """What happens to letters that standard output can't hold."""
    return (
        f"standard output is {encoding}, which lacks letters of the transcripts: they are written as their numbers, "
        f"such as \\u0142; set PYTHONIOENCODING=utf-8, or {TO_FILES}"
    )
