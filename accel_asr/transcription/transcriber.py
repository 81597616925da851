"""From samples to text with times: short recordings in batches, long ones window by window."""

from collections.abc import Callable, Iterable, Iterator, Sequence
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
from accel_asr.model.languages import known_language, require_english
from accel_asr.model.pretrained import load_model_and_processor, quiet_libraries, window_s
from accel_asr.model.silence_merging import KeyBias, SilenceMerging, encode_clips
from accel_asr.model.spelling import Spelling
from accel_asr.transcription.half_precision import half_precision
from accel_asr.transcription.segments import Segment, TimedText, joined, one_segment, repeats_itself, spread, tidied
from accel_asr.transcription.sequential import LongAudio
from accel_asr.transcription.together import LongRecordings, Start, WithWords


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
        with_words: Gives the segments of a window of a long recording their words; None leaves them out.
    """

    model: WhisperForConditionalGeneration
    processor: WhisperProcessor
    language: str | None = None
    task: str | None = None
    num_beams: int | None = None
    assumes_language: bool = False
    fallback: Fallback = WHISPERS_FALLBACK
    merging: SilenceMerging | None = None
    with_words: WithWords | None = None

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
        heard = [index for index, clip in enumerate(clips) if len(clip)]
        results = [TimedText("", (), duration_s=0.0, language=self.language)] * len(clips)
        if heard:
            features = self._features([clips[index] for index in heard])
            durations_s = [len(clips[index]) / self.sampling_rate_hz for index in heard]
            with half_precision(self.model.device):
                spoken = self._short_batch(features, durations_s, timed)
            for index, result in zip(heard, spoken, strict=True):
                results[index] = result
        return results

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
        self,
        samples: np.ndarray,
        *,
        speech: Sequence[tuple[float, float]] | None = None,
        initial_prompt_ids: Sequence[int] = (),
        keyword_ids: Sequence[int] = (),
        on_progress: Callable[[float], object] = lambda done_s: None,
    ) -> TimedText:
        """Transcribe one recording of any length from window to window; the arguments are those of `LongAudio`."""
        audio = LongAudio(
            samples,
            speech=speech,
            initial_prompt_ids=initial_prompt_ids,
            keyword_ids=keyword_ids,
            on_progress=on_progress,
        )
        return next(self.transcribe_together([audio], at_once=1))[1]

    def transcribe_together(self, audio: Iterable[LongAudio], *, at_once: int) -> Iterator[tuple[int, TimedText]]:
        """(index, transcript) of recordings of any length, as they are done.

        Args:
            audio: No more of them are asked for than are worked on.
            at_once: Recordings decoded side by side; on a CPU at most 3 are.
        """
        return LongRecordings(
            self.model,
            self.processor.feature_extractor,
            self.spelling,
            start_of=self._start_of,
            at_once=most_rows(self.model.device, at_once),
            fallback=self.fallback,
            num_beams=self.num_beams or self.model.generation_config.num_beams or 1,
            context=partial(half_precision, self.model.device),
            with_words=self.with_words,
        ).transcribe(audio)

    def _features(self, clips: Sequence[np.ndarray]) -> torch.Tensor:
        """(clips, mel bins, frames), computed by the model's device in fp32."""
        extractor, device = self.processor.feature_extractor, self.model.device
        options = {"sampling_rate": extractor.sampling_rate, "return_tensors": "pt", "device": str(device)}
        return torch.cat([extractor(clip, **options).input_features for clip in clips]).to(device)

    @torch.no_grad()
    def _short_batch(self, features: torch.Tensor, durations_s: list[float], timed: bool) -> list[TimedText]:
        kept = None if self.merging is None else self.merging.of_batch(durations_s)
        frames = None if self.merging is None or kept is None else self.merging.frames_of(durations_s)
        # one pass of the encoder serves the detection of languages and both transcripts
        encoded = encode_clips(self.model, features[..., :frames], kept and kept.to(self.model.device))
        options, languages = self._options(encoded)
        untimed = self.model.generate(
            encoder_outputs=BaseModelOutput(last_hidden_state=encoded),
            return_timestamps=False,
            return_dict_in_generate=True,
            force_unique_generate_call=True,
            **options,
        ).sequences
        texts = [joined([self.spelling.text(row)]) for row in untimed.tolist()]
        end_of_text = self.model.generation_config.eos_token_id
        cut_off = [end_of_text not in row for row in untimed.tolist()]
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
        columns = (texts, segments, durations_s, cut_off, languages)
        return [
            TimedText(text, own, duration_s, language, is_cut_off, probability)
            for text, own, duration_s, is_cut_off, (language, probability) in zip(*columns, strict=True)
        ]

    def _options(self, encoded: torch.Tensor) -> tuple[dict[str, Any], list[tuple[str | None, float | None]]]:
        """The options of `generate`; and the language of each clip, with its probability where it is detected."""
        options: dict[str, Any] = {} if self.num_beams is None else {"num_beams": self.num_beams}
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

    def _segments(self, parts: Sequence[dict[str, Any]]) -> list[Segment]:
        return [
            Segment(float(part["start"]), float(part["end"]), self.spelling.text(part["tokens"].tolist()))
            for part in parts
        ]


def load_transcriber(
    name_or_path: str,
    *,
    revision: str | None = None,
    device: str | None = None,
    language: str | None = None,
    task: str | None = None,
    num_beams: int | None = None,
    fallback: Fallback = WHISPERS_FALLBACK,
    audio_context: str = "full",
) -> Transcriber:
    """Load a model, put it on a device, and check that it knows the language and task.

    Args:
        device: Such as `cpu`, `cuda:1`, `mps`; None takes an accelerator if there is one.
        language: Code or name; None is the one that the model was tuned for, or detected.
        task: None is the one that the model was tuned for, or `transcribe`.
        audio_context: `full`, or `merged`: the padding of short recordings is merged.

    Raises:
        UserError: no such device or model, or it does not know that language or task.
    """
    if audio_context not in ("full", "merged"):
        remedy = "give full or merged"
        raise UserError("there is no such context", setting="--audio_context", value=audio_context, remedy=remedy)
    chosen = find_device(device)
    quiet_libraries()
    model, processor = load_model_and_processor(name_or_path, revision=revision)
    settings = model.generation_config
    settings.forced_decoder_ids = None  # the old way to set the language; it would contradict the new one
    assumes_language = False
    if not is_multilingual(settings):
        require_english(language, task, options="--")
        language = task = None
    elif getattr(settings, "lang_to_id", None) is None:
        if language is not None:
            known_language(language, None, setting="--language")  # raises
        if task == "translate":
            raise UserError("the model's generation settings list no tasks", setting="--task", value=task)
        language = task = None
    else:
        tuned_for = getattr(settings, "language", None) or None
        assumes_language = not language and tuned_for is not None
        language = language or tuned_for
        language = None if language is None else known_language(language, settings.lang_to_id, setting="--language")
        task = task or getattr(settings, "task", None) or "transcribe"
    model.to(chosen).eval()
    return Transcriber(
        model,
        processor,
        language=language,
        task=task,
        num_beams=num_beams,
        assumes_language=assumes_language,
        fallback=fallback,
        merging=SilenceMerging.of_model(model, window_s=window_s(processor)) if audio_context == "merged" else None,
    )


def find_device(name: str | None) -> torch.device:
    """The device of that name; for None an accelerator, or else the CPU.

    Raises:
        UserError: there is no such device here; the remedy lists those there are.
    """
    accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    if name is None:
        return accelerator or torch.device("cpu")
    count = torch.accelerator.device_count() if accelerator is not None else 0
    here = ["cpu", *([accelerator.type] if accelerator else [])]
    here += [f"{accelerator.type}:{index}" for index in range(count) if accelerator is not None]
    if name not in here:
        raise UserError(
            "there is no such device here", setting="--device", value=name, remedy=f"give one of {', '.join(here)}"
        )
    return torch.device(name)
