"""The times of a script's words: its text is forced upon window after window, each with some words of the last."""

from collections.abc import Callable, Sequence

import numpy as np
import torch

from accel_asr.alignment.script import ScriptWord
from accel_asr.transcription.segments import Word, joined
from accel_asr.transcription.transcriber import Transcriber
from accel_asr.transcription.word_times import most_text_tokens, word_times

CONTEXT_WORDS = 3  # of the words before, that a window begins with: its first word is heard to begin with the window
UNSURE_S = 1.0  # rough times may be wrong by so much
DISCARDED_S = 3.0  # at the end of a window, where words may belong to the next; they are heard again
LONG_PAUSE_S = 8.0  # nothing is said for so long: the next window begins after it


def force(
    transcriber: Transcriber,
    samples: np.ndarray,
    script: Sequence[ScriptWord],
    *,
    language: str | None,
    on_progress: Callable[[float], object] = lambda done_s: None,
) -> list[Word]:
    """The words of a script with their times in the recording, and the model's probability of each.

    Args:
        samples: Of the recording, float32, mono, at the model's rate, shape (samples,).
        script: In the order that they are said in.
        on_progress: Called before each window with the seconds done.
    """
    rate, window_s = transcriber.sampling_rate_hz, transcriber.window_s
    duration_s = len(samples) / rate
    timed: list[Word] = []
    while len(timed) < len(script):
        place = len(timed)
        about_s = script[place].about_s
        first = max(place - CONTEXT_WORDS, 0)
        begin_s = timed[first].start_s if first < place else 0.0
        if about_s - begin_s > LONG_PAUSE_S:
            first = place
            begin_s = max(timed[-1].end_s if timed else 0.0, about_s - UNSURE_S)
        begin_s = min(begin_s, max(0.0, duration_s - UNSURE_S))
        stop, end_s = _text_of_window(transcriber, script, first, begin_s, duration_s=duration_s, language=language)
        stop = max(stop, place + 1)
        on_progress(begin_s)
        clip = samples[int(begin_s * rate) : int(end_s * rate)]
        with torch.no_grad():
            encoded = transcriber.encode(clip)
        text = joined([word.text for word in script[first:stop]])
        words = word_times(
            transcriber.model,
            transcriber.spelling,
            encoded,
            text,
            start_ids=transcriber.start_ids(language),
            audio_s=len(clip) / rate,
            position_s=window_s / transcriber.model.config.max_source_positions,
            begin_s=begin_s,
        )
        kept = stop - first
        if stop < len(script) and script[stop].about_s - script[stop - 1].about_s <= LONG_PAUSE_S:
            kept = sum(word.end_s <= end_s - DISCARDED_S for word in words)
        timed += words[place - first : max(kept, place - first + 1)]
    return timed


def _text_of_window(
    transcriber: Transcriber,
    script: Sequence[ScriptWord],
    first: int,
    begin_s: float,
    *,
    duration_s: float,
    language: str | None,
) -> tuple[int, float]:
    """(where the words of a window stop, where it ends)."""
    end_s = min(begin_s + transcriber.window_s, duration_s)
    room = most_text_tokens(transcriber.model, transcriber.start_ids(language))
    stop = first
    while stop < len(script):
        word = script[stop]
        room -= len(transcriber.spelling.ids(f" {word.text}"))
        pause_s = word.about_s - script[max(stop - 1, first)].about_s
        if word.about_s > end_s or pause_s > LONG_PAUSE_S or room < 0:
            break
        stop += 1
    if stop == len(script) or script[stop].about_s - script[max(stop - 1, 0)].about_s > LONG_PAUSE_S or room < 0:
        last_s = script[stop].about_s if stop < len(script) else duration_s
        end_s = min(end_s, max(last_s + UNSURE_S, begin_s + UNSURE_S))
    return stop, end_s
