"""The limits a model sets for audio and labels, from the small files of its folder: no weights, no torch."""

from dataclasses import dataclass, field
from pathlib import Path

from transformers import WhisperTokenizer
from transformers.utils import logging

from accel_asr.config.settings import ModelConfig
from accel_asr.data.labels import LabelEncoder
from accel_asr.errors import UserError
from accel_asr.model.folder.adapter_folder import Place
from accel_asr.model.folder.examination import examine
from accel_asr.model.folder.folder_files import raise_hub_problem
from accel_asr.model.folder.generation_settings import is_multilingual
from accel_asr.model.languages import language_name, language_of_labels
from accel_asr.model.spelling import require_spelling
from accel_asr.quickstart import model_source


@dataclass(frozen=True)
class ModelLimits:
    """`window_s` is the length of the encoder's window; `encoder` has the run's language and task.

    `language` is the run's own, as a code; None where each row must have one. `notes`: what of the model is not used.
    """

    sampling_rate_hz: int
    window_s: float
    encoder: LabelEncoder
    language: str | None
    notes: list[str] = field(default_factory=list)


def load_model_limits(model: ModelConfig, *, language_of_rows: bool) -> ModelLimits:
    """Read the limits that training would have, from a local folder, the Hub, or the embedded quickstart.

    Args:
        language_of_rows: Rows may have a language, so `model.language` is optional.

    Raises:
        UserError: not found, not a consistent Whisper model, or the Hub can't be reached; a language or task that it
            doesn't support.
    """
    examined = examine(model_source(model.name_or_path), name=model.name_or_path, revision=model.revision)
    tokenizer = _load_tokenizer(examined.tokenizer_at, name=model.name_or_path)
    generation = examined.generation
    require_spelling(tokenizer, model_name=model.name_or_path)
    has_languages = is_multilingual(generation)
    language = language_of_labels(
        model.language,
        model.task,
        is_multilingual=has_languages,
        lang_to_id=generation.get("lang_to_id"),
        language_of_rows=language_of_rows,
        stand_ins=model.language_stand_ins,
    )
    if has_languages:
        # as in training: where only rows have a language, theirs replaces this one in every label
        tokenizer.set_prefix_tokens(language=language or "en", task=model.task, predict_timestamps=False)
    return ModelLimits(
        sampling_rate_hz=int(examined.audio.get("sampling_rate", 16_000)),
        window_s=float(examined.audio.get("chunk_length", 30)),
        encoder=LabelEncoder(
            tokenizer,
            max_label_tokens=int(examined.config.get("max_target_positions", 448)),
            stand_ins=model.language_stand_ins,
        ),
        language=language_name(model.language) if language and model.language else language,
        notes=examined.notes,
    )


def _load_tokenizer(place: Place, *, name: str) -> WhisperTokenizer:
    logging.set_verbosity_error()
    try:
        tokenizer = WhisperTokenizer.from_pretrained(place.source, revision=place.revision)
    except Exception as error:  # transformers and tokenizers raise anything on a damaged file
        if not Path(place.source).exists():
            raise_hub_problem(name, error)
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise UserError(
            f"its tokenizer can't be loaded ({reason})", setting="--model.name_or_path", value=name
        ) from error
    return tokenizer
