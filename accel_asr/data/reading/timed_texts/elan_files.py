"""ELAN's .eaf: the annotations of all tiers, with the times of those that they refer to.

(pympi, the usual library, gives each annotation of a subdivided tier the times of the whole, and fails where a file
names no schema.) Source: https://www.mpi.nl/tools/elan/EAF_Annotation_Format_3.0_and_ELAN.pdf
"""

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import unquote
from xml.etree import ElementTree

from accel_asr.data.reading.text_files import AUDIO_SUFFIXES
from accel_asr.data.reading.timed_texts.timed_cues import AnnotationFile, TimedCue

Interval = tuple[float, float]  # begin and end in seconds
_SOUND_ONLY = AUDIO_SUFFIXES - {".mp4", ".webm"}
_DEFAULT_TYPE = "default-lt"  # of every new file


@dataclass(frozen=True, slots=True)
class _Reference:
    """An annotation without times of its own, of the annotation `of`, after the one called `previous`."""

    id: str
    of: str
    previous: str | None
    text: str


def read_elan(file: AnnotationFile) -> list[TimedCue]:
    """The annotations of all tiers, in the order of the file, with empty ones.

    Annotations that refer to others have their times; all of one, such as the words of a sentence, are one cue.

    Raises:
        OSError: it can't be read.
        ValueError: it is no whole .eaf file; or an annotation refers to none.
    """
    try:
        document = ElementTree.fromstring(file.text)
    except ElementTree.ParseError as error:
        raise ValueError(f"it is no whole XML file ({error})") from error
    if document.tag != "ANNOTATION_DOCUMENT":
        raise ValueError("it is XML, but no ELAN file")
    slots_s = {
        str(slot.get("TIME_SLOT_ID")): float(value) / 1000 if (value := slot.get("TIME_VALUE")) is not None else None
        for slot in document.iter("TIME_SLOT")
    }
    recording = _recording(document)
    tiers = document.findall("TIER")
    intervals: dict[str, Interval] = {}
    for tier in tiers:
        intervals |= _aligned_intervals(tier.iter("ALIGNABLE_ANNOTATION"), slots_s)
    references = {tier: _references(tier) for tier in tiers}
    parents = {reference.id: reference.of for inside in references.values() for reference in inside}
    cues: list[TimedCue] = []
    for tier in tiers:
        texts = {str(aligned.get("ANNOTATION_ID")): _text(aligned) for aligned in tier.iter("ALIGNABLE_ANNOTATION")}
        for parent, text in _joined(references[tier]):
            aligned = _aligned(parent, parents, intervals)
            texts[aligned] = f"{texts.get(aligned, '')} {text}".strip()
        name, type_name = tier.get("TIER_ID"), tier.get("LINGUISTIC_TYPE_REF")
        cues += [
            TimedCue(
                start_s,
                end_s,
                text,
                tier.get("PARTICIPANT") or None,
                name,
                recording,
                None if type_name == _DEFAULT_TYPE else type_name,
            )
            for annotation, text in texts.items()
            for start_s, end_s in (intervals[annotation],)
        ]
    return cues


def _recording(document: ElementTree.Element) -> str | None:
    """The name of the media file in the header, sound before pictures; its folder is on the annotator's machine."""
    names = []
    for media in document.iter("MEDIA_DESCRIPTOR"):
        location = unquote(media.get("RELATIVE_MEDIA_URL") or media.get("MEDIA_URL") or "").replace("\\", "/")
        names.append(os.path.basename(re.sub(r"^\w+:", "", location)))
    names = sorted(filter(None, names), key=lambda name: os.path.splitext(name)[1].lower() not in _SOUND_ONLY)
    return names[0] if names else None


def _text(annotation: ElementTree.Element) -> str:
    return annotation.findtext("ANNOTATION_VALUE") or ""


def _aligned_intervals(
    annotations: Iterable[ElementTree.Element], slots_s: dict[str, float | None]
) -> dict[str, Interval]:
    """The times of a tier's annotations. Between two times that are given, neighbours without are equally long."""
    chain: list[tuple[str, str, str]] = []
    intervals: dict[str, Interval] = {}
    for annotation in annotations:
        name, begin, end = (str(annotation.get(key)) for key in ("ANNOTATION_ID", "TIME_SLOT_REF1", "TIME_SLOT_REF2"))
        if begin not in slots_s or end not in slots_s:
            raise ValueError(f"the annotation {name} has a time slot that is not in the file")
        chain.append((name, begin, end))
        if slots_s[end] is None:
            continue
        first_s, last_s = slots_s[chain[0][1]], slots_s[end]
        if first_s is None or last_s is None:
            raise ValueError(f"the annotation {chain[0][0]} begins at no known time")
        step_s = (last_s - first_s) / len(chain)
        for place, (inner, _, _) in enumerate(chain):
            intervals[inner] = (first_s + place * step_s, last_s if inner == name else first_s + (place + 1) * step_s)
        chain = []
    if chain:
        raise ValueError(f"the annotation {chain[0][0]} ends at no known time")
    return intervals


def _references(tier: ElementTree.Element) -> list[_Reference]:
    return [
        _Reference(
            str(annotation.get("ANNOTATION_ID")),
            str(annotation.get("ANNOTATION_REF")),
            annotation.get("PREVIOUS_ANNOTATION"),
            _text(annotation),
        )
        for annotation in tier.iter("REF_ANNOTATION")
    ]


def _joined(references: Sequence[_Reference]) -> list[tuple[str, str]]:
    """(name of the annotation that they refer to, their texts in order) for each such annotation."""
    by_parent: dict[str, list[_Reference]] = {}
    for reference in references:
        by_parent.setdefault(reference.of, []).append(reference)
    joined = []
    for parent, children in by_parent.items():
        after = {child.previous: child for child in children}
        ordered = [child] if (child := after.get(None)) is not None else []
        while ordered and len(ordered) < len(children) and (child := after.get(ordered[-1].id)) is not None:
            ordered.append(child)
        if len(ordered) < len(children):  # without a chain, the order of the file
            ordered = children
        joined.append((parent, " ".join(child.text.strip() for child in ordered if child.text.strip())))
    return joined


def _aligned(name: str, parents: dict[str, str], intervals: dict[str, Interval]) -> str:
    """The annotation with times to which one refers, maybe through others."""
    seen = {name}
    while name not in intervals:
        name = parents.get(name, name)
        if name in seen:
            raise ValueError(f"the annotation {name} refers to none with times")
        seen.add(name)
    return name
