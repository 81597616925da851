"""The arguments with which each runtime decodes as `generate` does here, in a file of the exported folder."""

import json
from pathlib import Path
from typing import Any

from transformers import WhisperForConditionalGeneration, WhisperProcessor

from accel_asr.model.folder.generation_settings import is_multilingual

SETTINGS_FILE = "transcribe_settings.json"
MOST_CTRANSLATE2_TOKENS = 224  # CTranslate2 makes at most half of max_length, and faster-whisper gives it at most 448


def ctranslate2_max_length(prompt_tokens: int, max_new_tokens: int) -> int:
    """The `max_length` with which CTranslate2's Whisper makes `max_new_tokens` tokens.

    It makes min(max_length // 2, max_length - (prompt_tokens - 1)), measured with 4.8.5.
    """
    return max(2 * max_new_tokens, max_new_tokens + prompt_tokens - 1)


def faster_whisper_settings(model: WhisperForConditionalGeneration, *, prompt_tokens: int) -> dict[str, Any]:
    """Arguments of faster-whisper's `transcribe` for one greedy pass.

    By default it searches with 5 beams, retries at higher temperatures, drops what it takes for silence, and chooses
    tokens to suppress.
    """
    generation = model.generation_config
    multilingual = is_multilingual(generation)
    return {
        "language": generation.language if multilingual else "en",
        "task": generation.task if multilingual else "transcribe",
        "beam_size": 1,
        "temperature": 0.0,
        "compression_ratio_threshold": None,
        "log_prob_threshold": None,
        "no_speech_threshold": None,
        "condition_on_previous_text": False,
        "without_timestamps": True,
        "vad_filter": False,
        "suppress_tokens": generation.suppress_tokens or None,
        "suppress_blank": bool(generation.begin_suppress_tokens),
        "max_new_tokens": ctranslate2_max_length(prompt_tokens, generation.max_new_tokens) - prompt_tokens,
    }


def ctranslate2_settings(model: WhisperForConditionalGeneration, *, prompt_tokens: int) -> dict[str, Any]:
    """Arguments of `ctranslate2.models.Whisper.generate` for one greedy pass."""
    generation = model.generation_config
    return {
        "beam_size": 1,
        "suppress_tokens": generation.suppress_tokens or None,
        "suppress_blank": bool(generation.begin_suppress_tokens),
        "max_length": ctranslate2_max_length(prompt_tokens, generation.max_new_tokens),
    }


def ggml_settings(model: WhisperForConditionalGeneration) -> dict[str, Any]:
    """Arguments of pywhispercpp's `Model` and its `transcribe` for one greedy pass."""
    generation = model.generation_config
    return {
        "model": {"print_progress": False, "print_realtime": False, "print_timestamps": False},
        "transcribe": {
            "language": (generation.language if is_multilingual(generation) else None) or "en",
            "no_timestamps": True,
            "single_segment": True,
            "no_context": True,
            "temperature": 0.0,
            "temperature_inc": 0.0,
            "greedy": {"best_of": 1},
            "entropy_thold": -1e9,
            "logprob_thold": -1e9,
            "no_speech_thold": 1e9,
            "suppress_blank": bool(generation.begin_suppress_tokens),
            "suppress_nst": bool(generation.suppress_tokens),
        },
    }


def onnx_settings(model: WhisperForConditionalGeneration, processor: WhisperProcessor) -> dict[str, Any]:
    """Settings for the greedy loop in the folder."""
    generation = model.generation_config
    return {
        "start_ids": list(processor.tokenizer.prefix_tokens),
        "end_of_text_id": model.config.eos_token_id,
        "suppress_tokens": list(generation.suppress_tokens or ()),
        "begin_suppress_tokens": list(generation.begin_suppress_tokens or ()),
        "max_new_tokens": generation.max_new_tokens,
    }


def read_settings(folder: Path) -> dict[str, Any]:
    """The arguments in an exported folder."""
    return json.loads((folder / SETTINGS_FILE).read_text(encoding="utf-8"))
