"""From samples to text with times: short recordings in batches, long ones window by window."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch
from transformers import WhisperForConditionalGeneration, WhisperProcessor
from transformers.modeling_outputs import BaseModelOutput
from transformers.models.whisper.tokenization_whisper import LANGUAGES

from accel_asr.config.fallback_settings import WHISPERS_FALLBACK, Fallback
from accel_asr.errors import UserError
from accel_asr.model.decoder_rows import most_rows
from accel_asr.model.folder.generation_settings import is_multilingual
from accel_asr.model.folder.token_ids import PREVIOUS
from accel_asr.model.pretrained import window_s
from accel_asr.model.silence_merging import KeyBias, SilenceMerging, encode_clips
from accel_asr.model.spelling import Spelling
from accel_asr.transcription.half_precision import half_precision
from accel_asr.transcription.previous_text import (
    NO_PREVIOUS_TEXT,
    PreviousText,
)
from accel_asr.transcription.segment_words import SegmentWords
from accel_asr.transcription.segments import (
    Segment,
    TimedText,
    Window,
    joined,
    one_segment,
    repeats_itself,
    spread,
    tidied,
)
from accel_asr.transcription.sequential import LongAudio
from accel_asr.transcription.together import LongRecordings, Start
from accel_asr.transcription.voice_activity import SpeechFinder
from accel_asr.transcription.window_decoding import START_TOKENS


@dataclass(frozen=True)
class Transcriber:
    """A model with the language and task to transcribe.

    Args:
        language: Code of the language spoken; None detects it for each recording, or the model is English-only.
        task: `transcribe` or `translate`; None for a model without languages and tasks.
        num_beams: None is the model's own setting.
        assumes_language: `language` was not given by the user: it is the one that the model was tuned for.
        fallback: For recordings longer than the window.
        merging: Of the padding of short recordings; None keeps the whole window.
        previous: What the decoder is given as the text before.
        word_timestamps: Segments have their words, and begin and end with them.
        find_speech: Finds the parts to transcribe; None transcribes all.
    """

    model: WhisperForConditionalGeneration
    processor: WhisperProcessor
    language: str | None = None
    task: str | None = None
    num_beams: int | None = None
    assumes_language: bool = False
    fallback: Fallback = WHISPERS_FALLBACK
    merging: SilenceMerging | None = None
    previous: PreviousText = NO_PREVIOUS_TEXT
    word_timestamps: bool = False
    find_speech: SpeechFinder | None = None

    @cached_property
    def spelling(self) -> Spelling:
        return Spelling(self.processor.tokenizer)

    @property
    def sampling_rate_hz(self) -> int:
        return self.processor.feature_extractor.sampling_rate

    @property
    def window_s(self) -> float:
        """Length of the model's window."""
        return window_s(self.processor)

    def start_ids(self, language: str | None) -> list[int]:
        """What the decoder begins with when it writes no times; `language` is the code of a multilingual model's."""
        task = self.task or "transcribe"
        multilingual = [] if language is None or self.task is None else [f"<|{language}|>", f"<|{task}|>"]
        tokens = ["<|startoftranscript|>", *multilingual, "<|notimestamps|>"]
        return list(self.processor.tokenizer.convert_tokens_to_ids(tokens))

    def encode(self, clip: np.ndarray) -> torch.Tensor:
        """The encoder's states of one clip within a whole window, (1, positions, width)."""
        with half_precision(self.model.device):
            return encode_clips(self.model, self._features([clip]), None)

    def is_long(self, samples: np.ndarray) -> bool:
        """Whether a recording is longer than the model's window."""
        return len(samples) > self.processor.feature_extractor.n_samples

    def transcribe_short(self, clips: Sequence[np.ndarray], *, timed: bool) -> list[TimedText]:
        """Transcribe clips no longer than the window, in one batch.

        The text comes from a pass without times. A second pass, with times, places its segments; where that writes
        other words (many models have never learnt times), the whole clip is one segment.

        Args:
            clips: float32, mono, at the model's rate, each of shape (samples,).
            timed: Make the second pass; without it each clip is one segment.
        """
        spans = [self._span_of_speech(clip) for clip in clips]
        durations_s = [len(clip) / self.sampling_rate_hz for clip in clips]
        results = [TimedText("", (), duration_s=duration_s, language=self.language) for duration_s in durations_s]
        if heard := [index for index, span in enumerate(spans) if span.stop > span.start]:
            parts = [clips[index][spans[index].start : spans[index].stop] for index in heard]
            features = self._features(parts)
            with half_precision(self.model.device):
                spoken = self._short_batch(features, [len(part) / self.sampling_rate_hz for part in parts], timed)
            for index, result in zip(heard, spoken, strict=True):
                later_s = spans[index].start / self.sampling_rate_hz
                results[index] = result.later(later_s, duration_s=durations_s[index])
        return results

    def _span_of_speech(self, clip: np.ndarray) -> range:
        """The samples of a short recording from its first speech to its last."""
        if self.find_speech is None:
            return range(len(clip))
        speech = self.find_speech(clip) or [(0.0, 0.0)]
        return range(*(round(second * self.sampling_rate_hz) for second in (speech[0][0], speech[-1][1])))

    def notes(self, spoken: TimedText) -> list[str]:
        """What the user may want to know of a transcript: the language that was detected, and what looks wrong."""
        notes = []
        if spoken.language is not None and spoken.language_probability is not None:
            name = LANGUAGES.get(spoken.language, spoken.language).title()
            notes.append(f"the language is {name} ({spoken.language}), probability {spoken.language_probability:.2f}")
        return [*notes, *filter(None, [self.doubt(spoken)])]

    def doubt(self, spoken: TimedText) -> str | None:
        """What looks wrong with a transcript, for the user; None where nothing does."""
        if spoken.cut_off:
            doubt = "the model went on until it had no room left; the end may be missing or repeated"
        elif repeats_itself(spoken.text):
            doubt = "the model repeats itself"
        else:
            return None
        if self.assumes_language and self.language:
            name = LANGUAGES.get(self.language, self.language).title()
            doubt += f". It was tuned for {name} ({self.language}): if another language is spoken, give --language"
        return doubt

    def transcribe_long(
        self, samples: np.ndarray, *, on_progress: Callable[[float], object] = lambda done_s: None
    ) -> TimedText:
        """Transcribe one recording of any length from window to window; the arguments are those of `long_audio`."""
        audio = self.long_audio(samples, on_progress=on_progress)
        return next(self.together(at_once=1).transcribe([audio]))[1]

    def long_audio(
        self, samples: np.ndarray, *, on_progress: Callable[[float], object] = lambda done_s: None
    ) -> LongAudio:
        """A recording with its parts that are speech, and the texts that come before.

        Args:
            samples: float32, mono, at the model's rate, shape (samples,).
            on_progress: Called before each window with the seconds done.
        """
        return LongAudio(
            samples,
            speech=None if self.find_speech is None else self.find_speech(samples),
            initial_prompt_ids=self.previous.initial,
            keyword_ids=self.previous.keywords,
            on_progress=on_progress,
        )

    def together(self, *, at_once: int) -> LongRecordings:
        """Recordings of any length side by side; on a CPU at most 4, more would not be faster."""
        return LongRecordings(
            self.model,
            self.processor.feature_extractor,
            self.spelling,
            start_of=self._start_of,
            at_once=most_rows(self.model.device, at_once),
            fallback=self.fallback,
            num_beams=self.num_beams or self.model.generation_config.num_beams or 1,
            context=partial(half_precision, self.model.device),
            with_words=self._words_of_window if self.word_timestamps else None,
        )

    def _features(self, clips: Sequence[np.ndarray]) -> torch.Tensor:
        """(clips, mel bins, frames), computed by the model's device in fp32."""
        extractor, device = self.processor.feature_extractor, self.model.device
        options = {"sampling_rate": extractor.sampling_rate, "return_tensors": "pt", "device": str(device)}
        return torch.cat([extractor(clip, **options).input_features for clip in clips]).to(device)

    def encode_batch(self, clips: Sequence[np.ndarray]) -> torch.Tensor:
        """The encoder's states of clips no longer than the window, (clips, positions, width).

        With `merging`, the decoder weighs their positions until `KeyBias` is set to another batch.
        """
        return self._encoded(self._features(clips), [len(clip) / self.sampling_rate_hz for clip in clips])

    def _encoded(self, features: torch.Tensor, durations_s: list[float]) -> torch.Tensor:
        kept = None if self.merging is None else self.merging.of_batch(durations_s)
        frames = None if self.merging is None or kept is None else self.merging.frames_of(durations_s)
        return encode_clips(self.model, features[..., :frames], kept and kept.to(self.model.device))

    @torch.no_grad()
    def _short_batch(self, features: torch.Tensor, durations_s: list[float], timed: bool) -> list[TimedText]:
        # one pass of the encoder serves the detection of languages and both transcripts
        encoded = self._encoded(features, durations_s)
        options, languages = self._options(encoded)
        untimed = self.model.generate(
            encoder_outputs=BaseModelOutput(last_hidden_state=encoded),
            return_timestamps=False,
            return_dict_in_generate=True,
            force_unique_generate_call=True,
            **options,
        ).sequences
        written = untimed[:, len(options.get("prompt_ids", ())) :].tolist()
        texts = [joined([self.spelling.text(row)]) for row in written]
        end_of_text = self.model.generation_config.eos_token_id
        cut_off = [end_of_text not in row for row in written]
        segments = [
            one_segment(text, duration_s=duration_s) for text, duration_s in zip(texts, durations_s, strict=True)
        ]
        if timed:
            with_times = self.model.generate(
                encoder_outputs=BaseModelOutput(last_hidden_state=encoded),
                return_timestamps=True,
                return_segments=True,
                force_unique_generate_call=True,
                **options,
            )["segments"]
            for row, parts in enumerate(with_times):
                placed = spread(texts[row], self._segments(parts))
                if placed is not None:
                    segments[row] = tidied(placed, duration_s=durations_s[row])
        KeyBias.of_model(self.model).of_batch = None  # long recordings have whole windows
        if self.word_timestamps:
            for row, (language, _) in enumerate(languages):
                own, audio_s = slice(row, row + 1), durations_s[row]
                whole = encoded[own] if self.merging is None else encode_clips(self.model, features[own], None)
                start_ids = self.start_ids(language)
                words = self._segment_words.of_window(whole, segments[row], start_ids=start_ids, audio_s=audio_s)
                segments[row] = tidied(words, duration_s=audio_s)
        columns = (texts, segments, durations_s, cut_off, languages)
        return [
            TimedText(text, own, duration_s, language, is_cut_off, probability)
            for text, own, duration_s, is_cut_off, (language, probability) in zip(*columns, strict=True)
        ]

    @cached_property
    def _segment_words(self) -> SegmentWords:
        return SegmentWords(self.model, self.spelling, self.window_s / self.model.config.max_source_positions)

    def _words_of_window(self, encoded: torch.Tensor, window: Window, segments: Sequence[Segment]) -> list[Segment]:
        start_ids = [*window.start_ids, self.model.generation_config.no_timestamps_token_id]
        return self._segment_words.of_window(
            encoded, segments, start_ids=start_ids, audio_s=window.audio_s, begin_s=window.start_s
        )

    def _options(self, encoded: torch.Tensor) -> tuple[dict[str, Any], list[tuple[str | None, float | None]]]:
        """The options of `generate`; and the language of each clip, with its probability where it is detected."""
        options: dict[str, Any] = {} if self.num_beams is None else {"num_beams": self.num_beams}
        if previous_ids := self._previous_ids():
            options["prompt_ids"] = torch.tensor(previous_ids, device=encoded.device)
        languages = self._languages(self.language, self.task, encoded)
        if self.task is not None:
            options |= {"language": [language for language, _ in languages], "task": self.task}
        return options, languages

    def _start_of(self, audio: LongAudio, encoded: torch.Tensor) -> Start:
        """What the decoder begins with in a long recording."""
        settings, task = self.model.generation_config, audio.task or self.task
        ((language, probability),) = self._languages(audio.language or self.language, task, encoded)
        ids = [settings.decoder_start_token_id]
        if task is not None:
            ids += [settings.lang_to_id[f"<|{language}|>"], settings.task_to_id[task]]
        else:  # models of 2022 have what they were tuned for here
            forced = getattr(self.model.config, "forced_decoder_ids", None) or ()
            ids += [token for _, token in forced if token not in (None, settings.no_timestamps_token_id)]
        return Start(tuple(ids), language, probability)

    def _languages(
        self, language: str | None, task: str | None, encoded: torch.Tensor
    ) -> list[tuple[str | None, float | None]]:
        """The language of each clip, detected if it is not given, and then its probability."""
        clips, settings = len(encoded), self.model.generation_config
        if task is None:
            return [(None if is_multilingual(settings) else "en", None)] * clips
        if language is not None:
            return [(language, None)] * clips
        hidden = self.model.model(
            encoder_outputs=BaseModelOutput(last_hidden_state=encoded),
            decoder_input_ids=torch.full((clips, 1), settings.decoder_start_token_id, device=encoded.device),
            use_cache=False,
        ).last_hidden_state[:, -1]
        names, ids = zip(*settings.lang_to_id.items(), strict=True)
        best = self.model.proj_out(hidden).float()[:, list(ids)].softmax(dim=1).max(dim=1)
        return [
            (names[number].strip("<|>"), round(probability, 4))
            for number, probability in zip(best.indices.tolist(), best.values.tolist(), strict=True)
        ]

    def _previous_ids(self) -> list[int]:
        """What a short recording is given before the start token."""
        ids = self.previous.ids(self._room_before)
        return [self.processor.tokenizer.convert_tokens_to_ids(PREVIOUS), *ids] if ids else []

    @property
    def _room_before(self) -> int:
        """How many tokens of the user's texts any recording can be given; room for the transcript is left."""
        settings, positions = self.model.generation_config, self.model.config.max_target_positions
        return max(min(positions // 2 - 1, positions - START_TOKENS - (settings.max_new_tokens or 0)), 0)

    def require_room_for_keywords(self) -> None:
        """Check that none of them has to be left out.

        Raises:
            UserError: they are too many.
        """
        count, room = len(self.previous.keywords), self._room_before
        if count > room:
            problem = f"they are {count:,} tokens, and the model has room for {room:,} before a transcript"
            raise UserError(problem, setting="--keywords", remedy="give fewer")

    def note_on_prompt(self) -> str | None:
        """What the user may want to know of the prompt; None where all of it fits."""
        count, room = len(self.previous.initial), self._room_before - len(self.previous.keywords)
        fitting = f"its last {room:,} of {count:,} tokens" if room > 0 else f"none of its {count:,} tokens"
        return f"--initial_prompt is cut: the model has room for {fitting}" if count > room else None

    def _segments(self, parts: Sequence[dict[str, Any]]) -> list[Segment]:
        return [
            Segment(float(part["start"]), float(part["end"]), self.spelling.text(part["tokens"].tolist()))
            for part in parts
        ]
