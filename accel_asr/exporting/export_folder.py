"""The folder of an exported model: converted weights, decoding arguments, tokenizer, README.md and export.json."""

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import WhisperForConditionalGeneration, WhisperProcessor

from accel_asr.errors import UserError
from accel_asr.exporting import ctranslate2_format, decoding_arguments, ggml_format, onnx_format
from accel_asr.exporting.export_formats import versions
from accel_asr.exporting.export_readme import readme_text
from accel_asr.exporting.exported_model import ExportedModel
from accel_asr.files.atomic_writes import write_json
from accel_asr.model import pretrained as modeling

ONNX, GGML = "onnx", "ggml"
EXPORT_FILE, README_FILE = "export.json", "README.md"
NOT_COPIED = ("model.safetensors", "config.json", "README.md")  # CTranslate2 has a config.json of its own


@dataclass(frozen=True)
class Converted:
    """A converted model: how to run it (a key of `HOW_TO_USE`), and why faster-whisper can't, if so."""

    use: str
    why_not_faster_whisper: str | None = None


def require_runnable(
    model: WhisperForConditionalGeneration, processor: WhisperProcessor, *, export_format: str
) -> None:
    """Raises: UserError: the other runtime can't run this model at all."""
    why_not = ggml_format.why_not_whisper_cpp(model, processor) if export_format == GGML else None
    if why_not is not None:
        problem = f"whisper.cpp can't run this model: {why_not}"
        raise UserError(problem, setting="--format", value=GGML, remedy="give ctranslate2 or onnx")


def limit_tokens(model: WhisperForConditionalGeneration, *, export_format: str) -> list[str]:
    """Limit `model` to as many tokens for a clip as the other runtime can make; returns notes for the user."""
    settings = model.generation_config
    if export_format == ONNX:
        return []
    runtime, most = ("CTranslate2", decoding_arguments.MOST_CTRANSLATE2_TOKENS)
    if export_format == GGML:
        runtime, most = ("whisper.cpp", ggml_format.MOST_TOKENS)
    if settings.max_new_tokens <= most:
        return []
    before, settings.max_new_tokens = settings.max_new_tokens, most
    return [f"{runtime} makes at most {most} tokens for a clip; compared so, not with {before}"]


def write_converted(
    model: WhisperForConditionalGeneration,
    processor: WhisperProcessor,
    folder: Path,
    *,
    export_format: str,
    quantization: str,
) -> Converted:
    """Fill `folder`, which must exist, with all but README.md and export.json. `model` must be on the CPU."""
    if export_format == GGML:  # a single file holds tokenizer and weights
        ggml_format.write_ggml(model, processor, folder / ggml_format.MODEL_FILE)
        write_json(folder / decoding_arguments.SETTINGS_FILE, decoding_arguments.ggml_settings(model))
        return Converted("whisper.cpp")
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as temporary:
        source, output = Path(temporary) / "source", Path(temporary) / "converted"
        modeling.save_model_folder(model, processor, source)
        for path in source.iterdir():
            if not path.name.startswith("model") and path.name not in NOT_COPIED:
                shutil.copyfile(path, folder / path.name)
        if export_format == ONNX:
            shutil.copyfile(source / "config.json", folder / "config.json")
            onnx_format.convert_to_onnx(model, folder)
            converted = Converted(ONNX)
            settings = decoding_arguments.onnx_settings(model, processor)
        else:
            ctranslate2_format.convert_to_ctranslate2(source, output, quantization=quantization)
            for path in output.iterdir():
                path.rename(folder / path.name)
            why_not = ctranslate2_format.why_not_faster_whisper(
                model, processor, seems_multilingual=ctranslate2_format.is_multilingual_by_size(folder)
            )
            converted = Converted("ctranslate2" if why_not else "faster-whisper", why_not)
            start_ids = list(processor.tokenizer.prefix_tokens)
            if why_not is None:
                settings = decoding_arguments.faster_whisper_settings(model, prompt_tokens=len(start_ids))
            else:
                arguments = decoding_arguments.ctranslate2_settings(model, prompt_tokens=len(start_ids))
                settings = {"start_ids": start_ids, "generate": arguments}
    write_json(folder / decoding_arguments.SETTINGS_FILE, settings)
    return converted


def open_converted(folder: Path, converted: Converted, *, processor: WhisperProcessor, threads: int) -> ExportedModel:
    """Load what `write_converted` wrote."""
    if converted.use == ONNX:
        return onnx_format.Onnx(folder, threads=threads)
    if converted.use == "whisper.cpp":
        return ggml_format.WhisperCpp(folder, processor=processor, threads=threads)
    return ctranslate2_format.open_ctranslate2(
        folder,
        window_samples=processor.feature_extractor.n_samples,
        threads=threads,
        why_not_faster_whisper=converted.why_not_faster_whisper,
    )


def export_record(
    *,
    model_name: str,
    revision: str | None,
    export_format: str,
    quantization: str,
    runtime: str,
    why_not_faster_whisper: str | None,
    language: str | None,
    data: str,
    normalizer: str,
    parity: Mapping[str, Any],
) -> dict[str, Any]:
    """The content of export.json."""
    return {
        "model": model_name,
        "revision": revision,
        "format": export_format,
        "quantization": quantization,
        "runtime": runtime,
        "why_not_faster_whisper": why_not_faster_whisper,
        "language": language,
        "data": data,
        "normalizer": normalizer,
        "decoding": "greedy, one pass",
        "parity": dict(parity),
        "versions": versions(export_format),
    }


def write_description(folder: Path, record: Mapping[str, Any], *, use: str, processor: WhisperProcessor) -> None:
    """Write README.md and export.json."""
    extractor = processor.feature_extractor
    requirements = {
        "faster-whisper": "faster-whisper",
        "ctranslate2": "ctranslate2",
        "onnx": "onnxruntime",
        "whisper.cpp": "pywhispercpp",
    }
    text = readme_text(
        record,
        use=use,
        requirements=requirements[use],
        settings=decoding_arguments.SETTINGS_FILE,
        sampling_rate_hz=extractor.sampling_rate,
        window_samples=extractor.n_samples,
        window_s=extractor.n_samples / extractor.sampling_rate,
        why_not_faster_whisper=record["why_not_faster_whisper"],
    )
    (folder / README_FILE).write_text(text, encoding="utf-8")
    write_json(folder / EXPORT_FILE, record)
