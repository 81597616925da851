"""CTranslate2: converted by its own converter, run by faster-whisper, or directly where faster-whisper can't."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from transformers import WhisperForConditionalGeneration, WhisperProcessor, WhisperTokenizer

from accel_asr.exporting.decoding_arguments import ctranslate2_max_length, read_settings
from accel_asr.exporting.exported_model import Clip, ExportedModel
from accel_asr.model.folder.generation_settings import is_multilingual
from accel_asr.model.spelling import Spelling

FASTER_WHISPER_FRAMES = 3000  # pad_or_trim in faster_whisper/audio.py has no other
FASTER_WHISPER_POSITIONS = 448


def convert_to_ctranslate2(model_folder: Path, folder: Path, *, quantization: str) -> None:
    """Convert a Hugging Face model folder; writes model.bin, config.json and vocabulary.json to a new `folder`."""
    from ctranslate2.converters import TransformersConverter

    TransformersConverter(str(model_folder)).convert(str(folder), quantization=quantization)
    config_file = folder / "config.json"
    config = json.loads(config_file.read_text(encoding="utf-8"))
    for name in ("suppress_ids", "suppress_ids_begin"):
        config[name] = config[name] or []  # CTranslate2 can't load the null of a model that suppresses nothing
    config_file.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def why_not_faster_whisper(
    model: WhisperForConditionalGeneration, processor: WhisperProcessor, *, seems_multilingual: bool
) -> str | None:
    """Why faster-whisper can't run this model although CTranslate2 can; None when it can.

    Args:
        seems_multilingual: Whether CTranslate2 takes the model for a multilingual one, by the size of its vocabulary;
            faster-whisper gives language and task to such a model only.
    """
    frames = processor.feature_extractor.nb_max_frames
    if frames != FASTER_WHISPER_FRAMES:
        return f"it pads every clip to {FASTER_WHISPER_FRAMES} frames, and this model takes {frames}"
    if is_multilingual(model.generation_config) != seems_multilingual:
        taken_for, is_really = (
            ("multilingual", "English-only") if seems_multilingual else ("English-only", "multilingual")
        )
        tokens = model.config.vocab_size
        return f"by its vocabulary of {tokens:,} tokens it would take this model for {taken_for}, and it is {is_really}"
    if model.config.max_target_positions < FASTER_WHISPER_POSITIONS:
        return (
            f"it counts on {FASTER_WHISPER_POSITIONS} decoder positions, and this model has "
            f"{model.config.max_target_positions}"
        )
    return None


class FasterWhisper:
    """A converted folder in faster-whisper, with the arguments of the folder, as its users run it."""

    def __init__(self, folder: Path, *, window_samples: int, threads: int) -> None:
        import ctranslate2
        import faster_whisper

        self._model = faster_whisper.WhisperModel(str(folder), cpu_threads=threads, local_files_only=True)
        self._settings = read_settings(folder)
        self._window_samples = window_samples
        self.runtime = (
            f"faster-whisper {faster_whisper.__version__}, CTranslate2 {ctranslate2.__version__}, "
            f"{self._model.model.compute_type} on {self._model.model.device}"
        )

    def transcribe(self, clip: Clip) -> tuple[str, list[int]]:
        """(text, token ids) of one clip."""
        prompt_tokens = len(clip.start_ids)
        settings: dict[str, Any] = self._settings | {
            "max_new_tokens": ctranslate2_max_length(prompt_tokens, clip.max_new_tokens) - prompt_tokens
        }
        if clip.language is not None:
            settings |= {"language": clip.language, "task": clip.task}
        if clip.previous_ids:
            settings["initial_prompt"] = list(clip.previous_ids)
        # faster-whisper would pad the log-mel features with a constant that no silence has
        padded = np.pad(clip.samples, (0, max(0, self._window_samples - len(clip.samples))))
        segments = list(self._model.transcribe(padded, **settings)[0])
        return "".join(segment.text for segment in segments).strip(), [
            token for segment in segments for token in segment.tokens
        ]


class DirectCTranslate2:
    """A converted folder in CTranslate2's own Whisper, on the log-mel features of transformers."""

    def __init__(self, folder: Path, *, threads: int, why: str) -> None:
        import ctranslate2

        self._storage_view = ctranslate2.StorageView
        self._model = ctranslate2.models.Whisper(str(folder), device="auto", intra_threads=threads)
        self._settings = read_settings(folder)
        self._spelling = Spelling(WhisperTokenizer.from_pretrained(folder))
        self.why = why
        self.runtime = f"CTranslate2 {ctranslate2.__version__}, {self._model.compute_type} on {self._model.device}"

    def transcribe(self, clip: Clip) -> tuple[str, list[int]]:
        """(text, token ids) of one clip."""
        settings = self._settings["generate"] | {
            "max_length": ctranslate2_max_length(len(clip.start_ids), clip.max_new_tokens)
        }
        features = self._storage_view.from_array(np.ascontiguousarray(clip.features[None]))
        token_ids = self._model.generate(features, [list(clip.start_ids)], **settings)[0].sequences_ids[0]
        return self._spelling.text(token_ids), token_ids


def is_multilingual_by_size(folder: Path) -> bool:
    """Whether CTranslate2 takes a converted model for a multilingual one."""
    import ctranslate2

    # float32: else it warns of each type that this machine does not have
    return ctranslate2.models.Whisper(str(folder), device="cpu", compute_type="float32").is_multilingual


def open_ctranslate2(
    folder: Path, *, window_samples: int, threads: int, why_not_faster_whisper: str | None
) -> ExportedModel:
    """The converted model in faster-whisper, or in CTranslate2 alone where that can't run it."""
    if why_not_faster_whisper is None:
        return FasterWhisper(folder, window_samples=window_samples, threads=threads)
    return DirectCTranslate2(folder, threads=threads, why=why_not_faster_whisper)
