"""`accel-asr transcribe --model FOLDER_OR_NAME FILE...`: print what is said in audio files of any length."""

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from transformers import WhisperForConditionalGeneration, WhisperProcessor


def build_parser() -> argparse.ArgumentParser:
    """The command's options."""
    parser = argparse.ArgumentParser(prog="accel-asr transcribe", description=__doc__, allow_abbrev=False)
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="audio that soundfile reads")
    parser.add_argument(
        "--model", required=True, help="model folder, such as runs/quickstart/best, or a name on the Hub"
    )
    parser.add_argument("--revision", help="branch, tag or commit of a model on the Hub")
    parser.add_argument(
        "--language", help="language spoken; unset is the one that the model was tuned for, or detected"
    )
    parser.add_argument(
        "--format", choices=("text", "json"), default="text", help="json: one object a line (default text)"
    )
    return parser


def main(arguments: list[str]) -> int:
    """Transcribe each file. A bad one gets a line on stderr, and exit code 1 after the others are done.

    Raises:
        UserError: the model can't be loaded, or does not know the language.
    """
    options = build_parser().parse_args(arguments)
    import torch

    from accel_asr import modeling
    from accel_asr.data.decoding.audio import AudioError, decode

    modeling.quiet_libraries()
    model, processor = modeling.load_model_and_processor(options.model, revision=options.revision)
    language = modeling.language_code(model, options.language) if options.language else None
    device = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else torch.device("cpu")
    model.to(device).eval()
    failed = 0
    for file in options.files:
        try:
            samples = decode(file, sampling_rate_hz=processor.feature_extractor.sampling_rate)
        except AudioError as error:
            print(f"error: {file}: {error}", file=sys.stderr)
            failed += 1
            continue
        text = transcribe_samples(samples, model=model, processor=processor, language=language)
        if options.format == "json":
            duration_s = len(samples) / processor.feature_extractor.sampling_rate
            line = json.dumps({"file": str(file), "duration_s": round(duration_s, 3), "text": text}, ensure_ascii=False)
        else:
            line = f"{file}: {text}" if len(options.files) > 1 else text
        print(line, flush=True)
    return 1 if failed else 0


def transcribe_samples(
    samples: "np.ndarray",
    *,
    model: "WhisperForConditionalGeneration",
    processor: "WhisperProcessor",
    language: str | None = None,
) -> str:
    """What is said in one recording of any length; beyond the model's window by transformers' long-form generation.

    Args:
        samples: float32, mono, at the processor's rate, shape (samples,).
        language: A code that overrides the model's own setting.
    """
    extractor = processor.feature_extractor
    is_long = len(samples) > extractor.n_samples
    inputs = extractor(
        samples,
        sampling_rate=extractor.sampling_rate,
        truncation=not is_long,
        padding="longest" if is_long else "max_length",
        return_attention_mask=True,
        return_tensors="pt",
    ).to(model.device)
    options = {"language": language, "task": model.generation_config.task or "transcribe"} if language else {}
    # long-form generation needs timestamps: it goes on where the last whole segment of a window ended
    generated = model.generate(**inputs, return_timestamps=is_long, **options)
    return processor.batch_decode(generated, skip_special_tokens=True)[0].strip()
