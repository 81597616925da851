"""Real Whisper on real clips: from_pretrained, pipeline, evaluation and `accel-asr transcribe` agree to the letter."""

import json
from collections.abc import Iterator
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from tests.adapter_folders import make_adapter
from tests.conftest import forget_accelerate

pytestmark = [pytest.mark.realmodel, pytest.mark.realdata]

MULTILINGUAL = [  # (file, language)
    *((f"picovoice-leopard/test_{code}.wav", code) for code in ("de", "es", "fr", "it", "ja", "ko", "pt")),
    ("picovoice-leopard/test.wav", "en"),
    ("stt-smoke/ru.wav", "ru"),
]
ENGLISH = [
    "openai-whisper/jfk.flac",
    "picovoice-leopard/test.wav",
    "picovoice-cheetah/test_en.wav",
    "stt-smoke/LDC93S1.flac",
    "ljspeech-coqui-tts/LJ001-0001.mp3",
]
MAX_TOKENS = 100


@pytest.fixture(autouse=True)
def accelerate_forgotten() -> Iterator[None]:
    forget_accelerate()
    yield
    forget_accelerate()


def test_four_ways_give_the_same_transcripts_in_nine_languages(
    whisper_base: Path, realdata: Path, tmp_path: Path
) -> None:
    texts = all_ways(whisper_base, [(realdata / name, code) for name, code in MULTILINGUAL], tmp_path)
    assert len(set(texts.values())) == len(MULTILINGUAL)
    assert "客観" in texts["test_ja"]


def test_four_ways_give_the_same_transcripts_in_english(whisper_tiny_en: Path, realdata: Path, tmp_path: Path) -> None:
    texts = all_ways(whisper_tiny_en, [(realdata / name, None) for name in ENGLISH], tmp_path)
    assert texts["jfk"].startswith("And so my fellow Americans ask not what your country can do for you")


def test_an_adapter_transcribes_as_the_model_that_it_is_merged_into(
    whisper_tiny_en: Path, realdata: Path, tmp_path: Path
) -> None:
    """By plain peft, random, and large enough to be heard."""
    import peft
    from transformers import WhisperForConditionalGeneration, WhisperProcessor

    config = peft.LoraConfig(r=8, lora_alpha=16, target_modules="all-linear")
    adapter = make_adapter(whisper_tiny_en, tmp_path / "adapter", config, size=0.012)
    model = WhisperForConditionalGeneration.from_pretrained(whisper_tiny_en, dtype="float32")
    merged = peft.PeftModel.from_pretrained(model, str(adapter)).merge_and_unload()
    merged.save_pretrained(tmp_path / "merged")
    WhisperProcessor.from_pretrained(whisper_tiny_en).save_pretrained(tmp_path / "merged")
    clips: list[tuple[Path, str | None]] = [(realdata / name, None) for name in ENGLISH[:1]]
    texts = by_transcribe(adapter, clips)
    assert texts == by_transcribe(tmp_path / "merged", clips)
    assert texts != by_transcribe(whisper_tiny_en, clips)
    assert "fellow Americans" in texts[0]


def all_ways(model: Path, clips: list[tuple[Path, str | None]], tmp_path: Path) -> dict[str, str]:
    """The transcript of each clip by the name of its file, once all four ways have given the same."""
    evaluated = by_evaluation(model, clips, tmp_path)
    for way in (by_from_pretrained, by_pipeline, by_transcribe):
        assert way(model, clips) == evaluated, way.__name__
    return {path.stem: text for (path, _), text in zip(clips, evaluated, strict=True)}


def samples_of(path: Path) -> Any:
    from accel_asr.audio.decoding import decode

    return decode(path, sampling_rate_hz=16_000)


def options(code: str | None) -> dict[str, Any]:
    # the pipeline's default is five beams where the folder names none; ours is one
    return {"max_new_tokens": MAX_TOKENS, "num_beams": 1} | ({"language": code, "task": "transcribe"} if code else {})


def by_from_pretrained(model: Path, clips: list[tuple[Path, str | None]]) -> list[str]:
    from transformers import WhisperForConditionalGeneration, WhisperProcessor

    processor = WhisperProcessor.from_pretrained(model)
    whisper = WhisperForConditionalGeneration.from_pretrained(model)
    texts = []
    for path, code in clips:
        features = processor(samples_of(path), sampling_rate=16_000, return_tensors="pt").input_features
        ids = whisper.generate(features, **options(code))
        texts.append(processor.batch_decode(ids, skip_special_tokens=True)[0].strip())
    return texts


def by_pipeline(model: Path, clips: list[tuple[Path, str | None]]) -> list[str]:
    from transformers import pipeline

    recognize = pipeline("automatic-speech-recognition", model=str(model), device="cpu")
    return [recognize(samples_of(path), generate_kwargs=options(code))["text"].strip() for path, code in clips]


def by_transcribe(model: Path, clips: list[tuple[Path, str | None]]) -> list[str]:
    from accel_asr.commands import transcribe

    texts = []
    for code in dict.fromkeys(code for _, code in clips):
        files = [str(path) for path, own in clips if own == code]
        language = [] if code is None else ["--language", code]
        with redirect_stdout(StringIO()) as out:
            assert (
                transcribe.main(["--model", str(model), "--device", "cpu", "--format", "json", *language, *files]) == 0
            )
        spoken = [json.loads(line) for line in out.getvalue().splitlines()]
        texts += [(each["file"], each["text"]) for each in spoken]
    by_file = dict(texts)
    return [by_file[str(path)] for path, _ in clips]


def by_evaluation(model: Path, clips: list[tuple[Path, str | None]], tmp_path: Path) -> list[str]:
    from accel_asr.commands import evaluate_command

    rows = [{"audio": str(path), "text": "reference", **({"language": code} if code else {})} for path, code in clips]
    (tmp_path / "clips.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    arguments = [
        *("--model", str(model), "--dataset", str(tmp_path / "clips.jsonl"), "--data.allow_outside_paths", "true"),
        *(
            "--evaluation.generation_max_length",
            str(MAX_TOKENS),
            "--output_dir",
            str(tmp_path / "scores"),
            "--no_silence",
        ),
    ]
    assert evaluate_command.main(arguments) in (0, None)
    (table,) = (tmp_path / "scores").rglob("*.jsonl")
    scored = [json.loads(line) for line in table.read_text(encoding="utf-8").splitlines()]
    return [row["hypothesis"] for row in scored]
