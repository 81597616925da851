"""The common treatment of cues, whatever their format: what can't be a row is left out, and everything is counted.

Nobody says two things at once. So where two cues of one speaker and tier overlap in part, the first ends where the
second begins; where they begin together, or one lies within the other, they are one row with the texts in the order of
their starts, as transcripts of overlapping speech are written. Cues of different speakers stay as they are.
"""

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import pairwise

from accel_asr.data.reading.timed_texts.timed_cues import TimedCue

SHORTEST_S = 0.05  # no word is shorter
_SAME_START_S = 0.01  # times of subtitles are rounded to a hundredth
_SOUND = re.compile(r"\[[^\[\]]*\]|\([^()]*\)|\{[^{}]*\}")  # [Music], (applause)

EMPTY = "without text of their own"
SOUNDS = "only a sound in brackets, such as [Music]"
IMPOSSIBLE = "end before they begin"
SHORT = f"shorter than {SHORTEST_S:g} s"
REPEATED = "the same text at the same time"
SHORTENED = "overlap the next one, and end where it begins"
JOINED = "at the same time as another, and one row with it"
TWO_SPEAKERS = "overlap another speaker's, and are used as they are"
LEFT_OUT = (EMPTY, SOUNDS, IMPOSSIBLE, SHORT, REPEATED)
CHANGED = (SHORTENED, JOINED, TWO_SPEAKERS)


def usable_cues(cues: Iterable[TimedCue]) -> tuple[list[TimedCue], Counter[str]]:
    """The cues of one recording that can be rows, by their start; and how many were left out or changed, and why.

    Texts are on one line; times are from 0 on. A cue without an end ends where the next one of its tier begins.
    """
    counts: Counter[str] = Counter()
    kept: list[TimedCue] = []
    cues = list(cues)
    for original, cue in zip(cues, _with_ends(cues), strict=True):
        text = " ".join(cue.text.split())
        if not text and original.end_s is None:
            continue  # not a cue, but the end of the one before
        reason = _reason_against(replace(cue, text=text))
        if reason is None:
            kept.append(replace(cue, start_s=max(cue.start_s, 0.0), text=text))
        else:
            counts[reason] += 1
    by_voice: dict[tuple[str | None, str | None], list[TimedCue]] = {}
    for cue in sorted(kept, key=lambda cue: cue.start_s):
        by_voice.setdefault((cue.tier, cue.speaker), []).append(cue)
    usable = [cue for voice in by_voice.values() for cue in _one_at_a_time(voice, counts)]
    usable.sort(key=lambda cue: cue.start_s)
    if len(by_voice) > 1:
        counts[TWO_SPEAKERS] += _overlapping(usable)
    return usable, +counts


def _with_ends(cues: Sequence[TimedCue]) -> list[TimedCue]:
    starts = sorted({(cue.tier or "", cue.start_s) for cue in cues})
    following = {first: second[1] for first, second in pairwise(starts) if first[0] == second[0]}
    return [
        replace(cue, end_s=following.get((cue.tier or "", cue.start_s))) if cue.end_s is None else cue for cue in cues
    ]


def _reason_against(cue: TimedCue) -> str | None:
    """Why a cue can't be a row."""
    if not any(letter.isalnum() for letter in cue.text):
        return EMPTY
    if not any(letter.isalnum() for letter in _SOUND.sub("", cue.text)):
        return SOUNDS
    if not math.isfinite(cue.start_s):
        return IMPOSSIBLE
    if cue.end_s is None:
        return None
    if cue.end_s < cue.start_s or cue.end_s <= 0 or not math.isfinite(cue.end_s):
        return IMPOSSIBLE
    return SHORT if cue.end_s - max(cue.start_s, 0.0) < SHORTEST_S else None


def _one_at_a_time(cues: Sequence[TimedCue], counts: Counter[str]) -> list[TimedCue]:
    """The cues of one speaker, in the order of their starts, without overlaps."""
    chosen: list[TimedCue] = []
    for cue in cues:
        last = chosen[-1] if chosen else None
        if last is None or last.end_s is None or last.end_s <= cue.start_s:
            chosen.append(cue)
            continue
        ends_s = None if cue.end_s is None else max(last.end_s, cue.end_s)
        begin_together = cue.start_s - last.start_s <= _SAME_START_S
        if last.text == cue.text and (begin_together or ends_s == last.end_s):
            counts[REPEATED] += 1
            chosen[-1] = replace(last, end_s=ends_s)
        elif begin_together or ends_s == last.end_s or cue.start_s - last.start_s < SHORTEST_S:
            counts[JOINED] += 1
            chosen[-1] = replace(last, end_s=ends_s, text=f"{last.text} {cue.text}")
        else:
            counts[SHORTENED] += 1
            chosen[-1] = replace(last, end_s=cue.start_s)
            chosen.append(cue)
    return chosen


def _overlapping(cues: Sequence[TimedCue]) -> int:
    """How many of the cues, in the order of their starts, overlap another."""
    overlapping: set[int] = set()
    ends_s = [math.inf if cue.end_s is None else cue.end_s for cue in cues]
    latest = 0  # the cue that lasts longest so far
    for number in range(1, len(cues)):
        if cues[number].start_s < ends_s[latest]:
            overlapping |= {latest, number}
        if ends_s[number] > ends_s[latest]:
            latest = number
    return len(overlapping)
