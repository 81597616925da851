"""From labels to texts of speech: labels of silence are taken out, and words joined to utterances at pauses."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import pairwise

from accel_asr.data.reading.timed_texts.timed_cues import TimedCue

PAUSE_S = 0.5  # between words, from which on a new utterance begins
LONGEST_S = 30.0  # of an utterance, Whisper's window: a longer one is cut at its longest pauses
# of Praat, MFA, WebMAUS, TIMIT and other aligners, and of transcripts for scoring; compared without case
_SILENCE = re.compile(
    r"sil(ence)?|sp|pau|h#|#|_|<(p:?|p:sil|sil|silence|eps|s|/s|nib|usb)>|\[sil(ence)?\]|\(sil\)|"
    r"ignore_time_segment_in_scoring|inter_segment_gap",
    re.IGNORECASE,
)
_UNKNOWN_WORDS = frozenset(("<unk>", "[unk]", "<oov>", "spn"))  # somebody said a word that is not written


def is_silence(cue: TimedCue) -> bool:
    """Whether its label says that nobody speaks."""
    return _SILENCE.fullmatch(cue.text.strip()) is not None


def has_unknown_words(cue: TimedCue) -> bool:
    """Whether somebody says a word in it that is not written."""
    return not _UNKNOWN_WORDS.isdisjoint(cue.text.lower().split())


def joined_words(words: Iterable[TimedCue]) -> list[TimedCue]:
    """The utterances of each speaker: words up to a pause of PAUSE_S, and no longer than LONGEST_S."""
    by_voice: dict[tuple[str | None, str | None, str | None], list[TimedCue]] = {}
    for word in sorted(words, key=lambda word: word.start_s):
        if word.text.strip():
            by_voice.setdefault((word.recording, word.tier, word.speaker), []).append(word)
    return [
        replace(part[0], end_s=part[-1].end_s, text=" ".join(word.text.strip() for word in part))
        for voice in by_voice.values()
        for spoken in _split_at_pauses(voice)
        for part in _short_enough(spoken)
    ]


def _split_at_pauses(words: Sequence[TimedCue]) -> list[list[TimedCue]]:
    parts = [[words[0]]]
    for before, word in pairwise(words):
        if _pause_s(before, word) >= PAUSE_S:
            parts.append([])
        parts[-1].append(word)
    return parts


def _short_enough(words: list[TimedCue]) -> list[list[TimedCue]]:
    """The words in pieces of at most LONGEST_S, each cut at the longest pause in its middle half."""
    last = words[-1]
    if len(words) == 1 or (last.end_s or last.start_s) - words[0].start_s <= LONGEST_S:
        return [words]
    middle = range(max(1, len(words) // 4), max(2, 3 * len(words) // 4))
    cut = max(middle, key=lambda place: _pause_s(words[place - 1], words[place]))
    return [*_short_enough(words[:cut]), *_short_enough(words[cut:])]


def _pause_s(before: TimedCue, word: TimedCue) -> float:
    return word.start_s - (word.start_s if before.end_s is None else before.end_s)
