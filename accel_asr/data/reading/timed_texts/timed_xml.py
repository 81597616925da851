"""Subtitles in XML: TTML with its relatives (.dfxp, .itt, EBU-TT), YouTube's srv1 to srv3, USF and GPAC's .ttxt.

TTML is read here and not by pysubs2, which knows no frames, ticks, `dur`, or older namespaces.
"""

import re
from collections.abc import Iterator
from xml.etree import ElementTree

from accel_asr.data.reading.timed_texts.cue_markup import plain_text
from accel_asr.data.reading.timed_texts.timed_cues import AnnotationFile, TimedCue

_ROOTS = ("tt", "timedtext", "transcript", "USFSubtitles", "TextStream")
_CLOCK = re.compile(r"(?:(\d+):)?(\d{1,3}):(\d{1,2}(?:[.,]\d+)?)(?::(\d+)(?:\.\d+)?)?")
_OFFSET = re.compile(r"(\d+(?:[.,]\d+)?)\s*(h|ms|m|s|f|t|)")
_UNITS_S = {"h": 3600.0, "m": 60.0, "s": 1.0, "": 1.0, "ms": 0.001}


def is_timed_xml(file: AnnotationFile) -> bool:
    """Whether the document's root is of one of these formats."""
    match = re.search(r"<(?![?!])(?:[\w.-]+:)?([\w.-]+)", file.text)
    return match is not None and match[1] in _ROOTS


def read_timed_xml(file: AnnotationFile) -> list[TimedCue]:
    """The cues of a document.

    Raises:
        ValueError: it is damaged or of another format, or its times are in sequence, which TTML allows.
    """
    if "<!ENTITY" in file.text:
        raise ValueError("it defines entities, which are not read")
    try:
        root = ElementTree.fromstring(file.text)
    except ElementTree.ParseError as error:
        raise ValueError(f"it is not XML: {error}") from error
    kind = _name(root)
    if kind == "tt":
        return list(_Ttml(root).cues())
    if kind in ("timedtext", "transcript"):
        return list(_youtube_cues(root))
    if kind == "USFSubtitles":
        return [
            TimedCue(_clock_s(subtitle.get("start", "")), _clock_s(subtitle.get("stop", "")), _text(subtitle))
            for subtitle in _named(root, "subtitle")
        ]
    if kind == "TextStream":
        samples = _named(root, "TextSample")
        return [TimedCue(_clock_s(sample.get("sampleTime", "")), None, _text(sample)) for sample in samples]
    raise ValueError(f"its root is {kind!r}, not one of {', '.join(_ROOTS)}")


class _Ttml:
    """A TTML document: the units of its times, and the names of its speakers."""

    def __init__(self, root: ElementTree.Element) -> None:
        self.root = root
        numerator, denominator = (_attribute(root, "frameRateMultiplier") or "1 1").replace(":", " ").split()
        self.frames_per_s = float(_attribute(root, "frameRate") or 30) * float(numerator) / float(denominator)
        # without a rate of their own, ticks are frames if there is a rate of those
        rate = _attribute(root, "tickRate") or (self.frames_per_s if _attribute(root, "frameRate") else 1)
        self.ticks_per_s = float(rate)
        agents = _named(root, "agent")
        self.speakers = {_attribute(agent, "id"): "".join(agent.itertext()).strip() for agent in agents}

    def cues(self) -> Iterator[TimedCue]:
        yield from self._within(self.root, parent_s=0.0, speaker=None)

    def _within(self, element: ElementTree.Element, *, parent_s: float, speaker: str | None) -> Iterator[TimedCue]:
        """The cues below an element; times count from the start of what they lie in."""
        if element.get("timeContainer") == "seq":
            raise ValueError("its times are in sequence (timeContainer seq), which is not read")
        speaker = self.speakers.get(_attribute(element, "agent")) or speaker
        begin, end, lasts = element.get("begin"), element.get("end"), element.get("dur") or element.get("duration")
        start_s = parent_s + (self._seconds(begin) if begin else 0.0)
        if _name(element) in ("p", "span") and begin:
            end_s = parent_s + self._seconds(end) if end else start_s + self._seconds(lasts) if lasts else None
            yield TimedCue(start_s, end_s, _text(element), speaker)
            return
        for child in element:
            yield from self._within(child, parent_s=start_s, speaker=speaker)

    def _seconds(self, time: str) -> float:
        return _clock_s(time, frames_per_s=self.frames_per_s, ticks_per_s=self.ticks_per_s)


def _youtube_cues(root: ElementTree.Element) -> Iterator[TimedCue]:
    """srv1 has seconds in `start` and `dur`, srv2 and srv3 milliseconds in `t` and `d`; text is escaped twice."""
    for element in [*_named(root, "text"), *_named(root, "p")]:
        scale = 1000.0 if "t" in element.attrib else 1.0
        start_s = float(element.get("t") or element.get("start") or 0) / scale
        lasts = element.get("d") or element.get("dur")
        if element.get("a") == "1" or element.get("append"):  # the line break of a caption that rolls up
            continue
        yield TimedCue(start_s, None if lasts is None else start_s + float(lasts) / scale, _text(element))


def _clock_s(time: str, *, frames_per_s: float = 30.0, ticks_per_s: float = 1.0) -> float:
    """`01:02:03.5`, `01:02:03:12` with frames, `62.5s`, `100ms`, `25f` or `1000t` in seconds.

    Raises:
        ValueError: it is no time.
    """
    time = time.strip()
    if match := _CLOCK.fullmatch(time):
        hours, minutes, seconds, frames = match.groups()
        whole_s = int(hours or 0) * 3600 + int(minutes) * 60 + float(seconds.replace(",", "."))
        return whole_s + int(frames or 0) / frames_per_s
    if match := _OFFSET.fullmatch(time):
        units_s = {**_UNITS_S, "f": 1 / frames_per_s, "t": 1 / ticks_per_s}
        return float(match[1].replace(",", ".")) * units_s[match[2]]
    raise ValueError(f"{time!r} is no time")


def _text(element: ElementTree.Element) -> str:
    """The text in an element, with line breaks for <br/>, and white space as one space, as XML means it."""
    return plain_text("".join(_pieces(element)))


def _pieces(element: ElementTree.Element) -> Iterator[str]:
    if _name(element) == "br":
        yield "\n"
    if _name(element) != "metadata":
        yield re.sub(r"\s+", " ", element.text or "")
        for child in element:
            yield from _pieces(child)
            yield re.sub(r"\s+", " ", child.tail or "")


def _named(root: ElementTree.Element, name: str) -> list[ElementTree.Element]:
    return [element for element in root.iter() if _name(element) == name]


def _name(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]


def _attribute(element: ElementTree.Element, name: str) -> str | None:
    """An attribute by its name in any namespace: those of TTML have changed."""
    return next((value for key, value in element.attrib.items() if key.rpartition("}")[2] == name), None)
