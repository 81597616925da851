"""From recordings and the annotation files beside them to a table: one row for each cue."""

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from accel_asr.data.reading.audio_paths import AudioPaths
from accel_asr.data.reading.source_table import Table, first_few, source_error
from accel_asr.data.reading.text_files import is_audio_name, list_files, names_of_split
from accel_asr.data.reading.timed_texts.annotation_formats import format_of
from accel_asr.data.reading.timed_texts.cue_treatment import CHANGED, LEFT_OUT, usable_cues
from accel_asr.data.reading.timed_texts.recording_pairs import (
    Pair,
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
    spoken_cues,
)
from accel_asr.data.reading.timed_texts.tier_choice import TierError, TierSettings, choose_tiers
from accel_asr.data.reading.timed_texts.timed_cues import AnnotationFile, AnnotationFormat, TimedCue
from accel_asr.errors import UserError


@dataclass
class Annotated:
    """Rows of recordings with the columns `file_name`, `start`, `end`, `text` and, where known, `speaker` and `tier`;
    notices; and the annotation files that were read."""

    table: Table
    notices: list[str]
    files: list[Path]


@dataclass
class _Reading:
    """What was read, what was not, and why."""

    folder: Path
    recordings: Recordings
    formats: dict[str, AnnotationFormat] = field(default_factory=dict)
    files: dict[str, AnnotationFile] = field(default_factory=dict)
    pairs: list[Pair] = field(default_factory=list)
    cues_of_many: dict[tuple[str, str], list[TimedCue]] = field(default_factory=dict)  # (audio, annotation)
    alone: list[str] = field(default_factory=list)
    bad: list[str] = field(default_factory=list)
    without_text: dict[str, TierError] = field(default_factory=dict)
    kinds: Counter[str] = field(default_factory=Counter)  # of tiers, by files
    speakers: Counter[str] = field(default_factory=Counter)


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
    annotated = read_annotations(folder, audio, annotations, paths=paths, tiers=tiers)
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
) -> Annotated | None:
    """The cues of the recordings that these annotations belong to; None if no file is an annotation of a recording.

    Args:
        audio: Names of the recordings, relative to `folder`; so are `annotations`.

    Raises:
        UserError: as `read_annotated_folder`.
    """
    reading = _Reading(folder, Recordings(audio))
    for name in sorted(annotations):
        _pair_up(reading, name, paths)
    paths.refuse_bad()
    candidates = pairs_of_recordings(reading.pairs, folder)
    chosen: list[Pair] = []
    table: dict[str, list[Any]] = {name: [] for name in ("file_name", "start", "end", "text", "speaker", "tier")}
    counts: Counter[str] = Counter()
    examples: dict[str, str] = {}
    total = 0
    for of_recording in candidates:
        first = _first_with_text(reading, of_recording, tiers or TierSettings())
        if first is None:
            continue
        pair, cues, of_pair = first
        chosen.append(pair)
        total += len(cues) + sum(of_pair.values())
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
    if reading.bad:
        raise source_error(
            f"{len(reading.bad):,} of its annotations can't be read: {first_few(reading.bad)}",
            folder,
            "mend them, or move them away",
        )
    if not candidates:
        return None
    _refuse_open_tiers(reading, folder, tiers or TierSettings(), has_rows=bool(table["text"]))
    for column in ("speaker", "tier"):
        if not any(table[column]):
            del table[column]
    read = {*chosen, *(pair for pair in reading.pairs if pair.annotation in reading.without_text)}
    others = [pair for of_recording in candidates for pair in of_recording if pair not in read]
    notices = _notices(reading, chosen, others, rows=len(table["text"]))
    notices += [
        f"{counts[reason]:,} of {total:,} cues {verb} {reason} (the first in {examples[reason]})"
        for verb, reasons in (
            ("are left out:", (SILENCE, OTHER_SPEAKERS, UNKNOWN_WORDS, *LEFT_OUT, BEYOND)),
            ("are", (WORDS, *CHANGED)),
        )
        for reason in reasons
        if counts[reason]
    ]
    if not table["text"]:
        raise source_error(f"none of its cues can be used: {first_few(notices)}", folder)
    return Annotated(table, notices, [folder / name for name in reading.files])


def read_annotation_files(
    files: Sequence[Path], folder: Path, *, paths: AudioPaths, tiers: TierSettings | None = None
) -> Annotated | None:
    """The cues of annotation files that were given by name, of the recordings in the same folders; None if they are
    not annotations.

    Raises:
        UserError: as `read_annotations`; or there is no recording.
    """
    formats = [_format_or_none(file) for file in files]
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


def _format_or_none(file: Path) -> AnnotationFormat | None:
    try:
        return format_of(AnnotationFile(file))
    except (OSError, ValueError):
        return None


def _below(folder: Path) -> list[str]:
    """The files below a folder that may be annotations, relative to it."""
    names = []
    for here, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        inside = Path(here).relative_to(folder)
        names += [(inside / name).as_posix() for name in files if not name.startswith(".") and is_annotation_name(name)]
    return names


def _pair_up(reading: _Reading, name: str, paths: AudioPaths) -> None:
    """Note the recordings that an annotation belongs to, if it is one."""
    file = AnnotationFile(paths.path(name))
    beside = reading.recordings.beside(name)
    try:
        annotation_format = format_of(file)
    except (OSError, ValueError) as error:
        if beside is not None and not name.lower().endswith(".txt"):  # that is read as a plain text, or refused as such
            reading.bad.append(f"{name} ({error})")
        return
    if annotation_format is None:
        return
    reading.formats[name], reading.files[name] = annotation_format, file
    has_own_name = beside is not None and not beside.label
    if annotation_format.names_recordings or (annotation_format.names_its_recording and not has_own_name):
        _pair_with_many(reading, name, beside)
        return
    pair = beside or (None if annotation_format.recognises else reading.recordings.elsewhere(name))
    if pair is not None:
        reading.pairs.append(pair)
    elif annotation_format.recognises is None:
        reading.alone.append(name)


def _pair_with_many(reading: _Reading, name: str, beside: Pair | None) -> None:
    """Share the cues of an annotation of several recordings among them."""
    by_audio: dict[str, list[TimedCue]] = {}
    missing: dict[str, None] = {}
    for cue in _read(reading, name):
        audio = reading.recordings.named(cue.recording, annotation=name) if cue.recording else None
        if audio is None and beside is not None:
            audio = beside.audio
        if audio is None:
            missing[cue.recording or ""] = None
            continue
        by_audio.setdefault(audio, []).append(cue)
    for audio, cues in by_audio.items():
        reading.pairs.append(Pair(audio, name))
        reading.cues_of_many[audio, name] = cues
    reading.alone += [f"{recording} of {name}" for recording in missing]


def _cues(reading: _Reading, pair: Pair) -> list[TimedCue]:
    of_many = reading.cues_of_many.get((pair.audio, pair.annotation))
    return _read(reading, pair.annotation) if of_many is None else of_many


def _read(reading: _Reading, name: str) -> list[TimedCue]:
    annotation_format = reading.formats[name]
    try:
        return annotation_format.read(reading.files[name])
    except (OSError, ValueError) as error:
        reading.bad.append(f"{name}, {annotation_format.name} ({error})")
        return []


def _first_with_text(
    reading: _Reading, pairs: Sequence[Pair], tiers: TierSettings
) -> tuple[Pair, list[TimedCue], Counter[str]] | None:
    """Of the annotations of one recording the first that has a tier with the text, its cues, and why others are not."""
    for pair in pairs:
        cues = _cues(reading, pair)
        try:
            chosen = choose_tiers(cues, tiers.tier)
        except TierError as error:
            reading.without_text[pair.annotation] = error
            continue
        reading.kinds.update([chosen.kind] if chosen.kind else [])
        reading.speakers.update(cue.speaker for cue in chosen.cues if cue.speaker)
        return pair, *spoken_cues(chosen, speaker=tiers.speaker)
    return None


def _refuse_open_tiers(reading: _Reading, folder: Path, tiers: TierSettings, *, has_rows: bool) -> None:
    """Refuse annotations in which several tiers may hold the text, and sources without the tier or speaker.

    Raises:
        UserError: lists the tiers or speakers that there are.
    """
    open_files = {name: error for name, error in reading.without_text.items() if error.is_open}
    listed = open_files or reading.without_text
    if open_files or (listed and not has_rows):
        name, error = next(iter(listed.items()))
        more = f" ({len(listed) - 1:,} more files are like it)" if len(listed) > 1 else ""
        raise UserError(
            f"{folder / name}: {error}{more}",
            setting="--data.tier",
            value=tiers.tier,
            remedy="give one by --data.tier NAME, several by a pattern such as --data.tier 'tx@*', or all by '*'",
        )
    if tiers.speaker is not None and not has_rows:
        names = [f"{name!r} ({count:,} labels)" for name, count in reading.speakers.most_common()]
        raise UserError(
            f"nobody of that name says something; the speakers are: {first_few(names, most=50) or 'not named'}",
            setting="--data.speaker",
            value=tiers.speaker,
            remedy="give one of them, or a pattern",
        )


def _notices(reading: _Reading, chosen: Sequence[Pair], others: Sequence[Pair], *, rows: int) -> list[str]:
    by_format = Counter(reading.formats[pair.annotation].name for pair in chosen)
    formats = ", ".join(f"{count:,} {name}" for name, count in by_format.most_common())
    notices = [f"{rows:,} rows with times of {len(chosen):,} recordings ({formats})"]
    if others:
        notices.append(
            f"{len(others):,} more annotations of the same recordings are not read: "
            f"{first_few([pair.annotation for pair in others])}; a pattern such as 'FOLDER/*.json' reads others"
        )
    names = {pair.audio for pair in chosen}
    without = [name for name in reading.recordings.names if name not in names]
    if without:
        notices.append(
            f"{len(without):,} of {len(reading.recordings.names):,} audio files have no annotation, and are left out: "
            f"{first_few(without)}"
        )
    if reading.kinds:
        kinds = [f"{kind!r} in {count:,} files" for kind, count in reading.kinds.most_common()]
        notices.append(f"the text is that of the tier {first_few(kinds)}; --data.tier takes another")
    if reading.without_text:
        unread = list(reading.without_text)
        notices.append(f"{len(unread):,} annotations have no such tier, and are left out: {first_few(unread)}")
    if reading.alone:
        notices.append(f"{len(reading.alone):,} annotations have no audio file: {first_few(reading.alone)}")
    if reading.recordings.doubles:
        doubles = reading.recordings.doubles
        notices.append(
            f"{len(doubles):,} audio files differ from another in their ending only, and are left out: "
            f"{first_few(doubles)}"
        )
    guessed = [
        f"{name} as {reading.files[name].encoding}"
        for name in sorted({pair.annotation for pair in chosen})
        if _is_guessed(reading.files[name])
    ]
    if guessed:
        notices.append(f"{len(guessed):,} annotations are not Unicode, and were read by a guess: {first_few(guessed)}")
    return notices


def _is_guessed(file: AnnotationFile) -> bool:
    return "_decoded" in file.__dict__ and file.encoding == "cp1252"
