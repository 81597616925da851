"""Text with times: joining, tidying, and giving the times of one transcript to the words of another."""

import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher

from accel_asr.model.written_tokens import UNSPACED

TIME_DIGITS = 3  # milliseconds, the resolution of subtitles
_MOST_COMPRESSED = 2.4  # Whisper's own threshold
_STRETCH = 600  # characters: much longer texts compress better, whatever they say
ALIKE = 0.8  # transcripts that share fewer of their words disagree too much to share times
_WORD = re.compile(rf"[{UNSPACED}]|[^\s{UNSPACED}]+")


@dataclass(frozen=True, slots=True)
class Word:
    """A word, with its punctuation, from `start_s` to `end_s`; `probability` is the model's, from 0 to 1."""

    start_s: float
    end_s: float
    text: str
    probability: float

    def later(self, seconds: float) -> "Word":
        """The same, so many seconds later."""
        start_s, end_s = (round(time_s + seconds, TIME_DIGITS) for time_s in (self.start_s, self.end_s))
        return replace(self, start_s=start_s, end_s=end_s)


@dataclass(frozen=True, slots=True)
class Segment:
    """What was said from `start_s` to `end_s`, seconds from the beginning of the recording; words where asked for."""

    start_s: float
    end_s: float
    text: str
    words: tuple[Word, ...] = ()

    def later(self, seconds: float) -> "Segment":
        """The same, so many seconds later."""
        words = tuple(word.later(seconds) for word in self.words)
        start_s, end_s = (round(time_s + seconds, TIME_DIGITS) for time_s in (self.start_s, self.end_s))
        return Segment(start_s, end_s, self.text, words)


@dataclass(frozen=True, slots=True)
class Window:
    """What the decoder wrote for one window of a long recording.

    Args:
        start_s: Where it begins in the recording.
        audio_s: Seconds of the recording in it; the rest is padding.
        start_ids: What the decoder was given, but for previous text: start, language, task.
        ids: What it wrote up to where the next window begins, times among it.
        temperature: Of the attempt that was kept.
        avg_logprob: Mean log-probability of the attempt's tokens, in nats.
        compression_ratio: Of its token ids, by zlib.
        no_speech_prob: The model's probability of silence.
    """

    start_s: float
    audio_s: float
    start_ids: tuple[int, ...]
    ids: tuple[int, ...]
    temperature: float
    avg_logprob: float
    compression_ratio: float
    no_speech_prob: float


@dataclass(frozen=True, slots=True)
class TimedText:
    """The transcript of one recording.

    Args:
        text: All of it; the segments hold the same words.
        language: The code of its language, None where the model names none.
        cut_off: The model wrote until it had no room left, as it does when it repeats itself.
        language_probability: The model's, where the language was detected.
        windows: Of a long recording, those that were not left out as silence.
    """

    text: str
    segments: tuple[Segment, ...]
    duration_s: float
    language: str | None = None
    cut_off: bool = False
    language_probability: float | None = None
    windows: tuple[Window, ...] = ()

    def later(self, seconds: float, *, duration_s: float) -> "TimedText":
        """The same in a recording of `duration_s` in which it begins so much later."""
        return replace(self, segments=tuple(part.later(seconds) for part in self.segments), duration_s=duration_s)


def split_words(text: str) -> list[str]:
    """The words of a text: between spaces, and each character of a script without spaces."""
    return _WORD.findall(text)


def joined(texts: Sequence[str]) -> str:
    """All texts in one line, with spaces between them unless their script has none."""
    line = ""
    for text in (" ".join(text.split()) for text in texts):
        line += gap_between(line, text) + text
    return line


def gap_between(before: str, after: str) -> str:
    """A space, or nothing where a text is empty or the script has none."""
    is_unspaced = re.search(rf"[{UNSPACED}]$", before) and re.match(rf"[{UNSPACED}]", after)
    return "" if is_unspaced or not before or not after else " "


def repeats_itself(text: str) -> bool:
    """Whether zlib compresses a stretch of the text by more than 2.4, which speech never reaches: Whisper's measure."""
    pieces = [text[first : first + _STRETCH].encode() for first in range(0, len(text), _STRETCH)]
    return any(len(piece) > _MOST_COMPRESSED * len(zlib.compress(piece)) for piece in pieces)


def tidied(segments: Sequence[Segment], *, duration_s: float) -> tuple[Segment, ...]:
    """Segments in order and within the recording, each with text and a length; no text is lost.

    Words that the model places after the end, or in no time at all, go to the segment before.
    """
    kept: list[Segment] = []
    held = Segment(0.0, 0.0, "")  # first segments without a length: they go to the next
    for segment in segments:
        previous_end_s = kept[-1].end_s if kept else 0.0
        start_s = round(min(max(segment.start_s, previous_end_s), duration_s), TIME_DIGITS)
        end_s = round(min(segment.end_s, duration_s), TIME_DIGITS)
        whole = _together(held, segment, start_s, end_s)
        if not whole.text:
            continue
        if end_s > start_s:
            kept.append(whole)
            held = Segment(0.0, 0.0, "")
        elif kept:
            kept[-1] = _together(kept[-1], segment, kept[-1].start_s, kept[-1].end_s)
        else:
            held = whole
    if held.text:
        kept.append(replace(held, start_s=0.0, end_s=max(round(duration_s, TIME_DIGITS), 10**-TIME_DIGITS)))
    return tuple(kept)


def _together(first: Segment, second: Segment, start_s: float, end_s: float) -> Segment:
    return Segment(start_s, end_s, joined([first.text, second.text]), (*first.words, *second.words))


def one_segment(text: str, *, duration_s: float) -> tuple[Segment, ...]:
    """One segment for the whole recording; none for an empty text."""
    return tidied([Segment(0.0, duration_s, text)], duration_s=duration_s)


def spread(text: str, timed: Sequence[Segment]) -> list[Segment] | None:
    """The words of `text` at the times of `timed`, another transcript of the same clip.

    A model may write other words when it also writes times. If the two agree on most words, each word of `text` goes to
    the segment of its counterpart, or of the word before it.

    Returns:
        Segments whose texts together are `text`; None if the two share less than `ALIKE` of their words.
    """
    words = list(_WORD.finditer(text))
    timed_words = [(word, index) for index, segment in enumerate(timed) for word in _WORD.findall(segment.text)]
    matcher = SequenceMatcher(
        None, [_bare(word[0]) for word in words], [_bare(word) for word, _ in timed_words], autojunk=False
    )
    if not words or matcher.ratio() < ALIKE:
        return None
    segment_of = dict.fromkeys(range(len(words)), -1)
    for block in matcher.get_matching_blocks():
        for offset in range(block.size):
            segment_of[block.a + offset] = timed_words[block.b + offset][1]
    first_words: dict[int, int] = {}  # segment -> where in `text` its first word begins
    current = next(index for index in segment_of.values() if index >= 0)
    for number, word in enumerate(words):
        current = max(current, segment_of[number])
        first_words.setdefault(current, word.start())
    begins = [*first_words.values(), len(text)]
    return [
        Segment(timed[index].start_s, timed[index].end_s, text[begin:end].strip())
        for index, begin, end in zip(first_words, begins, begins[1:], strict=False)
    ]


def _bare(word: str) -> str:
    """Without case and punctuation, which differ where the words do not."""
    return re.sub(r"\W", "", word.casefold()) or word
