"""Make the quickstart's clips: 563 telephone calls to a bank, synthesised, in the columns of PolyAI/minds14 en-US.

    python -m tools.quickstart.make_clips --output accel_asr/quickstart/clips.parquet

Rows 0..449 are training, 450..562 validation: other sentences, and every second one by a voice that training does not
have. The audio is OGG Opus at 8 kHz.
"""

import argparse
import io
import random
import sys
from pathlib import Path

import numpy as np
import soundfile
from datasets import Audio, ClassLabel, Features, Value

from accel_asr.quickstart import CLIPS_PARQUET
from tools.quickstart import sentences as grammar
from tools.quickstart import speech, voices
from tools.quickstart.clip_table import write_parquet
from tools.quickstart.templates import INTENTS

LOCALES = [
    *("cs-CZ", "de-DE", "en-AU", "en-GB", "en-US", "es-ES", "fr-FR"),
    *("it-IT", "ko-KR", "nl-NL", "pl-PL", "pt-PT", "ru-RU", "zh-CN"),
]  # MINDS-14's, in its order
FEATURES = Features(
    {
        "path": Value("string"),
        "audio": Audio(sampling_rate=speech.TELEPHONE_RATE_HZ),
        "transcription": Value("string"),
        "english_transcription": Value("string"),
        "intent_class": ClassLabel(names=list(INTENTS)),
        "lang_id": ClassLabel(names=LOCALES),
    }
)
OPUS_COMPRESSION_LEVEL = 0.95  # soundfile's scale, 0 (largest) to 1; about 20 kbit/s


def make_row(row_number: int, sentence: grammar.Sentence, voice: str, rng: random.Random) -> dict:
    """Speak one clip, send it down the line, encode it."""
    audio = speech.telephone(speech.speak(sentence.text, voices.draw_delivery(voice, rng)), rng)
    locale = voices.locale_of(voice)
    path = f"{locale}~{sentence.intent.upper()}/{voice}_{row_number:04}.ogg"
    audio_bytes = speech.encode(
        audio, speech.TELEPHONE_RATE_HZ, subtype="OPUS", compression_level=OPUS_COMPRESSION_LEVEL
    )
    return {
        "path": path,
        "audio": {"bytes": audio_bytes, "path": path},
        "transcription": sentence.text,
        "english_transcription": sentence.text,
        "intent_class": INTENTS.index(sentence.intent),
        "lang_id": LOCALES.index(locale),
    }


def main() -> int:
    """Make the clips, print what they are. Returns the exit code: 2 for bad input."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--output", type=Path, default=CLIPS_PARQUET, help="the Parquet file to write (default: the package's own)"
    )
    parser.add_argument("--seed", type=int, default=grammar.QUICKSTART_SEED, help="of voices, speeds, noise (not text)")
    arguments = parser.parse_args()
    try:
        voices.check_voices(voices.QUICKSTART_TRAIN_VOICES + voices.QUICKSTART_VALIDATION_ONLY_VOICES)
        train, validation = grammar.quickstart_sentences()
        dealing_rng = random.Random(arguments.seed)
        train_voices, validation_voices = voices.quickstart_voices(len(train), len(validation), dealing_rng)
        spoken = zip(train + validation, train_voices + validation_voices, strict=True)
        rows = [
            make_row(row_number, sentence, voice, random.Random(f"{arguments.seed} {row_number}"))
            for row_number, (sentence, voice) in enumerate(spoken)
        ]
    except (FileNotFoundError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2

    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    write_parquet(rows, FEATURES, arguments.output)
    parts = {"train": rows[: len(train)], "validation": rows[len(train) :]}
    print(
        f"{'part':<12}{'clips':>7}{'minutes':>9}{'shortest':>10}{'longest':>9}{'voices':>8}{'words':>7}{'distinct':>10}"
    )
    for name, part in (parts | {"both": rows}).items():
        print_summary(name, part)
    print(f"{arguments.output}: {arguments.output.stat().st_size / 1e6:.2f} MB")
    return 0


def print_summary(name: str, rows: list[dict]) -> None:
    """Print one line of the table; the durations are the decoded clips'."""
    durations_s = np.array([soundfile.info(io.BytesIO(row["audio"]["bytes"])).duration for row in rows])
    names = {row["path"].split("/")[1].rsplit("_", 1)[0] for row in rows}
    words = [word for row in rows for word in row["transcription"].lower().split()]
    print(
        f"{name:<12}{len(rows):>7}{durations_s.sum() / 60:>9.2f}{durations_s.min():>8.2f} s{durations_s.max():>7.2f} s"
        f"{len(names):>8}{len(words):>7}{len(set(words)):>10}"
    )


if __name__ == "__main__":
    sys.exit(main())
