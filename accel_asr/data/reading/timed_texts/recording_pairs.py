"""Which annotation file belongs to which recording, by their names: a.mp3 has a.srt, a.en.srt, a_en.srt or
a.mp3.srt."""

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from accel_asr.data.reading.source_table import first_few, source_error
from accel_asr.data.reading.timed_texts.annotation_formats import FORMATS, place_in_order
from accel_asr.model.languages import language_code

_MARK = re.compile(r"[._ -]")  # between the name of a recording and what an annotation adds: a.en.srt, a_words.TextGrid
_LOSSLESS = (".wav", ".flac", ".aif", ".aiff")  # of two recordings of one name, the first of these is read


@dataclass(frozen=True)
class Pair:
    """An annotation file and its recording, both relative to the source's folder.

    `label` is what the name has between the recording's and its own ending: `en` of a.en.srt, empty of a.srt.
    """

    audio: str
    annotation: str
    label: str = ""

    @property
    def language(self) -> str | None:
        """The language in the label, by Whisper's code."""
        return language_code(self.label.split(".")[0]) if self.label else None

    @property
    def rank(self) -> tuple[int, str, str]:
        """The lowest of a recording's pairs is read: by format, then the plain name first."""
        return place_in_order(os.path.splitext(self.annotation)[1]), self.label, self.annotation


def is_annotation_name(name: str) -> bool:
    """Whether a file may be an annotation, by its suffix."""
    return os.path.splitext(name)[1].lower() in FORMATS


class Recordings:
    """The audio files of a folder, by name, and how annotations refer to them."""

    def __init__(self, audio: Iterable[str]) -> None:
        self._by_name = {name: name for name in audio}
        self._by_stem: dict[str, str] = {}
        self._by_bare_stem: dict[str, set[str]] = {}
        self.doubles: list[str] = []  # the same name with another suffix
        for name in sorted(self._by_name, key=_preferred):
            stem = os.path.splitext(name)[0]
            if stem in self._by_stem:
                self.doubles.append(name)
                continue
            self._by_stem[stem] = name
            self._by_bare_stem.setdefault(PurePosixPath(stem).name, set()).add(name)
        self.names = sorted(self._by_stem.values())

    def beside(self, annotation: str) -> Pair | None:
        """The recording of an annotation file in the same folder, with the longest name that fits."""
        folder, name = os.path.split(annotation)
        own = os.path.splitext(name)[0]
        ends = [len(own), *(mark.start() for mark in reversed(list(_MARK.finditer(own))))]
        for end in ends:
            stem, label = os.path.join(folder, own[:end]), own[end + 1 :]
            audio = self._by_name.get(stem) or self._by_stem.get(stem)
            # take_1_2 is no annotation of take_1, but a recording that is missing
            if audio is not None and not label.isdigit():
                return Pair(audio, annotation, label)
        return None

    def elsewhere(self, annotation: str) -> Pair | None:
        """The only recording of that name in any folder."""
        stem = PurePosixPath(annotation).stem
        audio = self._by_bare_stem.get(stem, set())
        return Pair(next(iter(audio)), annotation) if len(audio) == 1 else None

    def named(self, recording: str, *, annotation: str) -> str | None:
        """The recording that an annotation of several names, with or without suffix: in its folder, or the only one."""
        folder = os.path.dirname(annotation)
        inside = os.path.normpath(os.path.join(folder, recording))
        bare = PurePosixPath(recording).name
        found = self._by_name.get(inside) or self._by_stem.get(inside) or self._by_stem.get(os.path.splitext(inside)[0])
        others = self._by_bare_stem.get(bare) or self._by_bare_stem.get(os.path.splitext(bare)[0]) or set()
        return found or (next(iter(others)) if len(others) == 1 else None)


def pairs_of_recordings(pairs: Sequence[Pair], folder: Path) -> list[list[Pair]]:
    """The annotations of each recording in the order of the recordings, that to be read before the others.

    Raises:
        UserError: a recording has annotations in several languages, and none without a language in its name.
    """
    by_audio: dict[str, list[Pair]] = {}
    for pair in sorted(pairs, key=lambda pair: pair.rank):
        by_audio.setdefault(pair.audio, []).append(pair)
    for audio, of_audio in by_audio.items():
        languages = {pair.language for pair in of_audio} - {None}
        if of_audio[0].language and len(languages) > 1:
            names = [pair.annotation for pair in of_audio if pair.language]
            ending = f"*.{of_audio[0].label}{os.path.splitext(names[0])[1]}"
            raise source_error(
                f"{audio} has annotations in several languages: {first_few(names)}",
                folder,
                f"give those to read by a pattern, such as --data.name_or_path '{folder / ending}'",
            )
    return [by_audio[audio] for audio in sorted(by_audio)]


def _preferred(name: str) -> tuple[bool, str]:
    return os.path.splitext(name)[1].lower() not in _LOSSLESS, name
