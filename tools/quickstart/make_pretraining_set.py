"""Make the speech that the quickstart's base model is trained on: clean clips by other voices, saying other sentences.

    python -m tools.quickstart.make_pretraining_set --output pretraining.parquet

Columns: path, audio {bytes, path} (FLAC, wide band at 16 kHz or narrow band at 8 kHz), english_transcription. The last
--validation rows are the in-distribution validation part: the same voices, sentences that the other rows do not have.
Not part of the package's data; it exists to be trained on once.
"""

import argparse
import io
import random
import sys
from multiprocessing import Pool
from pathlib import Path

import numpy as np
import soundfile
from datasets import Audio, Features, Value

from tools.quickstart import sentences as grammar
from tools.quickstart import speech
from tools.quickstart.clip_table import write_parquet
from tools.quickstart.voices import PRETRAINING_VOICES, check_voices, draw_delivery

NARROW_BAND_SHARE = 0.75  # a model that knows the wide band alone is lost on a telephone
FEATURES = Features(
    {
        "path": Value("string"),
        "audio": Audio(sampling_rate=speech.WIDE_RATE_HZ),
        "english_transcription": Value("string"),
    }
)


def make_row(job: tuple[int, str, int]) -> dict:
    """Speak one clip; `job` is (row number, text, seed), and decides everything."""
    row_number, text, seed = job
    rng = random.Random(f"{seed} {row_number}")
    delivery = draw_delivery(rng.choice(PRETRAINING_VOICES), rng)
    spoken = speech.speak(text, delivery)
    if rng.random() < NARROW_BAND_SHARE:
        audio, rate_hz = speech.narrow_band(spoken, rng), speech.TELEPHONE_RATE_HZ
    else:
        audio, rate_hz = speech.wide_band(spoken, rng), speech.WIDE_RATE_HZ
    path = f"{delivery.voice}_{row_number:05}.flac"
    audio_bytes = speech.encode(audio, rate_hz, subtype="PCM_16")
    return {"path": path, "audio": {"bytes": audio_bytes, "path": path}, "english_transcription": text}


def main() -> int:
    """Make the set, print what it is. Returns the exit code: 2 for bad input."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, help="the Parquet file to write")
    parser.add_argument("--clips", type=int, default=10_000, help="rows in all (default: 10000)")
    parser.add_argument("--validation", type=int, default=300, help="of them, the last ones: validation (default: 300)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=2)
    arguments = parser.parse_args()
    if not 0 < arguments.validation < arguments.clips:
        parser.error(f"--validation {arguments.validation} must be above 0 and below --clips {arguments.clips}")
    try:
        check_voices(PRETRAINING_VOICES)
        train, validation = grammar.pretraining_sentences(
            arguments.clips - arguments.validation, arguments.validation, seed=arguments.seed
        )
        jobs = [(row_number, sentence.text, arguments.seed) for row_number, sentence in enumerate(train + validation)]
        with Pool(arguments.processes) as pool:
            rows = pool.map(make_row, jobs, chunksize=50)
    except (FileNotFoundError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2

    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    write_parquet(rows, FEATURES, arguments.output)
    report(rows, train, arguments)
    return 0


def report(rows: list[dict], train: list[grammar.Sentence], arguments: argparse.Namespace) -> None:
    """Print what was made."""
    counts = grammar.word_counts(train)
    rare = [word for word in grammar.words_known_before_fine_tuning() if counts[word] < grammar.MIN_WORD_COUNT]
    quickstart = grammar.word_counts([sentence for part in grammar.quickstart_sentences() for sentence in part])
    new = {word: count for word, count in quickstart.items() if counts[word] == 0}
    durations_s = np.array([_duration_s(row) for row in rows])
    shortest_s, mean_s, longest_s = durations_s.min(), durations_s.mean(), durations_s.max()
    print(f"clips                      {len(rows)} ({arguments.validation} validation)")
    rates = f"{speech.TELEPHONE_RATE_HZ} and {speech.WIDE_RATE_HZ} Hz"
    print(f"audio                      {durations_s.sum() / 3600:.2f} h at {rates}")
    print(f"duration                   {shortest_s:.2f} to {longest_s:.2f} s, mean {mean_s:.2f} s")
    print(f"voices                     {len(PRETRAINING_VOICES)}")
    print(f"words                      {counts.total()}, {len({word.lower() for word in counts})} distinct")
    share = f"{sum(new.values())} of the {quickstart.total()} said"
    print(f"the quickstart's words     {len(new)} of {len(quickstart)} never occur: {share}")
    print(f"the others                 {len(rare)} occur less than {grammar.MIN_WORD_COUNT} times {rare[:10]}")
    print(f"{arguments.output}: {arguments.output.stat().st_size / 1e6:.1f} MB")


def _duration_s(row: dict) -> float:
    return soundfile.info(io.BytesIO(row["audio"]["bytes"])).duration


if __name__ == "__main__":
    sys.exit(main())
