"""Praat's TextGrid: the intervals of all tiers. Points have no length, and are no text.

Read as Praat itself reads a text file: strings in quotes, and numbers and flags that stand free; everything else is
ornament. So the long and the short form, ELAN's and MFA's, one line or many are the same. (praatio, the usual library,
loses the last label of a file without a last line end, and refuses 1e-05 and the points of older files.)
Source: https://www.fon.hum.uva.nl/praat/manual/TextGrid_file_formats.html
"""

import re
from collections.abc import Iterator

from accel_asr.data.reading.timed_texts.timed_cues import AnnotationFile, TimedCue
from accel_asr.files.regular_files import open_regular

_TOKEN = re.compile(
    r'"(?P<text>(?:[^"]|"")*)"|(?<!\S)(?:(?P<number>[-+]?\d[\d.]*(?:[eE][-+]?\d+)?)|(?P<flag><\w+>))(?!\S)|(?<!\S)!.*'
)
_BINARY = b"ooBinaryFile"
_SPEAKER_BEFORE = re.compile(r"(?P<speaker>.+?) - (?P<tier>words|phones|utterances)")  # how MFA names tiers of several


def read_textgrid(file: AnnotationFile) -> list[TimedCue]:
    """The intervals of all tiers, in the order of the file, with empty ones.

    Raises:
        OSError: it can't be read.
        ValueError: it is not a TextGrid as text, or ends early.
    """
    with open_regular(file.path) as opened:
        is_binary = opened.read(len(_BINARY)) == _BINARY
    if is_binary:
        raise ValueError("it is a binary TextGrid; in Praat, save it as text (Save > Save as text file...)")
    tokens = _tokens(file.text)
    try:
        if not next(tokens).startswith("ooTextFile") or not next(tokens).startswith("TextGrid"):
            raise ValueError("it does not begin as a TextGrid does")
        _, _, flag = next(tokens), next(tokens), next(tokens)
        if flag != "<exists>":
            return []
        return [cue for _ in range(int(next(tokens))) for cue in _tier(tokens)]
    except StopIteration:
        raise ValueError("it ends in the middle of a tier") from None


def _tokens(text: str) -> Iterator[str]:
    for token in _TOKEN.finditer(text):
        if token["text"] is not None:
            yield token["text"].replace('""', '"')
        elif token["number"] or token["flag"]:
            yield token["number"] or token["flag"]


def _tier(tokens: Iterator[str]) -> list[TimedCue]:
    kind, name = next(tokens), next(tokens)
    next(tokens), next(tokens)  # where the tier begins and ends
    size = int(next(tokens))
    if kind == "TextTier":
        for _ in range(size):
            next(tokens), next(tokens)
        return []
    if kind != "IntervalTier":
        raise ValueError(f"a tier is of the unknown class {kind!r}")
    of_speaker = _SPEAKER_BEFORE.fullmatch(name)
    speaker, tier = (of_speaker["speaker"], of_speaker["tier"]) if of_speaker else (None, None)
    # 0.0 is added because Praat and others write -0
    return [
        TimedCue(float(next(tokens)) + 0.0, float(next(tokens)), next(tokens), speaker, name, tier_type=tier)
        for _ in range(size)
    ]
