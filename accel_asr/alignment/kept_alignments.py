"""What is finished, one JSON file a recording, so that a second call goes on where the first one ended."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from xxhash import xxh3_64_hexdigest

from accel_asr.alignment.aligned import AlignedRecording, AlignedRow, LeftOut
from accel_asr.alignment.spoken_texts import SpokenText
from accel_asr.console.printing import counted
from accel_asr.errors import UserError
from accel_asr.files.atomic_writes import to_json, write_text
from accel_asr.files.content_hash import hash_of_file
from accel_asr.transcription.segments import TIME_DIGITS, Word

FOLDER = "recordings"
FORMAT = 1  # of the files; others are aligned again
_KEY_DIGITS, _LONGEST_STEM = 12, 80


@dataclass(frozen=True)
class KeptAlignments:
    """The finished recordings of an output folder.

    Args:
        made_by: Model and settings, on which every alignment depends.
    """

    output_dir: Path
    made_by: Mapping[str, Any]

    def pending(self, spoken: Sequence[SpokenText]) -> tuple[list[SpokenText], list[str]]:
        """The recordings that are not finished, and the names of those that were, before text or recording changed.

        Raises:
            UserError: some are finished by another model or with other settings.
        """
        pending, changed, by_others = [], [], []
        for one in spoken:
            kept = self._read(one)
            if kept is not None and kept["made_by"] == dict(self.made_by) and kept["of"] == _identity(one):
                continue
            pending.append(one)
            if kept is not None and kept["made_by"] != dict(self.made_by):
                by_others.append(kept["made_by"])
            elif kept is not None:
                changed.append(one.name)
        if by_others:
            differing = [f"{name} {value}" for name, value in by_others[0].items() if self.made_by.get(name) != value]
            raise UserError(
                f"holds {counted(len(by_others), 'recording')} aligned by other settings ({', '.join(differing)})",
                setting="--output_dir",
                value=self.output_dir,
                remedy="give another folder, or --overwrite to align them again",
                same_on_every_rank=True,
            )
        return pending, changed

    def save(self, spoken: SpokenText, aligned: AlignedRecording) -> None:
        """Keep a finished recording, whole or not at all.

        Raises:
            OSError: it can't be written.
        """
        content = {
            "format": FORMAT,
            "recording": str(spoken.path),
            "of": _identity(spoken),
            "made_by": dict(self.made_by),
            **asdict(aligned),
        }
        write_text(self._file(spoken), to_json(_rounded(content)) + "\n")

    def load(self, spoken: SpokenText) -> AlignedRecording:
        """A finished recording."""
        kept = self._read(spoken)
        assert kept is not None, "only finished ones are loaded"
        rows = (AlignedRow(**{**row, "words": tuple(Word(**word) for word in row["words"])}) for row in kept["rows"])
        return AlignedRecording(
            duration_s=kept["duration_s"],
            language=kept["language"],
            rows=tuple(rows),
            left_out=tuple(LeftOut(**left_out) for left_out in kept["left_out"]),
            words_in_rows=kept["words_in_rows"],
            words_in_text=kept["words_in_text"],
        )

    def _file(self, spoken: SpokenText) -> Path:
        name = short_name(spoken.path, self.output_dir, spoken.start_s, spoken.end_s)
        return self.output_dir / FOLDER / f"{name}.json"

    def _read(self, spoken: SpokenText) -> dict[str, Any] | None:
        """What is kept; None if nothing is, or nothing of this format."""
        try:
            kept = json.loads(self._file(spoken).read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return None
        return kept if isinstance(kept, dict) and kept.get("format") == FORMAT else None


def short_name(path: Path, output_dir: Path, *part: float | None) -> str:
    """A file's name without suffix that no other recording has, the same wherever both folders are moved together."""
    place = os.path.relpath(os.path.abspath(path), os.path.abspath(output_dir))
    return f"{path.stem[:_LONGEST_STEM]}-{xxh3_64_hexdigest(os.fsencode(f'{place} {part}'))[:_KEY_DIGITS]}"


def _identity(spoken: SpokenText) -> dict[str, Any]:
    try:
        content = f"{hash_of_file(spoken.path):016x}"
    except OSError:  # aligning it says why
        content = None
    return {"content": content, "text": xxh3_64_hexdigest(spoken.text.encode())}


def _rounded(content: Any) -> Any:
    """Times to the millisecond, and scores and probabilities as exact."""
    if isinstance(content, float):
        return round(content, TIME_DIGITS)
    if isinstance(content, Mapping):
        return {name: _rounded(value) for name, value in content.items()}
    return [_rounded(value) for value in content] if isinstance(content, list | tuple) else content
