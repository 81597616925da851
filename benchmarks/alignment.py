"""Long recordings aligned by us and by stable-ts: `python -m benchmarks.alignment DATA MODEL`.

DATA is a folder with `manifest.jsonl` as `benchmarks.long_form` and `benchmarks.alignment_holdouts` read and write it.
The text of each recording is given as one plain text. Prints for each recording and aligner how far the times of known
segments are off, which share of the text came through, and what it took; last, the figures as JSON.

stable-ts (`--aligners stable_ts`) gets the same weights and its defaults. Run it by itself: what it leaves behind makes
decoding slow.
`pip install --no-deps stable-ts openai-whisper tiktoken more-itertools` (all else that it needs here is installed).
"""

import argparse
import importlib.machinery
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import torch

from accel_asr.audio.decoding import decode
from accel_asr.transcription.segments import Segment
from accel_asr.transcription.transcriber import Transcriber
from accel_asr.transcription.transcriber_loading import load_transcriber
from benchmarks.alignment_scores import (
    BoundaryErrors,
    Coverage,
    Truth,
    coverage,
    row_boundary_errors,
    speech_beside_the_text,
    word_boundary_errors,
)
from benchmarks.long_form import RATE_HZ, in_language, known_segments, manifest_records, normalized

LONGEST_ROW_S = 30.0
BATCH = 4


@dataclass(frozen=True)
class Recording:
    """One recording of the manifest."""

    path: Path
    language: str
    truth: Truth


@dataclass(frozen=True)
class Alignment:
    """What an aligner made of one recording: words with times, and the rows that it would train on."""

    words: tuple[Segment, ...]
    rows: tuple[Segment, ...]
    left_out: tuple[str, ...] = ()


Align = Callable[[np.ndarray, str, str], Alignment]  # (samples, text, language)


def read_recordings(folder: Path) -> Iterator[Recording]:
    """The recordings that `folder`'s manifest lists, with what it knows of their times."""
    for known, record in manifest_records(folder):
        strange = known_segments(record, "strange")
        truth = Truth(known.text, known.segments, strange, tuple(record.get("unspoken", ())))
        yield Recording(known.path, known.language, truth)


def ours(transcriber: Transcriber) -> Align:
    """`accel_asr.alignment` as it stands."""
    from accel_asr.alignment.aligning import align_recording

    def align(samples: np.ndarray, text: str, language: str) -> Alignment:
        aligned = align_recording(in_language(transcriber, language), samples, text)
        rows = tuple(Segment(row.start_s, row.end_s, row.text) for row in aligned.rows)
        words = tuple(Segment(word.start_s, word.end_s, word.text) for row in aligned.rows for word in row.words)
        left_out = tuple(
            f"{each.kind} {each.start_s or 0:.2f} to {each.end_s or 0:.2f}: {each.text}" for each in aligned.left_out
        )
        return Alignment(words, rows, left_out)

    return align


def stable_ts(transcriber: Transcriber) -> Align:
    """stable-ts with the same weights. Its rows are its segments, neighbours joined up to 30 s."""
    _without_torchaudio()
    from stable_whisper.whisper_word_level.hf_whisper import WhisperHF

    model = WhisperHF(model_name="", pipeline=SimpleNamespace(model=transcriber.model))

    def align(samples: np.ndarray, text: str, language: str) -> Alignment:
        found = model.align(samples, text, language=language, verbose=None)
        words = tuple(Segment(word.start, word.end, word.word) for word in found.all_words())
        return Alignment(words, tuple(joined([Segment(each.start, each.end, each.text) for each in found.segments])))

    return align


def _without_torchaudio() -> None:
    """stable-ts imports torchaudio, which has wheels for CUDA only, and needs it for options that are not used here."""
    try:
        import torchaudio  # noqa: F401
    except (ImportError, OSError):
        stand_in = ModuleType("torchaudio")
        stand_in.__spec__ = importlib.machinery.ModuleSpec("torchaudio", None)
        sys.modules["torchaudio"] = stand_in


def joined(segments: Sequence[Segment]) -> Iterator[Segment]:
    """Neighbours as one row for as long as it lasts at most 30 s."""
    row: Segment | None = None
    for segment in segments:
        if row and segment.end_s - row.start_s <= LONGEST_ROW_S:
            row = Segment(row.start_s, segment.end_s, f"{row.text} {segment.text.strip()}")
        else:
            if row:
                yield row
            row = replace(segment, text=segment.text.strip())
    if row:
        yield row


def transcripts(transcriber: Transcriber, samples: np.ndarray, rows: Sequence[Segment], language: str) -> list[str]:
    """What the model hears in each row, cut out."""
    clips = [samples[int(row.start_s * RATE_HZ) : int(row.end_s * RATE_HZ)] for row in rows]
    heard: list[str] = []
    for first in range(0, len(clips), BATCH):
        spoken = in_language(transcriber, language).transcribe_short(clips[first : first + BATCH], timed=False)
        heard += [each.text for each in spoken]
    return heard


@dataclass(frozen=True)
class Score:
    """What one aligner made of one recording; the boundary errors are empty where no times are known."""

    words: BoundaryErrors
    rows: BoundaryErrors
    coverage: Coverage
    wall_s: float
    cpu_s: float

    def to_json(self) -> dict[str, Any]:
        """Numbers only."""
        figures = {
            "in_rows": self.coverage.in_rows,
            "heard": self.coverage.heard,
            "spelt": self.coverage.spelt,
            "strange_s": self.coverage.strange_s,
            "strange_in_rows_s": self.coverage.strange_in_rows_s,
            "unspoken": self.coverage.unspoken,
            "unspoken_in_rows": self.coverage.unspoken_in_rows,
            "wall_s": self.wall_s,
            "cpu_s": self.cpu_s,
        }
        for name, errors in (("word", self.words), ("row", self.rows)):
            if len(errors.all_s):
                median_s, p95_s = np.quantile(errors.all_s, [0.5, 0.95])
                figures |= {
                    f"{name}_median_s": median_s,
                    f"{name}_p95_s": p95_s,
                    f"{name}_boundaries": len(errors.all_s),
                }
        return {name: round(float(figure), 4) for name, figure in figures.items() if figure is not None}


def score(
    recording: Recording,
    align: Align,
    transcriber: Transcriber,
    *,
    name: str,
    say: Callable[[str], Any],
    transcribes_rows: bool = True,
) -> Score:
    """Align one recording, score it and print a few lines."""
    samples = decode(recording.path, sampling_rate_hz=RATE_HZ)
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    aligned = align(samples, recording.truth.text, recording.language)
    wall_s, cpu_s = time.perf_counter() - wall_s, time.process_time() - cpu_s
    heard = transcripts(transcriber, samples, aligned.rows, recording.language) if transcribes_rows else None
    scored = Score(
        word_boundary_errors(recording.truth, aligned.words),
        row_boundary_errors(recording.truth, aligned.rows),
        coverage(recording.truth, aligned.rows, heard, normalize=normalized),
        wall_s,
        cpu_s,
    )
    head = f"{name} {recording.path.name}:"
    say(f"{head} {scored.coverage.line()}; {len(aligned.rows)} rows; {cpu_s:.1f} s of CPU, {wall_s:.1f} s")
    if recording.truth.spoken:
        say(f"{head} words at segments: {scored.words.line()}")
        say(f"{head} rows at segments: {scored.rows.line()}")
    for row, wer, cer in scored.coverage.bad_rows:
        rates = f"a WER of {100 * wer:.0f}% and a CER of {100 * cer:.0f}%"
        say(f"{head} row {row.start_s:.2f} to {row.end_s:.2f} has {rates}: {row.text[:100]}")
    for each in aligned.left_out:
        say(f"{head} left out {each}")
    return scored


def listen(recording: Recording, transcriber: Transcriber, say: Callable[[str], Any]) -> None:
    """Print what the model hears that is not in the text."""
    samples = decode(recording.path, sampling_rate_hz=RATE_HZ)
    spoken = in_language(transcriber, recording.language).transcribe_long(samples)
    for span in speech_beside_the_text(recording.truth.text, spoken.segments):
        say(f"heard {recording.path.name}: {span.start_s:.2f} to {span.end_s:.2f}: {span.text}")


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.alignment", description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("model", type=Path)
    parser.add_argument("--only", nargs="+", help="names of files")
    parser.add_argument("--aligners", nargs="+", choices=["ours", "stable_ts"], default=["ours"])
    parser.add_argument("--without_transcripts_of_rows", action="store_true", help="which take half of the time")
    parser.add_argument("--listen", action="store_true", help="print speech that is not in the text, by a transcript")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    transcriber = load_transcriber(str(options.model), device="cpu")
    aligners = {name: {"ours": ours, "stable_ts": stable_ts}[name](transcriber) for name in options.aligners}
    figures: dict[str, dict[str, Any]] = {name: {} for name in aligners}
    for recording in read_recordings(options.data):
        if options.only and recording.path.name not in options.only:
            continue
        if options.listen:
            listen(recording, transcriber, _say)
        for name, align in aligners.items():
            scored = score(
                recording,
                align,
                transcriber,
                name=name,
                say=_say,
                transcribes_rows=not options.without_transcripts_of_rows,
            )
            figures[name][recording.path.name] = scored.to_json()
    _say(json.dumps(figures))


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
