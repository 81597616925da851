"""From all cues of an annotation to what is said: in the tiers with the text, by one speaker, within the recording."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path

from accel_asr.audio.decoding import AudioError, probe
from accel_asr.data.reading.timed_texts.tier_choice import ChosenTiers
from accel_asr.data.reading.timed_texts.timed_cues import TimedCue
from accel_asr.data.reading.timed_texts.word_joining import PAUSE_S, has_unknown_words, is_silence, joined_words

SILENCE = "labels of silence, such as sil or <p>"
UNKNOWN_WORDS = "with a word that is not written down, such as <unk>"
OTHER_SPEAKERS = "of other speakers, or of none"
BEYOND = "beyond the end of their recording"
WORDS = f"words, which are joined to utterances up to a pause of {PAUSE_S:g} s"


def spoken_cues(chosen: ChosenTiers, *, speaker: str | None = None) -> tuple[list[TimedCue], Counter[str]]:
    """The cues of the chosen tiers in which the speaker says something; and how many were left out or joined, and why.

    Args:
        speaker: A name, or a pattern of names; None for all.
    """
    counts: Counter[str] = Counter()
    cues = chosen.cues
    if speaker is not None:
        cues = _kept([cue for cue in cues if _is_named(cue, speaker)], cues, OTHER_SPEAKERS, counts)
    cues = _kept([cue for cue in cues if not is_silence(cue)], cues, SILENCE, counts)
    if chosen.are_words:
        counts[WORDS] = sum(bool(cue.text.strip()) for cue in cues)
        cues = [*joined_words(cues), *(cue for cue in cues if not cue.text.strip())]
    cues = _kept([cue for cue in cues if not has_unknown_words(cue)], cues, UNKNOWN_WORDS, counts)
    return cues, +counts


def cues_within(cues: Sequence[TimedCue], recording: Path) -> tuple[list[TimedCue], int]:
    """The cues that end before the recording does, in order of their starts, and how many do not.

    A recording may be torn, or another version. If it can't be read at all, its cues are kept, and reported later.
    """
    ordered = sorted(cues, key=lambda cue: cue.start_s if cue.end_s is None else cue.end_s)
    if not ordered or _is_within(ordered[-1], recording) or not _is_within(ordered[0], recording):
        return list(cues), 0
    # not one by one: the length of some recordings is known by decoding only
    first_beyond = bisect_left(ordered, True, key=lambda cue: not _is_within(cue, recording))
    return sorted(ordered[:first_beyond], key=lambda cue: cue.start_s), len(ordered) - first_beyond


def _kept(kept: list[TimedCue], cues: Sequence[TimedCue], reason: str, counts: Counter[str]) -> list[TimedCue]:
    counts[reason] += len(cues) - len(kept)
    return kept


def _is_named(cue: TimedCue, speaker: str) -> bool:
    return cue.speaker is not None and (cue.speaker == speaker or fnmatch(cue.speaker.casefold(), speaker.casefold()))


def _is_within(cue: TimedCue, recording: Path) -> bool:
    try:
        probe(recording, start_s=cue.start_s, end_s=cue.end_s)
    except AudioError:
        return False
    return True
