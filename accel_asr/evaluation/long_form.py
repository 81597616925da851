"""Recordings longer than the model's window: transcribed from window to window, and scored as a whole."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list, gather_object
from transformers import WhisperForConditionalGeneration, WhisperProcessor

from accel_asr.audio.decoding import AudioError
from accel_asr.data.labels import LabelEncoder
from accel_asr.data.selection.long_recordings import LongRecording
from accel_asr.evaluation.decoding_settings import Decoding
from accel_asr.evaluation.intervals import rate_intervals
from accel_asr.evaluation.long_form_faults import LongFormFaults, Stretch, find_faults
from accel_asr.evaluation.scoring import TRANSLATE, ScoredUtterance, Transcript, corpus_score, score_utterance
from accel_asr.model.silence_merging import KeyBias
from accel_asr.model.written_tokens import TimedWords
from accel_asr.ranks.agreement import Agreement
from accel_asr.transcription.segments import TimedText
from accel_asr.transcription.sequential import LongAudio
from accel_asr.transcription.transcriber import Transcriber

MOST_EXAMPLES = 10  # of each kind of fault
SHORTEST_WINDOW_S = 10.0  # in a shorter one many sentences do not end, and the next window begins after a whole one
_WINDOWS_ASKED = 8
_OF_ROW = ("keywords", "block", "block_column", "references")


@dataclass(frozen=True)
class LongFormResult:
    """What a model made of long recordings.

    Args:
        scored: Each recording as one utterance.
        faults: Of each.
        seconds: Wall time on this rank.
    """

    scored: list[ScoredUtterance]
    faults: list[LongFormFaults]
    seconds: float

    def record(self) -> dict[str, Any]:
        """The numbers as metrics.jsonl and summary.json hold them; `wer_interval` is resampled by recording.

        `loop_words` are those after the first time, `missing_words` those that were deleted. The error of segment
        times is None where no true time is known.
        """
        score = corpus_score(self.scored)
        loops = [loop for faults in self.faults for loop in faults.loops]
        missing = [stretch for faults in self.faults for stretch in faults.missing]
        errors_s = [error_s for faults in self.faults for error_s in faults.boundary_errors_s]
        middle_s, high_s = np.percentile(errors_s, [50, 95]).round(3).tolist() if errors_s else (None, None)
        return {
            "wer": score.wer,
            "wer_interval": list(rate_intervals(self.scored)["wer"]),
            "substitutions": score.substitutions,
            "deletions": score.deletions,
            "insertions": score.insertions,
            "reference_words": score.reference_words,
            "recordings": len(self.scored),
            "audio_seconds": round(sum(line.transcript.duration_s for line in self.scored), 3),
            "unreadable": score.unreadable,
            "cut_off": score.cut_off,
            **_counted("loop", loops),
            **_counted("missing", missing),
            "boundaries": len(errors_s),
            "boundary_error_s": middle_s,
            "boundary_error_95_s": high_s,
            "seconds": round(self.seconds, 2),
            "examples": {
                name: [
                    stretch.to_json()
                    for stretch in sorted(stretches, key=lambda stretch: -stretch.words)[:MOST_EXAMPLES]
                ]
                for name, stretches in (("loops", loops), ("missing", missing))
            },
        }


def _counted(name: str, stretches: Sequence[Stretch]) -> dict[str, Any]:
    plural = {"loop": "loops"}.get(name, name)
    return {
        plural: len(stretches),
        f"{name}_words": sum(stretch.words for stretch in stretches),
        f"{name}_s": round(sum(stretch.seconds for stretch in stretches), 2),
    }


def score_long_recordings(
    model: WhisperForConditionalGeneration,
    recordings: Sequence[LongRecording],
    decoding: Decoding,
    *,
    processor: WhisperProcessor,
    encoder: LabelEncoder,
    accelerator: Accelerator,
    agreement: Agreement | None = None,
    on_recording: Callable[[], object] = lambda: None,
) -> LongFormResult:
    """Transcribe each recording sequentially and score it. Every rank must call this; all get the same result.

    The recordings are shared out over the ranks, the longest first. A rank holds no more of them than it decodes side
    by side; on a CPU what it writes does not depend on which ones.

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
    transcriber = Transcriber(model, processor, num_beams=decoding.num_beams, fallback=decoding.fallback)
    mine = longest_first[accelerator.process_index :: accelerator.num_processes]
    heard: list[_Heard] = []
    was_training = model.training
    model.eval()
    KeyBias.of_model(model).of_batch = None  # long recordings have whole windows
    try:
        with accelerator.autocast():
            for result in _heard(
                transcriber, recordings, mine, encoder=encoder, decoding=decoding, agreement=agreement
            ):
                heard.append(result)
                on_recording()
    finally:
        model.train(was_training)
    while not agreement.all_done(is_done=True):
        pass
    gathered = sorted(gather_object(heard), key=lambda line: line[0])
    assert [number for number, *_ in gathered] == list(range(len(recordings))), "a recording is missing or there twice"
    scored, faults = [], []
    for recording, (_, written, problem) in zip(recordings, gathered, strict=True):
        transcript = _transcript(recording, written, problem, task=decoding.task)
        scored.append(score_utterance(transcript, decoding.normalizer))
        timed = recording.timed
        said = timed or [TimedWords(recording.text, 0.0, recording.duration_s)]
        name = recording.recording_id
        faults.append(find_faults(name, said, written.segments, decoding.normalizer, is_timed=bool(timed)))
    return LongFormResult(scored, faults, time.perf_counter() - started_s)


def why_not_long(
    model: WhisperForConditionalGeneration,
    recordings: Sequence[LongRecording],
    *,
    processor: WhisperProcessor,
    encoder: LabelEncoder,
    accelerator: Accelerator,
) -> str | None:
    """Why a model can't go from window to window: by the times that it writes it says where the next one begins.

    It is asked for the first token of some windows; one that has learnt times writes a time there. Every rank must call
    this, and gets the answer of the main process.

    Returns:
        The reason; None for a model that can.
    """
    extractor = processor.feature_extractor
    window_s = extractor.n_samples / extractor.sampling_rate
    if window_s < SHORTEST_WINDOW_S:
        return f"the model's window of {window_s:g} s is too short for whole sentences"
    if getattr(model.generation_config, "no_timestamps_token_id", None) is None:
        return "the model has no tokens for times"
    clips = [*islice(_first_windows(recordings, samples=extractor.n_samples), _WINDOWS_ASKED)]
    if not clips:
        return "none of the long recordings can be decoded"
    features = extractor(clips, sampling_rate=extractor.sampling_rate, return_tensors="pt")
    first = recordings[0].first
    start = encoder.prefix(first.language, first.task)[:-1]  # without <|notimestamps|>
    was_training = model.training
    model.eval()
    with torch.no_grad(), accelerator.autocast():
        hidden = model.model(
            features.input_features.to(accelerator.device),
            decoder_input_ids=torch.tensor([start] * len(clips), device=accelerator.device),
        ).last_hidden_state[:, -1]
        logits = model.proj_out(hidden)
    model.train(was_training)
    logits[:, encoder.no_timestamps_id] = -torch.inf
    timed = int((logits.argmax(dim=-1) >= encoder.first_timestamp_id).sum())
    is_timed = broadcast_object_list([2 * timed >= len(clips)])[0]
    return None if is_timed else "the model has not learnt to write times"


_Heard = tuple[int, TimedText, str | None]  # (number of a recording, what the model hears, why it hears nothing)


def _heard(
    transcriber: Transcriber,
    recordings: Sequence[LongRecording],
    numbers: Sequence[int],
    *,
    encoder: LabelEncoder,
    decoding: Decoding,
    agreement: Agreement,
) -> Iterator[_Heard]:
    """The recordings of these numbers, each with its own language and task, or else the run's."""
    together = transcriber.together(at_once=decoding.batch_size)
    for number in numbers:
        recording = recordings[number]
        try:
            samples = recording.samples()
        except AudioError as error:
            yield number, TimedText("", (), duration_s=recording.duration_s), str(error)
            continue
        first, language, task = recording.first, None, None
        if encoder.languages:
            language = encoder.token_language(first.language) if first.language else decoding.language
            task = first.task or decoding.task
        if transcriber.is_long(samples):
            audio = LongAudio(samples, language=language, task=task, on_progress=lambda _: agreement.in_time())
            yield from ((done, written, None) for done, written in together.add(number, audio))
        else:  # a guard may have such rows among others
            own = replace(transcriber, language=language, task=task)
            yield number, own.transcribe_short([samples], timed=True)[0], None
    while together.is_busy:
        yield from ((done, written, None) for done, written in together.step())


def _transcript(recording: LongRecording, heard: TimedText, problem: str | None, *, task: str | None) -> Transcript:
    first = recording.first
    # of joined clips, each has its own
    of_row = {name: getattr(first, name) for name in _OF_ROW} if len(recording.utterances) == 1 else {}
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
        task=TRANSLATE if (first.task or task) == TRANSLATE else None,
        **of_row,
    )


def _first_windows(recordings: Sequence[LongRecording], *, samples: int) -> Iterator[np.ndarray]:
    """The beginning of each recording that can be decoded, float32, shape (samples,)."""
    for recording in recordings:
        with suppress(AudioError):
            yield recording.samples()[:samples]
