"""What a model allows its data to be, and its labels, from the small files of its folder: no weights, no torch."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import WhisperTokenizer
from transformers.utils import logging

from accel_asr.config import ModelConfig
from accel_asr.data.labels import LabelEncoder, language_of_labels
from accel_asr.data.quickstart import BASE_MODEL_DIR, QUICKSTART
from accel_asr.data.tokenizer_probe import require_fitting_tokenizer
from accel_asr.errors import UserError


@dataclass(frozen=True)
class ModelLimits:
    """`window_s` is the most that the encoder hears at once; `encoder` is told the run's language and task.

    `language` is the run's own, as a code; None where each row must have one.
    """

    sampling_rate_hz: int
    window_s: float
    encoder: LabelEncoder
    language: str | None


def load_model_limits(model: ModelConfig, *, language_of_rows: bool) -> ModelLimits:
    """Read what training would be bound by, from a local folder, the Hub, or the embedded quickstart.

    Args:
        language_of_rows: Rows may say what is spoken, so that `model.language` need not.

    Raises:
        UserError: not found, not a Whisper model, or the Hub can't be reached; a language or task that it can't do.
    """
    files = {name: _read(model, name) for name in ("config.json", "generation_config.json")}
    kind = files["config.json"].get("model_type")
    if kind != "whisper":
        raise UserError(f"model.name_or_path: {model.name_or_path!r} is of type {kind!r} and no Whisper model")
    extractor = _read(model, "preprocessor_config.json", instead=("processor_config.json", "feature_extractor"))
    tokenizer = _load_tokenizer(model)
    generation = files["generation_config.json"]
    require_fitting_tokenizer(
        tokenizer,
        model_name=model.name_or_path,
        generation=generation,
        start_token_id=files["config.json"].get("decoder_start_token_id"),
        vocabulary_size=int(files["config.json"].get("vocab_size", 51_865)),
    )
    is_multilingual = generation.get("is_multilingual", True)
    language = language_of_labels(
        model.language,
        model.task,
        is_multilingual=is_multilingual,
        lang_to_id=generation.get("lang_to_id"),
        language_of_rows=language_of_rows,
    )
    if is_multilingual:
        # as in training: where only rows say what is spoken, theirs take the place of this one in every label
        tokenizer.set_prefix_tokens(language=language or "en", task=model.task, predict_timestamps=False)
    return ModelLimits(
        sampling_rate_hz=int(extractor.get("sampling_rate", 16_000)),
        window_s=float(extractor.get("chunk_length", 30)),
        encoder=LabelEncoder(tokenizer, max_label_tokens=int(files["config.json"].get("max_target_positions", 448))),
        language=language,
    )


def _load_tokenizer(model: ModelConfig) -> WhisperTokenizer:
    logging.set_verbosity_error()
    try:
        tokenizer = WhisperTokenizer.from_pretrained(_source(model), revision=model.revision)
    except (OSError, ValueError, RuntimeError, TypeError) as error:
        raise UserError(_problem(model, str(error))) from error
    return tokenizer


def _source(model: ModelConfig) -> str:
    return str(BASE_MODEL_DIR) if model.name_or_path == QUICKSTART else model.name_or_path


def _read(model: ModelConfig, name: str, *, instead: tuple[str, str] | None = None) -> dict[str, Any]:
    """One JSON file of the model; or the section of the other file that `instead` names, which newer folders have.

    Raises:
        UserError: it can't be had.
    """
    folder = Path(_source(model))
    try:
        if folder.is_dir():
            path = folder / name
        else:
            from huggingface_hub import hf_hub_download

            path = Path(hf_hub_download(model.name_or_path, name, revision=model.revision))
        found = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(found, dict):
            raise ValueError(f"{name} holds no object")
    except (OSError, ValueError) as error:  # those of the Hub's client are OSErrors and ValueErrors
        if instead is not None and isinstance(error, OSError):
            other, section = instead
            return dict(_read(model, other).get(section, {}))
        raise UserError(_problem(model, str(error))) from error
    return found


def _problem(model: ModelConfig, reason: str) -> str:
    """As loading the whole model words it."""
    name, reason = model.name_or_path, " ".join(reason.split())
    if Path(_source(model)).exists():
        return f"model.name_or_path: {name!r} is not a folder with a Whisper model and its processor ({reason})"
    return (
        f"model.name_or_path: {name!r} is not a local folder, and the Hugging Face Hub did not give it ({reason}); "
        "check the name and the network, or give --model.name_or_path <folder>, or try the embedded quickstart "
        "(--config quickstart), which needs no network"
    )
