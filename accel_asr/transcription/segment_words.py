"""The words of the segments of one window, with their times."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median

import torch
from transformers import WhisperForConditionalGeneration

from accel_asr.model.spelling import Spelling
from accel_asr.transcription.segments import TIME_DIGITS, Segment, Word, joined, split_words
from accel_asr.transcription.word_times import most_text_tokens, word_times

# A word beside a pause tends to take the pause too: Whisper's own limits (openai/whisper, timing.py)
_LONGEST_MEDIAN_S = 0.7
_LONGEST_MEDIANS = 2.0


@dataclass(frozen=True)
class SegmentWords:
    """Finds them with a model.

    Args:
        position_s: Seconds of one encoder position.
    """

    model: WhisperForConditionalGeneration
    spelling: Spelling
    position_s: float

    def of_window(
        self,
        encoded: torch.Tensor,
        segments: Sequence[Segment],
        *,
        start_ids: Sequence[int],
        audio_s: float,
        begin_s: float = 0.0,
    ) -> list[Segment]:
        """Segments with their words, that begin and end with them; as they were where a text is too long.

        Args:
            encoded: The encoder's states of the window, not merged, (1, positions, width).
            segments: Of this window, with times in the recording.
            start_ids: As of `word_times`.
            audio_s: Seconds of the recording in the window; begin_s: where it begins.
        """
        text = joined([segment.text for segment in segments])
        if len(self.spelling.ids(f" {text}")) > most_text_tokens(self.model, start_ids):
            return list(segments)
        words = word_times(
            self.model,
            self.spelling,
            encoded,
            text,
            start_ids=start_ids,
            audio_s=audio_s,
            position_s=self.position_s,
            begin_s=begin_s,
        )
        return shared_out(segments, words)


def shared_out(segments: Sequence[Segment], words: Sequence[Word]) -> list[Segment]:
    """Each segment with its own words, in order; the first and the last of a segment are no longer than words are."""
    lengths_s = [word.end_s - word.start_s for word in words if word.end_s > word.start_s]
    longest_s = _LONGEST_MEDIANS * min(_LONGEST_MEDIAN_S, median(lengths_s)) if lengths_s else 0.0
    place = 0
    with_words = []
    for segment in segments:
        own = list(words[place : place + len(split_words(segment.text))])
        place += len(own)
        if own:
            first, last = own[0], own[-1]
            own[0] = replace(first, start_s=round(max(first.start_s, first.end_s - longest_s), TIME_DIGITS))
            own[-1] = replace(last, end_s=round(min(last.end_s, own[-1].start_s + longest_s), TIME_DIGITS))
        if own and own[-1].end_s > own[0].start_s:
            with_words.append(Segment(own[0].start_s, own[-1].end_s, segment.text, tuple(own)))
        else:
            with_words.append(segment)
    return with_words
