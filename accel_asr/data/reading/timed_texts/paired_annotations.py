"""The annotations of a source, each with the recordings that it belongs to, and their cues."""

from dataclasses import dataclass, field
from pathlib import Path

from accel_asr.data.reading.audio_paths import AudioPaths
from accel_asr.data.reading.timed_texts.annotation_formats import format_of
from accel_asr.data.reading.timed_texts.recording_pairs import Pair, Recordings
from accel_asr.data.reading.timed_texts.timed_cues import AnnotationFile, AnnotationFormat, TimedCue


@dataclass
class PairedAnnotations:
    """What was found, and what was not.

    Args:
        formats: Of each annotation, by its name; so are `files`.
        alone: Annotations without a recording, in words.
        bad: Annotations that can't be read, and why.
    """

    recordings: Recordings
    formats: dict[str, AnnotationFormat] = field(default_factory=dict)
    files: dict[str, AnnotationFile] = field(default_factory=dict)
    pairs: list[Pair] = field(default_factory=list)
    alone: list[str] = field(default_factory=list)
    bad: list[str] = field(default_factory=list)
    _shares: dict[tuple[str, str], list[TimedCue]] = field(default_factory=dict)  # by (audio, annotation of several)

    def add(self, name: str, paths: AudioPaths) -> None:
        """Note the recordings that a file belongs to, if it is an annotation."""
        file = AnnotationFile(paths.path(name))
        beside = self.recordings.beside(name)
        try:
            annotation_format = format_of(file)
        except (OSError, ValueError) as error:
            # a .txt is read as a plain text, or refused as such
            if beside is not None and not name.lower().endswith(".txt"):
                self.bad.append(f"{name} ({error})")
            return
        if annotation_format is None:
            return
        self.formats[name], self.files[name] = annotation_format, file
        has_own_name = beside is not None and not beside.label
        if annotation_format.names_recordings or (annotation_format.names_its_recording and not has_own_name):
            self._share(name, beside)
            return
        pair = beside or (None if annotation_format.recognises else self.recordings.elsewhere(name))
        if pair is not None:
            self.pairs.append(pair)
        elif annotation_format.recognises is None:
            self.alone.append(name)

    def cues(self, pair: Pair) -> list[TimedCue]:
        """All cues that an annotation has of a recording; none if it can't be read, which is noted."""
        share = self._shares.get((pair.audio, pair.annotation))
        return self._read(pair.annotation) if share is None else share

    def _share(self, name: str, beside: Pair | None) -> None:
        """Share the cues of an annotation among the recordings that it names."""
        missing: dict[str, None] = {}
        for cue in self._read(name):
            audio = self.recordings.named(cue.recording, annotation=name) if cue.recording else None
            if audio is None and beside is not None:
                audio = beside.audio
            if audio is None:
                missing[cue.recording or "no recording"] = None
                continue
            if (audio, name) not in self._shares:
                self.pairs.append(Pair(audio, name))
            self._shares.setdefault((audio, name), []).append(cue)
        self.alone += [f"{recording} of {name}" for recording in missing]

    def _read(self, name: str) -> list[TimedCue]:
        try:
            return self.formats[name].read(self.files[name])
        except (OSError, ValueError) as error:
            self.bad.append(f"{name}, {self.formats[name].name} ({error})")
            return []


def format_or_none(file: Path) -> AnnotationFormat | None:
    """The format of a file; None if it is no annotation, or can't be read."""
    try:
        return format_of(AnnotationFile(file))
    except (OSError, ValueError):
        return None
