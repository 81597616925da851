"""Several long recordings at once: the windows of one batch are those of different recordings.

Each recording goes its own way; when one is done, the next takes its place. On a CPU what is written does not depend on
the others of the batch.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import torch
from transformers import WhisperFeatureExtractor, WhisperForConditionalGeneration

from accel_asr.config.fallback_settings import Fallback
from accel_asr.model.silence_merging import encode_clips
from accel_asr.model.spelling import Spelling
from accel_asr.transcription.segments import Segment, TimedText, Window, joined, tidied
from accel_asr.transcription.sequential import LongAudio, WayThrough
from accel_asr.transcription.token_rules import first_time_of
from accel_asr.transcription.window_decoding import DecodedWindow, WindowDecoder

SAMPLING_SEED = 0  # a recording always gives the same transcript


class Start(NamedTuple):
    """What the decoder begins with: the token ids, and the language that they name."""

    ids: tuple[int, ...]
    language: str | None
    language_probability: float | None = None


@dataclass
class _Recording:
    """One of the batch."""

    index: int
    audio: LongAudio
    way: WayThrough
    generator: torch.Generator
    start: Start | None = None
    encoded: torch.Tensor | None = None
    segments: list[Segment] = field(default_factory=list)
    windows: list[Window] = field(default_factory=list)


StartOf = Callable[[LongAudio, torch.Tensor], Start]  # of a recording, by the encoder's states of its first window
WithWords = Callable[[torch.Tensor, Window, Sequence[Segment]], Sequence[Segment]]


class LongRecordings:
    """Transcribes them.

    Args:
        context: Entered for all that the model computes.
        with_words: Gives the segments of a window their words, by the encoder's states; None leaves them out.
    """

    def __init__(
        self,
        model: WhisperForConditionalGeneration,
        extractor: WhisperFeatureExtractor,
        spelling: Spelling,
        *,
        start_of: StartOf,
        at_once: int,
        fallback: Fallback,
        num_beams: int,
        context: Callable[[], AbstractContextManager[object]],
        with_words: WithWords | None = None,
    ) -> None:
        self._model, self._extractor, self._spelling = model, extractor, spelling
        self._start_of, self._with_words, self._context = start_of, with_words, context
        self._fallback, self._at_once, self._num_beams = fallback, at_once, num_beams
        self._active: list[_Recording] = []

    def transcribe(self, audio: Iterable[LongAudio]) -> Iterator[tuple[int, TimedText]]:
        """(index, transcript) of each, as they are done; no more of them are asked for than are worked on."""
        for index, following in enumerate(audio):
            yield from self.add(index, following)
        while self.is_busy:
            yield from self.step()

    @cached_property
    def _decoder(self) -> WindowDecoder:
        """Made for the first recording: a model without times can't be asked for one."""
        return WindowDecoder(self._model, most=self._at_once, fallback=self._fallback, num_beams=self._num_beams)

    @property
    def is_busy(self) -> bool:
        """Whether there are recordings that are not done."""
        return bool(self._active)

    def add(self, index: int, audio: LongAudio) -> list[tuple[int, TimedText]]:
        """Begin a recording; where the batch is full, others are done first. Returns those that are done."""
        done: list[tuple[int, TimedText]] = []
        while len(self._active) == self._at_once:
            done += self.step()
        return done + self._begin(index, audio)

    def step(self) -> list[tuple[int, TimedText]]:
        """A token of each recording; returns those that are done."""
        with torch.no_grad(), self._context():
            decoded = self._decoder.step()
        # backwards: the last one takes the place of one that is done
        return [done for row in reversed(range(len(decoded))) for done in self._go_on(row, decoded[row])]

    def _begin(self, index: int, audio: LongAudio) -> list[tuple[int, TimedText]]:
        extractor, model = self._extractor, self._model
        features = extractor(
            audio.samples,
            sampling_rate=extractor.sampling_rate,
            truncation=False,
            padding="longest",
            return_tensors="pt",
            device=str(model.device),
        ).input_features[0]
        settings = model.generation_config
        way = WayThrough(
            audio,
            features.to(model.device),
            window_frames=extractor.nb_max_frames,
            frame_s=extractor.hop_length / extractor.sampling_rate,
            first_time=first_time_of(settings),
            previous_start=getattr(settings, "prev_sot_token_id", None),
            most_previous=model.config.max_target_positions // 2 - 1,
            is_conditioned=self._fallback.condition_on_prev_tokens,
        )
        generator = torch.Generator(model.device).manual_seed(SAMPLING_SEED)
        self._active.append(_Recording(index, audio, way, generator))
        return self._go_on(len(self._active) - 1, None if way.is_done else self._begin_window(len(self._active) - 1))

    def _go_on(self, row: int, decoded: DecodedWindow | None) -> list[tuple[int, TimedText]]:
        """Take what is decoded, and begin the next window; returns the recording if it is done."""
        recording = self._active[row]
        while decoded is not None:
            self._take(recording, decoded)
            decoded = None if recording.way.is_done else self._begin_window(row)
        if not recording.way.is_done:
            return []
        last = self._active.pop()
        if row < len(self._active):
            self._active[row] = last
        if recording.start is not None:
            self._decoder.remove(row)
        return [(recording.index, self._transcript(recording))]

    def _begin_window(self, row: int) -> DecodedWindow | None:
        recording = self._active[row]
        recording.audio.on_progress(recording.way.done_s)
        with torch.no_grad(), self._context():
            encoded = encode_clips(self._model, recording.way.features(), None)
            if recording.start is None:
                recording.start = self._start_of(recording.audio, encoded)
            recording.encoded = encoded
            previous = recording.way.previous_ids()
            given = [*previous, *recording.start.ids]
            return self._decoder.begin(row, encoded, given, start=len(previous), generator=recording.generator)

    def _take(self, recording: _Recording, decoded: DecodedWindow) -> None:
        assert recording.start is not None
        assert recording.encoded is not None
        window, timed = recording.way.take(decoded, recording.start.ids)
        segments: Sequence[Segment] = [
            Segment(start_s, end_s, self._spelling.text(ids)) for start_s, end_s, ids in timed
        ]
        if not segments:
            return
        if self._with_words is not None:
            with torch.no_grad(), self._context():
                segments = self._with_words(recording.encoded, window, segments)
        recording.segments += segments
        recording.windows.append(window)

    def _transcript(self, recording: _Recording) -> TimedText:
        duration_s = len(recording.audio.samples) / self._extractor.sampling_rate
        start = recording.start or Start((), None)
        return TimedText(
            text=joined([segment.text for segment in recording.segments]),
            segments=tidied(recording.segments, duration_s=duration_s),
            duration_s=duration_s,
            language=start.language,
            cut_off=not recording.way.has_ended_each,
            language_probability=start.language_probability,
            windows=tuple(recording.windows),
        )
