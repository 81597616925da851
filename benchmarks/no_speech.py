"""What clips without speech do to a model, and what they cost: `python -m benchmarks.no_speech MODEL OUTPUT SETTINGS`.

Trains MODEL twice for as many steps, in OUTPUT: without such clips, and with `data.no_speech_fraction`. Prints what the
untouched model and both tuned ones write for the clips without speech of `accel-asr evaluate`, how many
utterances got no word, and the difference in WER with its paired interval. SETTINGS are those of a run, such as
`--data.name_or_path`.
"""

import argparse
import subprocess
import sys
from collections import Counter
from pathlib import Path

import torch
from accelerate import Accelerator

from accel_asr.config.command_line import parse_config
from accel_asr.evaluation.comparing import compare
from accel_asr.evaluation.no_speech import score_no_speech
from accel_asr.evaluation.run_files import read_record, read_scored
from accel_asr.run.loaded_model import load_model


def main() -> None:
    """Train twice, and print the comparison."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.no_speech", description=__doc__)
    parser.add_argument("model")
    parser.add_argument("output", type=Path)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--fraction", type=float, default=0.1)
    options, settings = parser.parse_known_args()
    settings += ["--model.name_or_path", options.model, "--training.max_steps", str(options.steps)]
    settings += ["--evaluation.eval_steps", str(options.steps)]
    runs = {"speech alone": options.output / "without", "with clips without speech": options.output / "with"}
    for run, fraction in zip(runs.values(), (0.0, options.fraction), strict=True):
        own = ["--output_dir", str(run), "--data.no_speech_fraction", str(fraction)]
        subprocess.run([sys.executable, "-m", "accel_asr", "train", *settings, *own], check=True)
    models = {"untouched": options.model} | {name: str(run / "last") for name, run in runs.items()}
    for name, model in models.items():
        _say(f"{name}: {_heard_in_silence(model, settings)}")
    last = {name: read_record(run / "summary.json")["last"] for name, run in runs.items()}
    scored = {name: read_scored(run, last[name]) for name, run in runs.items()}
    for name in runs:
        without_words = sum(not utterance.transcript.hypothesis for utterance in scored[name])
        rate = 100 * last[name]["wer"]
        _say(f"{name}: WER {rate:.2f}%, no word for {without_words} of {len(scored[name])} utterances")
    wer = compare(*scored.values()).differences["wer"]
    low, high = (100 * bound for bound in wer.interval)
    _say(
        f"difference in WER by clips without speech: {100 * wer.difference:+.2f} points ({low:+.2f} to {high:+.2f}, "
        f"95%, paired by {len(scored['speech alone'])} utterances)"
    )


def _heard_in_silence(model: str, settings: list[str]) -> str:
    """In how many clips words were heard, and which."""
    config = parse_config([*settings, "--model.name_or_path", model])
    loaded = load_model(config.model, config.evaluation, language_of_rows=False, device=torch.device("cpu"))
    heard = score_no_speech(
        loaded.model,
        loaded.processor,
        loaded.encoder,
        loaded.decoding,
        accelerator=Accelerator(cpu=True),
        collator=loaded.collator,
    ).record()
    wrote = ", ".join(f"{text!r} x {count}" for text, count in Counter(heard["written"].values()).most_common(5))
    return f"words for {heard['with_words']} of {heard['clips']} clips without speech" + (f": {wrote}" if wrote else "")


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    main()
