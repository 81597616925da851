"""preprocessor_config.json, or its section in processor_config.json: do the features fit the encoder?"""

from collections.abc import Mapping
from typing import Any

from accel_asr.model.folder.configuration import is_count, setting
from accel_asr.model.folder.folder_files import ModelFiles, UnfitFileError, read_json

SAMPLING_RATE_HZ, HOP_LENGTH, N_FFT = 16_000, 160, 400  # fixed in every Whisper and every program that runs it
POSITIONS_PER_SECOND = SAMPLING_RATE_HZ // HOP_LENGTH // 2  # the encoder's second convolution halves the frames
FRONTEND = {"sampling_rate": SAMPLING_RATE_HZ, "hop_length": HOP_LENGTH, "n_fft": N_FFT}
DEFAULTS: dict[str, Any] = {"feature_size": 80, "chunk_length": 30, **FRONTEND, "padding_value": 0.0, "dither": 0.0}
EXTRACTOR = "WhisperFeatureExtractor"
PREPROCESSOR, PROCESSOR = "preprocessor_config.json", "processor_config.json"


def read_audio_settings(files: ModelFiles) -> tuple[str, dict[str, Any]]:
    """(file that holds them, the settings that transformers uses).

    Raises:
        UnfitFileError: there are none, or the file can't be used.
    """
    sections = read_json(files, PROCESSOR) or {}
    plain = read_json(files, PREPROCESSOR)
    nested = sections.get("feature_extractor", sections.get("audio_processor"))
    if isinstance(nested, dict):
        return PROCESSOR, nested
    if nested is not None:
        raise UnfitFileError(f"{PROCESSOR}: its feature_extractor is not an object ({{...}}); get the file again")
    if plain is None:
        raise UnfitFileError(
            f"there is no {PREPROCESSOR} (nor {PROCESSOR} with a feature_extractor); copy it from the base model"
        )
    return PREPROCESSOR, plain


def audio_problems(place: str, settings: Mapping[str, Any], config: Mapping[str, Any], files: ModelFiles) -> list[str]:
    """What does not fit the model.

    Args:
        place: The file that holds `settings`.
        config: config.json, with the sizes of the weights.
    """
    problems = []
    kind = settings.get("feature_extractor_type", EXTRACTOR)
    if kind != EXTRACTOR:
        problems.append(f"{place}: feature_extractor_type is {kind!r}, and a Whisper needs {EXTRACTOR}")
    bins, mels = settings.get("feature_size", DEFAULTS["feature_size"]), setting(config, "num_mel_bins")
    if bins != mels or not is_count(bins):
        problems.append(
            f"{place}: feature_size is {bins!r}, and the model hears {mels} mel bins (num_mel_bins); set feature_size "
            f"to {mels}"
        )
    for name, needed in FRONTEND.items():
        if (value := settings.get(name, needed)) != needed or not is_count(value):
            problems.append(f"{place}: {name} is {value!r}, and {needed} in every Whisper; set it to {needed}")
    window_s, rest = divmod(setting(config, "max_source_positions"), POSITIONS_PER_SECOND)
    length_s = settings.get("chunk_length", DEFAULTS["chunk_length"])
    if rest:
        problems.append(
            f"config.json: max_source_positions is {setting(config, 'max_source_positions')}, not a whole number of "
            f"seconds ({POSITIONS_PER_SECOND} positions each); take it from the base model"
        )
    elif length_s != window_s or not is_count(length_s):
        problems.append(
            f"{place}: chunk_length is {length_s!r}, and the model's window is {window_s} s (max_source_positions "
            f"{setting(config, 'max_source_positions')}); set chunk_length to {window_s}"
        )
    for name in ("padding_value", "dither"):
        if (value := settings.get(name, 0)) != 0 or isinstance(value, bool):
            problems.append(f"{place}: {name} is {value!r}, which changes the features; set it to 0.0")
    if not isinstance(value := settings.get("return_attention_mask") or False, bool):
        problems.append(f"{place}: return_attention_mask is {value!r}; give true or false")
    if settings.get("padding_side", "right") != "right":
        problems.append(f"{place}: padding_side is {settings['padding_side']!r}; set it to right")
    return problems + _contradictions(place, settings, files)


def _contradictions(place: str, settings: Mapping[str, Any], files: ModelFiles) -> list[str]:
    """transformers reads the one file and faster-whisper the other."""
    other = read_json(files, PREPROCESSOR) if place == PROCESSOR else None
    if other is None:
        return []
    different = [
        f"{name} {settings.get(name, default)!r} and {other.get(name, default)!r}"
        for name, default in DEFAULTS.items()
        if settings.get(name, default) != other.get(name, default)
    ]
    if not different:
        return []
    return [
        f"{PROCESSOR} and {PREPROCESSOR} contradict each other ({'; '.join(different)}); make them equal, since "
        "transformers reads the first and faster-whisper the second"
    ]
