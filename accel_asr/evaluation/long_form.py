"""Recordings longer than the model's window: transcribed from window to window, and scored as a whole."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from accelerate import Accelerator
from accelerate.utils import gather_object
from transformers import WhisperForConditionalGeneration, WhisperProcessor

from accel_asr.audio.decoding import AudioError
from accel_asr.config.fallback_settings import WHISPERS_FALLBACK, Fallback
from accel_asr.data.labels import LabelEncoder
from accel_asr.data.selection.long_recordings import LongRecording
from accel_asr.evaluation.decoding_settings import Decoding
from accel_asr.evaluation.intervals import rate_intervals
from accel_asr.evaluation.scoring import ScoredUtterance, Transcript, corpus_score, score_utterance
from accel_asr.model.silence_merging import KeyBias
from accel_asr.ranks.agreement import Agreement
from accel_asr.transcription.segments import TimedText
from accel_asr.transcription.transcriber import Transcriber


@dataclass(frozen=True)
class LongFormResult:
    """What a model made of long recordings.

    Args:
        scored: Each recording as one utterance.
        seconds: Wall time on this rank.
    """

    scored: list[ScoredUtterance]
    seconds: float

    def record(self) -> dict[str, Any]:
        """The numbers as metrics.jsonl and summary.json hold them; `wer_interval` is resampled by recording."""
        score = corpus_score(self.scored)
        return {
            "wer": score.wer,
            "wer_interval": list(rate_intervals(self.scored)["wer"]),
            "recordings": len(self.scored),
            "audio_seconds": round(sum(line.transcript.duration_s for line in self.scored), 3),
        }


def score_long_recordings(
    model: WhisperForConditionalGeneration,
    recordings: Sequence[LongRecording],
    decoding: Decoding,
    *,
    processor: WhisperProcessor,
    encoder: LabelEncoder,
    accelerator: Accelerator,
    fallback: Fallback = WHISPERS_FALLBACK,
    agreement: Agreement | None = None,
    on_recording: Callable[[], object] = lambda: None,
) -> LongFormResult:
    """Transcribe each recording sequentially and score it. Every rank must call this; all get the same result.

    The recordings are shared out over the ranks, the longest first. A rank holds one of them at a time.

    Args:
        model: Unwrapped.
        agreement: Lets the ranks stop together before the end; without it they only fail together.
        on_recording: Called after each recording of this rank.

    Raises:
        AgreedStopError: a rank was asked to stop; raised on every rank.
    """
    started_s = time.perf_counter()
    agreement = agreement or Agreement(accelerator)
    longest_first = sorted(range(len(recordings)), key=lambda number: -recordings[number].duration_s)
    transcriber = Transcriber(model, processor, num_beams=decoding.num_beams, fallback=fallback)
    heard: list[tuple[int, TimedText, str | None]] = []
    was_training = model.training
    model.eval()
    KeyBias.of_model(model).of_batch = None  # long recordings have whole windows
    try:
        for number in longest_first[accelerator.process_index :: accelerator.num_processes]:
            of_row = _of_recording(transcriber, recordings[number], encoder, decoding)
            with accelerator.autocast():
                heard.append((number, *_heard(of_row, recordings[number], agreement)))
            on_recording()
    finally:
        model.train(was_training)
    while not agreement.all_done(is_done=True):
        pass
    gathered = sorted(gather_object(heard), key=lambda line: line[0])
    assert [number for number, *_ in gathered] == list(range(len(recordings))), "a recording is missing or there twice"
    scored = [
        score_utterance(_transcript(recording, *line), decoding.normalizer)
        for recording, (_, *line) in zip(recordings, gathered, strict=True)
    ]
    return LongFormResult(scored, time.perf_counter() - started_s)


def _of_recording(
    transcriber: Transcriber, recording: LongRecording, encoder: LabelEncoder, decoding: Decoding
) -> Transcriber:
    """With the recording's own language and task, or else the run's."""
    if not encoder.languages:
        return transcriber
    first = recording.first
    language = encoder.token_language(first.language) if first.language else decoding.language
    return replace(transcriber, language=language, task=first.task or decoding.task)


def _heard(transcriber: Transcriber, recording: LongRecording, agreement: Agreement) -> tuple[TimedText, str | None]:
    """What the model hears, and why it hears nothing."""
    try:
        return transcriber.transcribe_long(recording.samples(), on_progress=lambda _: agreement.in_time()), None
    except AudioError as error:
        return TimedText("", (), duration_s=recording.duration_s), str(error)


def _transcript(recording: LongRecording, heard: TimedText, problem: str | None) -> Transcript:
    first = recording.first
    return Transcript(
        utterance_id=recording.recording_id,
        duration_s=round(recording.duration_s, 3),
        reference=recording.text,
        hypothesis=heard.text,
        cut_off=heard.cut_off,
        language=first.language,
        source=first.source,
        audio_problem=problem,
        columns=dict(first.columns),
    )
