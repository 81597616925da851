"""From recordings and the annotation files beside them to a table: one row for each cue."""

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from accel_asr.data.reading.audio_paths import AudioPaths
from accel_asr.data.reading.source_table import Table, first_few, source_error
from accel_asr.data.reading.text_files import is_audio_name, list_files, names_of_split, texts_beside
from accel_asr.data.reading.timed_texts.annotation_choice import AnnotationChoice
from accel_asr.data.reading.timed_texts.cue_treatment import CHANGED, LEFT_OUT, usable_cues
from accel_asr.data.reading.timed_texts.paired_annotations import PairedAnnotations, format_or_none
from accel_asr.data.reading.timed_texts.recording_pairs import (
    Recordings,
    is_annotation_name,
    pairs_of_recordings,
)
from accel_asr.data.reading.timed_texts.spoken_cues import (
    BEYOND,
    OTHER_SPEAKERS,
    SILENCE,
    UNKNOWN_WORDS,
    WORDS,
    cues_within,
)
from accel_asr.data.reading.timed_texts.tier_choice import TierSettings
from accel_asr.data.reading.timed_texts.timed_cues import AnnotationFile


@dataclass
class Annotated:
    """Rows of recordings with the columns `file_name`, `start`, `end`, `text` and, where known, `speaker` and `tier`;
    notices; and the annotation files that were read."""

    table: Table
    notices: list[str]
    files: list[Path]


def read_annotated_folder(
    folder: Path,
    *,
    split: str,
    paths: AudioPaths,
    tiers: TierSettings | None = None,
    any_lone: bool = False,
) -> Annotated | None:
    """The cues of every recording below a folder that has an annotation file; None if none has.

    Recordings without one are read with the .txt beside them as one row, and named if they have none either. If the
    folder has sub-folders named after splits, those of `split` are read.

    Raises:
        UserError: an annotation is damaged or leads outside; a package is missing; no such split.
    """
    audio, texts, links = list_files(folder)
    annotations = _below(folder)
    (audio, annotations, texts, links), notices = names_of_split(
        (audio, annotations, texts, links), folder=folder, split=split, any_lone=any_lone
    )
    annotated = read_annotations(folder, audio, annotations, paths=paths, tiers=tiers, texts=texts)
    if annotated is None:
        return None
    if links:
        notices.append(f"links to folders are not followed: {first_few(links)}")
    return Annotated(annotated.table, [*notices, *annotated.notices], annotated.files)


def read_annotations(
    folder: Path,
    audio: Sequence[str],
    annotations: Iterable[str],
    *,
    paths: AudioPaths,
    tiers: TierSettings | None = None,
    texts: Sequence[str] = (),
) -> Annotated | None:
    """The cues of the recordings that these annotations belong to; None if no file is an annotation of a recording.

    Args:
        audio: Names of the recordings, relative to `folder`; so are `annotations` and `texts`.
        texts: Plain texts, each for a whole recording that has no annotation.

    Raises:
        UserError: as `read_annotated_folder`.
    """
    annotations = sorted(annotations)
    found = PairedAnnotations(Recordings(audio))
    for name in annotations:
        found.add(name, paths)
    paths.refuse_bad()
    candidates = pairs_of_recordings(found.pairs, folder)
    choice = AnnotationChoice(found, tiers or TierSettings())
    table: dict[str, list[Any]] = {name: [] for name in ("file_name", "start", "end", "text", "speaker", "tier")}
    counts: Counter[str] = Counter()
    examples: dict[str, str] = {}
    for of_recording in candidates:
        chosen = choice.of(of_recording)
        if chosen is None:
            continue
        pair, cues, of_pair = chosen
        usable, of_usable = usable_cues(cues)
        usable, of_pair[BEYOND] = cues_within(usable, paths.path(pair.audio))
        of_pair += of_usable
        counts += of_pair
        examples |= {reason: pair.annotation for reason in of_pair if reason not in examples}
        for cue in usable:
            for column, cell in (
                ("file_name", pair.audio),
                ("start", cue.start_s),
                ("end", cue.end_s),
                ("text", cue.text),
                ("speaker", cue.speaker),
                ("tier", cue.tier),
            ):
                table[column].append(cell)
    if found.bad:
        raise source_error(
            f"{len(found.bad):,} of its annotations can't be read: {first_few(found.bad)}",
            folder,
            "mend them, or move them away",
        )
    if not candidates:
        return None
    choice.refuse_open(folder, has_rows=bool(table["text"]))
    for column in ("speaker", "tier"):
        if not any(table[column]):
            del table[column]
    notices = _notices(found, choice, rows=len(table["text"]))
    plain, plain_notices = _plain_texts(found, choice, texts, folder=folder, paths=paths)
    for column, cells in table.items():
        cells.extend({"file_name": [*plain], "text": [*plain.values()]}.get(column, [None] * len(plain)))
    notices += plain_notices
    notices += [
        f"{counts[reason]:,} of {choice.labels:,} cues {verb} {reason} (the first in {examples[reason]})"
        for verb, reasons in (
            ("are left out:", (SILENCE, OTHER_SPEAKERS, UNKNOWN_WORDS, *LEFT_OUT, BEYOND)),
            ("are", (WORDS, *CHANGED)),
        )
        for reason in reasons
        if counts[reason]
    ]
    if not table["text"]:
        raise source_error(f"none of its cues can be used: {first_few(notices)}", folder)
    return Annotated(table, notices, [folder / name for name in annotations])


def _plain_texts(
    found: PairedAnnotations, choice: AnnotationChoice, texts: Sequence[str], *, folder: Path, paths: AudioPaths
) -> tuple[dict[str, str], list[str]]:
    """The plain texts of recordings without an annotation; and notices of these recordings."""
    annotated = {pair.audio for pair in choice.pairs}
    names = found.recordings.names
    without = [name for name in names if name not in annotated]
    plain = texts_beside(without, texts, folder=folder, paths=paths)
    left_out = [name for name in without if name not in plain]
    notices = [
        f"{len(some):,} of {len(names):,} audio files have no annotation with times, and are {what}: {first_few(some)}"
        for some, what in (([*plain], "a row each, with the .txt beside"), (left_out, "left out"))
        if some
    ]
    return plain, notices


def read_annotation_files(
    files: Sequence[Path], folder: Path, *, paths: AudioPaths, tiers: TierSettings | None = None
) -> Annotated | None:
    """The cues of annotation files that were given by name, of the recordings in the same folders; None if they are
    not annotations.

    Raises:
        UserError: as `read_annotations`; or there is no recording.
    """
    formats = [format_or_none(file) for file in files]
    if None in formats:
        return None
    if any(each is not None and (each.names_recordings or each.names_its_recording) for each in formats):
        audio = list_files(folder)[0]
    else:
        folders = {file.parent for file in files}
        audio = [
            os.path.relpath(path, folder) for home in folders for path in home.iterdir() if is_audio_name(path.name)
        ]
    names = [os.path.relpath(file, folder) for file in files]
    annotated = read_annotations(folder, sorted(audio), names, paths=paths, tiers=tiers)
    if annotated is None:
        raise source_error(
            f"there is no audio file of its name beside it ({first_few(names)})",
            folder,
            "put the recording beside it, such as talk.mp3 beside talk.srt",
        )
    return annotated


def _below(folder: Path) -> list[str]:
    """The files below a folder that may be annotations, relative to it."""
    names = []
    for here, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        inside = Path(here).relative_to(folder)
        names += [(inside / name).as_posix() for name in files if not name.startswith(".") and is_annotation_name(name)]
    return names


def _notices(found: PairedAnnotations, choice: AnnotationChoice, *, rows: int) -> list[str]:
    by_format = Counter(found.formats[pair.annotation].name for pair in choice.pairs)
    formats = ", ".join(f"{count:,} {name}" for name, count in by_format.most_common())
    notices = [f"{rows:,} rows with times of {len(choice.pairs):,} recordings ({formats})"]
    read = {*choice.pairs, *(pair for pair in found.pairs if pair.annotation in choice.without_text)}
    others = [pair.annotation for pair in sorted(found.pairs, key=lambda pair: pair.rank) if pair not in read]
    if others:
        notices.append(
            f"{len(others):,} more annotations of the same recordings are not read: {first_few(others)}; a pattern "
            "such as 'FOLDER/*.json' reads others"
        )
    if choice.kinds:
        kinds = [f"{kind!r} in {count:,} files" for kind, count in choice.kinds.most_common()]
        notices.append(f"the text is that of the tier {first_few(kinds)}; --data.tier takes another")
    if choice.without_text:
        unread = list(choice.without_text)
        notices.append(f"{len(unread):,} annotations have no such tier, and are left out: {first_few(unread)}")
    if found.alone:
        notices.append(f"{len(found.alone):,} annotations have no audio file: {first_few(found.alone)}")
    if found.recordings.doubles:
        doubles = found.recordings.doubles
        notices.append(
            f"{len(doubles):,} audio files differ from another in their ending only, and are left out: "
            f"{first_few(doubles)}"
        )
    guessed = [
        f"{name} as {found.files[name].encoding}"
        for name in sorted({pair.annotation for pair in choice.pairs})
        if _is_guessed(found.files[name])
    ]
    if guessed:
        notices.append(f"{len(guessed):,} annotations are not Unicode, and were read by a guess: {first_few(guessed)}")
    return notices


def _is_guessed(file: AnnotationFile) -> bool:
    return "_decoded" in file.__dict__ and file.encoding == "cp1252"
