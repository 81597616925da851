"""Long recordings by `accel-asr transcribe` and by faster-whisper: `python -m benchmarks.long_form DATA MODEL...`.

DATA is a folder with `manifest.jsonl`: `file`, `text_file`, `language` and, where the times of sentences are known,
`segments` with `start`, `end`, `text`. Prints for each model and recording the word error rate (basic normaliser), the
CPU time from samples to text, and, with segments, how far the transcript's times are from them; last, the rate and CPU
time of all recordings: one after the other, and by accel-asr also side by side.
"""

import argparse
import json
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import torch
from transformers.models.whisper.english_normalizer import BasicTextNormalizer

from accel_asr.audio.decoding import decode
from accel_asr.evaluation.scoring import EditCounts, word_edits
from accel_asr.exporting.ctranslate2_format import convert_to_ctranslate2
from accel_asr.transcription.segments import Segment
from accel_asr.transcription.sequential import LongAudio
from accel_asr.transcription.transcriber import Transcriber
from accel_asr.transcription.transcriber_loading import load_transcriber

RATE_HZ = 16_000
WARM_UP_S = 35  # two windows
Transcribe = Callable[[np.ndarray, str], tuple[str, list[Segment]]]  # (samples, language) -> (text, its segments)
normalized = BasicTextNormalizer()


@dataclass(frozen=True)
class LongRecording:
    """One recording of the manifest; `segments` is empty where its times are not known."""

    path: Path
    language: str
    text: str
    segments: tuple[Segment, ...]


def manifest_records(folder: Path) -> Iterator[tuple[LongRecording, dict[str, Any]]]:
    """The recordings that `folder`'s manifest lists, each with its record there."""
    for line in (folder / "manifest.jsonl").read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        text = (folder / record["text_file"]).read_text(encoding="utf-8")
        yield LongRecording(folder / record["file"], record["language"], text, known_segments(record)), record


def known_segments(record: Mapping[str, Any], column: str = "segments") -> tuple[Segment, ...]:
    """The segments in a column of a record; none where it lacks the column."""
    return tuple(Segment(each["start"], each["end"], each["text"]) for each in record.get(column, ()))


def read_recordings(folder: Path) -> Iterator[LongRecording]:
    """The recordings that `folder`'s manifest lists."""
    return (recording for recording, _ in manifest_records(folder))


def in_language(transcriber: Transcriber, language: str) -> Transcriber:
    """An English-only model takes neither language nor task."""
    return transcriber if transcriber.task is None else replace(transcriber, language=language)


def ours(transcriber: Transcriber) -> Transcribe:
    """`accel-asr transcribe` as it stands."""

    def transcribe(samples: np.ndarray, language: str) -> tuple[str, list[Segment]]:
        spoken = in_language(transcriber, language).transcribe_long(samples)
        return spoken.text, list(spoken.segments)

    return transcribe


def faster_whisper(model_folder: Path, scratch: Path, *, beam_size: int = 1) -> Transcribe:
    """faster-whisper in float32 on the CPU, with its defaults, but greedy as ours."""
    import faster_whisper

    folder = scratch / model_folder.name
    convert_to_ctranslate2(model_folder, folder, quantization="float32")
    (folder / "tokenizer.json").write_bytes((model_folder / "tokenizer.json").read_bytes())
    model = faster_whisper.WhisperModel(str(folder), device="cpu", cpu_threads=torch.get_num_threads())

    def transcribe(samples: np.ndarray, language: str) -> tuple[str, list[Segment]]:
        segments = model.transcribe(samples, language=language, beam_size=beam_size)[0]
        timed = [Segment(each.start, each.end, each.text) for each in segments]
        return " ".join(segment.text for segment in timed), timed

    return transcribe


def edits(recording: LongRecording, text: str) -> EditCounts:
    """Word edits of the normalised texts."""
    counted = word_edits(normalized(recording.text), normalized(text))
    assert counted is not None, f"{recording.path.name} has a text"
    return counted


def start_errors_s(known: Sequence[Segment], heard: Sequence[Segment]) -> np.ndarray:
    """How far off a transcript's times are at the beginning of each known segment, in seconds, shape (segments,).

    The two cut the text at other places. So the first word of each known segment is looked up in the transcript (the
    longest common runs of words), and its time there is taken in proportion to the letters of the segment that it is
    in. Segments whose first word was not heard have no error.
    """
    true_words, true_times_s, is_first = _word_times(known)
    words, times_s, _ = _word_times(heard)
    errors = []
    for block in SequenceMatcher(None, true_words, words, autojunk=False).get_matching_blocks():
        for offset in range(block.size):
            if is_first[block.a + offset]:
                errors.append(abs(times_s[block.b + offset] - true_times_s[block.a + offset]))
    return np.array(errors)


def _word_times(segments: Sequence[Segment]) -> tuple[list[str], list[float], list[bool]]:
    words: list[str] = []
    times_s: list[float] = []
    is_first: list[bool] = []
    for segment in segments:
        own = normalized(segment.text).split()
        letters = sum(len(word) + 1 for word in own)
        before = 0
        for number, word in enumerate(own):
            words.append(word)
            times_s.append(segment.start_s + (segment.end_s - segment.start_s) * before / letters)
            is_first.append(number == 0)
            before += len(word) + 1
    return words, times_s, is_first


@dataclass(frozen=True)
class LongFormScore:
    """Scores of one recording; the time errors are empty where its times are not known.

    Args:
        cpu_s: CPU time of all threads.
    """

    words: EditCounts
    start_errors_s: np.ndarray
    cpu_s: float = 0.0

    @property
    def wer(self) -> float:
        return self.words.errors / self.words.reference_length

    def line(self) -> str:
        """WER, CPU time and, where they are known, the errors of the times."""
        shown = f"WER {100 * self.wer:.2f}% ({self.words.errors} of {self.words.reference_length:,} words)"
        shown += f"; CPU {self.cpu_s:.1f} s"
        if len(self.start_errors_s):
            median_s, p90_s = np.median(self.start_errors_s), np.quantile(self.start_errors_s, 0.9)
            shown += (
                f"; starts of {len(self.start_errors_s)} segments: median error {median_s:.2f} s, 90% {p90_s:.2f} s"
            )
        return shown


def score(recording: LongRecording, transcribe: Transcribe) -> LongFormScore:
    """Transcribe and score one recording."""
    samples = decode(recording.path, sampling_rate_hz=RATE_HZ)
    begun_s = process_time()
    text, segments = transcribe(samples, recording.language)
    cpu_s = process_time() - begun_s
    known = recording.segments
    times_s = start_errors_s(known, segments) if known else np.zeros(0)
    return LongFormScore(edits(recording, text), times_s, cpu_s)


def score_all(
    recordings: Sequence[LongRecording], transcribe: Transcribe, *, name: str, say: Callable[[str], Any] = print
) -> dict[str, LongFormScore]:
    """Score each recording and print a line for each and for all together; by file name."""
    return score_in_turn(recordings, {name: transcribe}, say=say)[name]


def score_in_turn(
    recordings: Sequence[LongRecording], transcribers: Mapping[str, Transcribe], *, say: Callable[[str], Any] = print
) -> dict[str, dict[str, LongFormScore]]:
    """Each recording by each of the transcribers, one after the other; by name and file name."""
    scores: dict[str, dict[str, LongFormScore]] = {name: {} for name in transcribers}
    for recording in recordings:
        for name, transcribe in transcribers.items():
            scores[name][recording.path.name] = score(recording, transcribe)
            say(f"{name} {recording.path.name}: {scores[name][recording.path.name].line()}")
    for name, own in scores.items():
        errors, words = totals(own.values())
        cpu_s = sum(each.cpu_s for each in own.values())
        say(f"{name} all: WER {100 * errors / words:.2f}% ({errors} of {words:,} words); CPU {cpu_s:.1f} s")
    return scores


def totals(scores: Iterable[LongFormScore]) -> tuple[int, int]:
    """(word errors, reference words) of all recordings together."""
    counts = [each.words for each in scores]
    return sum(count.errors for count in counts), sum(count.reference_length for count in counts)


def side_by_side(recordings: Sequence[LongRecording], transcriber: Transcriber) -> tuple[list[str], float]:
    """The texts of the recordings, their windows in the same batches, and the CPU time of it all in seconds."""
    has_languages = transcriber.task is not None
    audio = [
        LongAudio(decode(each.path, sampling_rate_hz=RATE_HZ), language=each.language if has_languages else None)
        for each in recordings
    ]
    begun_s = process_time()
    spoken = dict(transcriber.together(at_once=len(audio)).transcribe(audio))
    cpu_s = process_time() - begun_s
    return [spoken[number].text for number in range(len(audio))], cpu_s


def compare(recordings: Sequence[LongRecording], transcriber: Transcriber, folder: Path, scratch: Path) -> None:
    """Print the scores of one model by both, and how many times faster-whisper's CPU time ours is."""
    alone, beside, theirs = (
        f"{folder.name}, {how}" for how in ("accel-asr", "accel-asr side by side", "faster-whisper")
    )
    transcribers = {alone: ours(transcriber), theirs: faster_whisper(folder, scratch)}
    first = decode(recordings[0].path, sampling_rate_hz=RATE_HZ)[: WARM_UP_S * RATE_HZ]
    for transcribe in transcribers.values():
        transcribe(first, recordings[0].language)
    scores = score_in_turn(recordings, transcribers, say=_say)
    texts, cpu_s = side_by_side(recordings, transcriber)
    counts = [edits(recording, text) for recording, text in zip(recordings, texts, strict=True)]
    errors, words = sum(each.errors for each in counts), sum(each.reference_length for each in counts)
    _say(f"{beside} all: WER {100 * errors / words:.2f}% ({errors} of {words:,} words); CPU {cpu_s:.1f} s")
    cpu_alone_s, cpu_theirs_s = (sum(each.cpu_s for each in scores[name].values()) for name in (alone, theirs))
    _say(
        f"{folder.name}: times faster-whisper's CPU time: {cpu_alone_s / cpu_theirs_s:.2f} for one recording after the "
        f"other, {cpu_s / cpu_theirs_s:.2f} for all side by side"
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.long_form", description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("models", type=Path, nargs="+")
    parser.add_argument("--only", nargs="+", help="names of files")
    parser.add_argument("--beside_faster_whisper", action="store_true")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    recordings = [each for each in read_recordings(options.data) if not options.only or each.path.name in options.only]
    for folder in options.models:
        transcriber = load_transcriber(str(folder), device="cpu")
        fitting = [each for each in recordings if transcriber.task is not None or each.language == "en"]
        if options.beside_faster_whisper:
            with tempfile.TemporaryDirectory() as scratch:
                compare(fitting, transcriber, folder, Path(scratch))
        else:
            score_all(fitting, ours(transcriber), name=f"{folder.name}, accel-asr", say=_say)


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    main()
