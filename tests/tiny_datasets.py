"""A dataset in the shape of PolyAI/minds14 whose speech is tones: each of a dozen words has its own frequency.

So a clip determines its words, and a model can learn them. The Parquet files are written with pyarrow alone, because
`datasets` cannot encode audio without torchcodec; the column types that it reads from them are real.
"""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import soundfile as sf

SAMPLE_RATE_HZ = 8_000  # telephone speech, as in MINDS-14
WORD_S = 0.12
GAP_S = 0.04
ENGLISH_TO_GERMAN = {
    "account": "Konto",
    "balance": "Stand",
    "card": "Karte",
    "money": "Geld",
    "my": "mein",
    "pay": "zahlen",
    "please": "bitte",
    "send": "senden",
    "the": "die",
    "to": "an",
    "transfer": "Überweisung",
    "what": "was",
}
WORDS = tuple(ENGLISH_TO_GERMAN)
TONES_HZ = {word: 300.0 + 150.0 * index for index, word in enumerate(WORDS)}  # 300 to 1950 Hz

# the labels of the real dataset, in its order
# fmt: off
SUBSETS = [
    "cs-CZ", "de-DE", "en-AU", "en-GB", "en-US", "es-ES", "fr-FR",
    "it-IT", "ko-KR", "nl-NL", "pl-PL", "pt-PT", "ru-RU", "zh-CN",
]
INTENTS = [
    "abroad", "address", "app_error", "atm_limit", "balance", "business_loan", "card_issues",
    "cash_deposit", "direct_debit", "freeze", "high_value_payment", "joint_account", "latest_transactions", "pay_bill",
]
# fmt: on


def tone_clip(words: list[str], *, sampling_rate_hz: int = SAMPLE_RATE_HZ) -> np.ndarray:
    """The words spoken as tones, one after another: float32, (samples,), `WORD_S + GAP_S` seconds for each word."""
    time_s = np.arange(round(WORD_S * sampling_rate_hz)) / sampling_rate_hz
    envelope = np.hanning(len(time_s))  # no clicks
    gap = np.zeros(round(GAP_S * sampling_rate_hz))
    pieces = [piece for word in words for piece in (envelope * np.sin(2 * np.pi * TONES_HZ[word] * time_s), gap)]
    return 0.5 * np.concatenate([gap, *pieces]).astype(np.float32)


def wav_bytes(samples: np.ndarray, *, sampling_rate_hz: int = SAMPLE_RATE_HZ) -> bytes:
    """The samples as a 16-bit WAV file."""
    buffer = io.BytesIO()
    sf.write(buffer, samples, sampling_rate_hz, format="WAV", subtype="PCM_16")
    return buffer.getvalue()


def tone_utterances(
    rows: int, *, seed: int = 0, words_min: int = 2, words_max: int = 8
) -> list[tuple[list[str], np.ndarray]]:
    """`rows` pairs of words and their clip at 8 kHz, 0.36 to 1.32 s by default; equal arguments give equal pairs."""
    generator = np.random.default_rng(seed)
    spoken = [
        [str(word) for word in generator.choice(WORDS, size=generator.integers(words_min, words_max + 1))]
        for _ in range(rows)
    ]
    return [(words, tone_clip(words)) for words in spoken]


def make_minds14_like(
    folder: str | Path, rows: int = 24, *, other_rows: int = 6, seed: int = 0, words_min: int = 2, words_max: int = 8
) -> Path:
    """Write a repository like PolyAI/minds14 to `folder` and return it.

    Subset en-US has `rows` rows, de-DE `other_rows` (German `transcription`, English `english_transcription`), each in
    one Parquet file with the one split `train`; README.md names the subsets, as on the Hub.
    """
    folder = Path(folder)
    sizes = {"en-US": rows, "de-DE": other_rows}
    for subset, size in sizes.items():
        utterances = tone_utterances(size, seed=seed + SUBSETS.index(subset), words_min=words_min, words_max=words_max)
        _write_parquet(folder / subset / "train-00000-of-00001.parquet", subset, utterances)
    configs = "".join(
        f"- config_name: {subset}\n  data_files:\n  - split: train\n    path: {subset}/train-*.parquet\n"
        for subset in sizes
    )
    (folder / "README.md").write_text(
        f"---\nlicense: cc-by-4.0\nconfigs:\n{configs}---\n\n# MINDS-14\n", encoding="utf-8"
    )
    return folder


def make_scripted_minds14(folder: str | Path, rows: int = 24, *, other_rows: int = 6, seed: int = 0) -> dict[str, Path]:
    """The same dataset as it looks where `main` still holds a loading script: a folder for each revision.

    `main` has minds14.py, which `datasets` refuses; `refs/convert/parquet` has the copy that the Hub makes by itself:
    `<subset>/train/0000.parquet`, and no README to tell the subsets apart.
    """
    main, converted = Path(folder) / "main", Path(folder) / "converted"
    main.mkdir(parents=True)
    (main / "README.md").write_text("---\nlicense: cc-by-4.0\n---\n\n# MINDS-14\n", encoding="utf-8")
    (main / "minds14.py").write_text("raise AssertionError('code from a dataset was run')\n", encoding="utf-8")
    for subset, size in {"en-US": rows, "de-DE": other_rows}.items():
        utterances = tone_utterances(size, seed=seed + SUBSETS.index(subset))
        _write_parquet(converted / subset / "train" / "0000.parquet", subset, utterances)
    return {"main": main, "refs/convert/parquet": converted}


def _write_parquet(path: Path, subset: str, utterances: list[tuple[list[str], np.ndarray]]) -> None:
    rows = [_row(subset, index, words, clip) for index, (words, clip) in enumerate(utterances)]
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, schema=_schema()), path)


def _row(subset: str, index: int, words: list[str], clip: np.ndarray) -> dict[str, Any]:
    intent = index % len(INTENTS)
    path = f"{subset}~{INTENTS[intent].upper()}/{index:05d}.wav"
    english = " ".join(words).capitalize()
    return {
        "path": path,
        "audio": {"bytes": wav_bytes(clip), "path": path},
        "transcription": english if subset.startswith("en-") else " ".join(ENGLISH_TO_GERMAN[word] for word in words),
        "english_transcription": english,
        "intent_class": intent,
        "lang_id": SUBSETS.index(subset),
    }


def _schema() -> pa.Schema:
    """The columns, with the types that `datasets` reads from the "huggingface" entry of a Parquet file's metadata."""
    text = {"dtype": "string", "_type": "Value"}
    features = {
        "path": text,
        "audio": {"sampling_rate": SAMPLE_RATE_HZ, "_type": "Audio"},
        "transcription": text,
        "english_transcription": text,
        "intent_class": {"names": INTENTS, "_type": "ClassLabel"},
        "lang_id": {"names": SUBSETS, "_type": "ClassLabel"},
    }
    columns = [
        ("path", pa.string()),
        ("audio", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
        ("transcription", pa.string()),
        ("english_transcription", pa.string()),
        ("intent_class", pa.int64()),
        ("lang_id", pa.int64()),
    ]
    return pa.schema(columns, metadata={"huggingface": json.dumps({"info": {"features": features}})})
