"""Whisper's way through a long recording: each window begins where the last whole segment of the one before it ended.

The algorithm is that of transformers' long-form generation (Radford et al. 2022, section 4.5), with its formulas.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from accel_asr.transcription.segments import Window
from accel_asr.transcription.window_decoding import FAITHFUL_BELOW, DecodedWindow

FRAMES_OF_POSITION = 2  # the encoder's second convolution halves the frames


@dataclass(frozen=True)
class LongAudio:
    """A recording to transcribe from window to window.

    Args:
        samples: float32, mono, at the model's rate, shape (samples,).
        language, task: None is the transcriber's.
        speech: (start, end) in seconds of the parts to transcribe, in order; None is all of it. No window reaches
            beyond its part.
        initial_prompt_ids: Text that comes before the recording's own.
        keyword_ids: Text that every window is given before the previous text, which it takes room from.
        on_progress: Called before each window with the seconds done.
    """

    samples: np.ndarray
    language: str | None = None
    task: str | None = None
    speech: Sequence[tuple[float, float]] | None = None
    initial_prompt_ids: Sequence[int] = ()
    keyword_ids: Sequence[int] = ()
    on_progress: Callable[[float], object] = lambda done_s: None


class WayThrough:
    """Where one recording is, and what has been written of it.

    Args:
        features: Log-mel of the whole recording, (mel bins, frames).
        window_frames: 3,000 for OpenAI's models.
        frame_s: Seconds of a frame.
        previous_start: The token that begins a previous text; None where the model has none.
        most_previous: Tokens of previous text that there is room for.
        is_conditioned: Windows are given the text before them.
    """

    def __init__(
        self,
        audio: LongAudio,
        features: torch.Tensor,
        *,
        window_frames: int,
        frame_s: float,
        first_time: int,
        previous_start: int | None,
        most_previous: int,
        is_conditioned: bool,
    ) -> None:
        frames = features.shape[-1]
        parts_s = [(0.0, frames * frame_s)] if audio.speech is None else audio.speech
        parts = [(round(start_s / frame_s), min(round(end_s / frame_s), frames)) for start_s, end_s in parts_s]
        self._parts = [(start, end) for start, end in parts if end > start]
        self._features, self._window_frames, self._frame_s = features, window_frames, frame_s
        self._first_time, self._previous_start, self._most_previous = first_time, previous_start, most_previous
        self._keyword_ids, self._initial_ids = audio.keyword_ids, audio.initial_prompt_ids
        self._is_conditioned = self._is_faithful = is_conditioned
        self._history: list[int] = []
        self._place = self._parts[0][0] if self._parts else 0
        self.has_ended_each = True

    @property
    def is_done(self) -> bool:
        return not self._parts

    @property
    def done_s(self) -> float:
        return self._place * self._frame_s

    def features(self) -> torch.Tensor:
        """Of the present window, (1, mel bins, frames), padded with zeros."""
        own = self._features[:, self._place : self._place + self._frames()]
        return nn.functional.pad(own, (0, self._window_frames - own.shape[-1]))[None]

    def previous_ids(self) -> list[int]:
        """What the present window is given before the start token."""
        if self._previous_start is None:
            return []
        history = [*self._initial_ids, *(self._history if self._is_faithful else [])]
        room = max(self._most_previous - len(self._keyword_ids), 0)
        ids = [*self._keyword_ids, *history[len(history) - min(room, len(history)) :]][: self._most_previous]
        return [self._previous_start, *ids] if ids else []

    def take(
        self, decoded: DecodedWindow, start_ids: Sequence[int]
    ) -> tuple[Window, list[tuple[float, float, list[int]]]]:
        """Go on to the next window.

        Returns:
            The window, and (start in seconds, end in seconds, token ids) of each of its segments; none of silence.
        """
        self._is_faithful = self._is_conditioned and decoded.temperature < FAITHFUL_BELOW
        frames, place = self._frames(), self._place
        segments, advance = ([], frames) if decoded.is_silence else self._split(decoded.ids, frames)
        for _, _, ids in segments:
            # a segment that ends in two times was followed by another one: the second time is that one's
            ends_twice = len(ids) > 2 and ids[-2] >= self._first_time
            self._history += ids[:-1] if ends_twice else ids
        self.has_ended_each &= decoded.has_ended or decoded.is_silence
        self._go_to(place + advance)
        position_s = FRAMES_OF_POSITION * self._frame_s
        start_s, latest_s = place * position_s / FRAMES_OF_POSITION, (place + frames) * self._frame_s
        window = Window(
            start_s=start_s,
            audio_s=frames * self._frame_s,
            start_ids=tuple(start_ids),
            ids=tuple(token for _, _, ids in segments for token in ids),
            temperature=decoded.temperature,
            avg_logprob=decoded.avg_logprob,
            compression_ratio=decoded.compression_ratio,
            no_speech_prob=decoded.no_speech_prob,
        )
        timed = [
            (start_s + first * position_s, min(start_s + last * position_s, latest_s), ids)
            for first, last, ids in segments
        ]
        return window, timed

    def _frames(self) -> int:
        return min(self._window_frames, self._parts[0][1] - self._place)

    def _go_to(self, place: int) -> None:
        self._place = place
        if place >= self._parts[0][1]:
            del self._parts[0]
            if self._parts:
                self._place = self._parts[0][0]

    def _split(self, ids: Sequence[int], frames: int) -> tuple[list[tuple[int, int, list[int]]], int]:
        """(first position, last position, ids) of each segment, and by how many frames the next window is later."""
        ids = list(ids)
        is_time = [token >= self._first_time for token in ids]
        ends = [number for number in range(1, len(ids)) if is_time[number - 1] and is_time[number]]
        if not ends:
            times = [token for token in ids if token >= self._first_time]
            last = int(frames * self._frame_s / (FRAMES_OF_POSITION * self._frame_s))
            if times and times[-1] != self._first_time:
                last = times[-1] - self._first_time
            return [(0, last, ids)], frames
        ends_once = is_time[-2:] == [False, True]
        if ends_once:  # no speech after the last time
            ends.append(len(ids))
        else:  # what follows the last pair of times is not whole: it begins the next window
            ends[-1] += 1
        segments = []
        for begin, end in zip([0, *ends], ends, strict=False):
            own = ids[begin:end]
            last = own[-1] if end != ends[-1] or ends_once else own[-2]
            segments.append((own[0] - self._first_time, last - self._first_time, own))
        advance = frames if ends_once else (ids[ends[-1] - 2] - self._first_time) * FRAMES_OF_POSITION
        return segments, advance
