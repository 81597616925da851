"""Long recordings after tuning on sentences and on stitched rows: `python -m benchmarks.stitching DATA MODEL OUTPUT`.

DATA is a folder as for `benchmarks.long_form`. MODEL is tuned in OUTPUT on the first 15 minutes of the recording with
segments there, for as many steps and about as much audio in a step: on the segments one by one, and with
`training.pack: recordings`. Prints the WER of the tuned and of the untouched model on the rest of that recording and on
others, and how far the times of segments are off in the rest. A run that is there already is not made again.
"""

import argparse
import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import soundfile
import torch

from accel_asr.audio.decoding import decode
from accel_asr.transcription.segments import Segment
from accel_asr.transcription.transcriber_loading import load_transcriber
from benchmarks.long_form import RATE_HZ, LongFormScore, LongRecording, ours, read_recordings, score_all, totals

TRAINED_S = 900.0
OTHERS = ("address-2017.mp3", "address-2018.mp3", "udhr-en.mp3")
SENTENCES_OF_WINDOW = 4  # of 30 s
SENTENCES = ("--training.audio_context", "merged")
RUNS = {
    "sentences": SENTENCES,
    "sentences with times": (*SENTENCES, "--data.timestamps_probability", "0.5"),
    "stitched": ("--training.pack", "recordings"),
}


def main() -> None:
    """Train what is not there yet, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stitching", description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("model")
    parser.add_argument("output", type=Path)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--windows", type=int, default=2, help="of a step, and four times as many sentences")
    parser.add_argument("--runs", nargs="+", choices=RUNS, default=["sentences", "stitched"])
    parser.add_argument("--threads", type=int, default=1)
    options, settings = parser.parse_known_args()
    torch.set_num_threads(options.threads)
    options.output.mkdir(parents=True, exist_ok=True)
    recordings = list(read_recordings(options.data))
    with_times = next(each for each in recordings if each.segments)
    rest = write_rows_and_rest(with_times, options.output)
    scored = [rest, *(each for each in recordings if each.path.name in OTHERS)]
    results = {}
    for name in ["nothing", *options.runs]:
        model = options.model
        if name in RUNS:
            run = options.output / name.replace(" ", "_")
            model = str(run / "last")
            if not (run / "last").exists():
                tune(name, options.model, run, *settings, steps=options.steps, windows=options.windows)
        transcribe = ours(load_transcriber(model, device="cpu"))
        results[name] = score_all(scored, transcribe, name=name, say=_say)
    _say("\n".join(table(results)))


def write_rows_and_rest(recording: LongRecording, output: Path, *, until_s: float = math.inf) -> LongRecording:
    """Write `train.jsonl` and `dev.jsonl`, rows of the beginning and of the rest; returns the rest as a recording.

    Args:
        until_s: Where the rest ends.
    """
    parts = {
        "train": [each for each in recording.segments if each.end_s <= TRAINED_S],
        "dev": [each for each in recording.segments if TRAINED_S < each.end_s <= until_s],
    }
    for name, segments in parts.items():
        rows = [
            {"audio": str(recording.path.resolve()), "start": each.start_s, "end": each.end_s, "text": each.text}
            for each in segments
        ]
        lines = "".join(f"{json.dumps(row)}\n" for row in rows)
        (output / f"{name}.jsonl").write_text(lines, encoding="utf-8")
    from_s = parts["dev"][0].start_s
    to_s = None if math.isinf(until_s) else parts["dev"][-1].end_s
    samples = decode(recording.path, sampling_rate_hz=RATE_HZ, start_s=from_s, end_s=to_s)
    path = output / f"{recording.path.stem}-rest.wav"
    soundfile.write(path, samples, RATE_HZ)
    heard = tuple(Segment(each.start_s - from_s, each.end_s - from_s, each.text) for each in parts["dev"])
    return replace(recording, path=path, text=" ".join(each.text for each in heard), segments=heard)


def tune(name: str, model: str, run: Path, *settings: str, steps: int, windows: int) -> None:
    """Train for `steps` as `RUNS` has that name, on the rows beside the run's folder, and score once at the end."""
    batch_size = windows if name == "stitched" else SENTENCES_OF_WINDOW * windows
    given = {
        "model.name_or_path": model,
        "data.name_or_path": str(run.parent / "train.jsonl"),
        "data.eval_name_or_path": str(run.parent / "dev.jsonl"),
        "data.allow_outside_paths": "true",
        "training.max_steps": str(steps),
        "training.per_device_train_batch_size": str(batch_size),
        "evaluation.eval_on_start": "false",
        "evaluation.eval_steps": str(steps),
        "evaluation.long_form": "none",
        "output_dir": str(run),
    }
    arguments = [part for name, value in given.items() for part in (f"--{name}", value)]
    subprocess.run([sys.executable, "-m", "accel_asr", "train", *arguments, *RUNS[name], *settings], check=True)


def table(results: dict[str, dict[str, LongFormScore]]) -> list[str]:
    """A row for each model: WER of each recording and of all, and the errors of the starts of segments."""
    names = list(next(iter(results.values())))
    lines = [f"| tuned on | {' | '.join(names)} | all | starts: median | 95% |", "|---" * (len(names) + 4) + "|"]
    for model, scores in results.items():
        errors, words = totals(scores.values())
        wers = [f"{100 * score.wer:.2f}%" for score in scores.values()]
        errors_s = np.concatenate([score.start_errors_s for score in scores.values()])
        times = [f"{np.median(errors_s):.2f} s", f"{np.quantile(errors_s, 0.95):.2f} s ({len(errors_s)} segments)"]
        lines.append(f"| {' | '.join([model, *wers, f'{100 * errors / words:.2f}%', *times])} |")
    return lines


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    main()
