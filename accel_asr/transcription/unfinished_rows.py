"""The scored rows of recordings that are done, a line each, so that the next call goes on where one was stopped."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from accel_asr.console.printing import counted
from accel_asr.errors import UserError
from accel_asr.files.atomic_writes import to_json, write_errors_explained
from accel_asr.files.content_hash import hash_of_file

UNFINISHED = "unfinished.jsonl"


class UnfinishedRows:
    """The file of them in an output folder; its first line says what they were made with.

    Args:
        made_by: The models and options on which every row depends.
        overwrite: Begin again where the rows that are there were made by others.

    Raises:
        UserError: they were, and `overwrite` is not set; or the file can't be read.
    """

    def __init__(self, folder: Path, made_by: Mapping[str, Any], *, overwrite: bool) -> None:
        self.path = folder / UNFINISHED
        self.made_by = json.loads(to_json(made_by))
        self._done: dict[str, dict[str, Any]] = {}
        self._has_begun = False
        with write_errors_explained(self.path, setting="--output_dir"):
            lines = _whole_lines(self.path)
        if not lines:
            return
        if lines[0].get("made_by") == self.made_by:
            self._done = {line["recording"]: line for line in lines[1:] if "recording" in line}
            self._has_begun = True
        elif not overwrite:
            there = lines[0].get("made_by") or {}
            differing = [name for name, value in self.made_by.items() if there.get(name) != value]
            raise UserError(
                f"holds {counted(len(lines) - 1, 'recording')} that a stopped call transcribed with another "
                f"{', '.join(differing)}",
                setting="--output_dir",
                value=folder,
                remedy="give the same again, another folder, or --overwrite to begin again",
            )

    def is_done(self, path: Path) -> bool:
        """Whether the rows of a recording are there; those of one that has changed since are forgotten."""
        done = self._done.get(self._name(path))
        if done is None or done["content"] == _content(path):
            return done is not None
        del self._done[self._name(path)]
        return False

    def rows_of(self, path: Path) -> list[dict[str, Any]]:
        """The rows of a recording; none if it is not done."""
        done = self._done.get(self._name(path))
        return [] if done is None else done["rows"]

    def add(self, path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
        """Keep the rows of a recording that is done.

        Raises:
            UserError: they can't be written.
        """
        name = self._name(path)
        line = {"recording": name, "content": _content(path), "rows": rows}
        with write_errors_explained(self.path, setting="--output_dir"):
            if not self._has_begun:
                self.path.write_text(to_json({"made_by": self.made_by}) + "\n", encoding="utf-8")
            with self.path.open("a", encoding="utf-8") as file:
                file.write(f"\n{to_json(line)}\n")  # what stands before may be half a line
                file.flush()
                os.fsync(file.fileno())
        self._has_begun = True
        self._done[name] = line

    def remove(self) -> None:
        """All is written elsewhere."""
        self.path.unlink(missing_ok=True)

    def _name(self, path: Path) -> str:
        return os.path.relpath(path.absolute(), self.path.parent.absolute())


def _whole_lines(path: Path) -> list[dict[str, Any]]:
    """The JSON objects in a file, of which the last may be cut off."""
    lines: list[dict[str, Any]] = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else ():
        try:
            content = json.loads(line)
        except ValueError:
            continue
        if isinstance(content, dict):
            lines.append(content)
    return lines


def _content(path: Path) -> str | None:
    try:
        return f"{hash_of_file(path):016x}"
    except OSError:  # transcribing it says why
        return None
