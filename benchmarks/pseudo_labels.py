"""Does a small model learn from what a larger one writes? Word error rates of one model: as it is, tuned on
pseudo-labels of the training recordings, and tuned on their true texts; all with the same settings and steps.

python benchmarks/pseudo_labels.py DATA --teacher openai/whisper-base --student openai/whisper-tiny.en --output_dir OUT

DATA is a folder with a manifest.jsonl of file, text and split, as the recipe learner_english takes. The teacher sees
the recordings of split train alone, and no text. `--keep` passes filters on to `accel-asr transcribe`.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from accel_asr.evaluation.intervals import Difference, paired_difference
from accel_asr.evaluation.scoring import ScoredUtterance, corpus_score, score_utterance
from accel_asr.evaluation.scoring import Transcript as Written

TRAIN = ["--config", "learner_english", "--tracking.report_to", "[]", "--evaluation.long_form", "none"]
TRAIN += ["--evaluation.no_speech", "false", "--evaluation.eval_steps", "100000"]
MERGED = ["--evaluation.audio_context", "merged"]


def main() -> None:
    """Do all of it and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--teacher", required=True)
    parser.add_argument("--student", required=True)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--keep", nargs=argparse.REMAINDER, default=[], help="filters, such as --min_avg_logprob -0.5")
    parser.add_argument("--output_dir", type=Path, required=True)
    options = parser.parse_args()
    data, out = options.data.resolve(), options.output_dir.resolve()
    rows = [json.loads(line) for line in (data / "manifest.jsonl").read_text(encoding="utf-8").splitlines()]
    true_texts = {row["file"]: row["text"] for row in rows if row["split"] == "train"}
    write_labels(data, list(true_texts), out / "labels", teacher=options.teacher, filters=options.keep)
    print(about_labels(out / "labels", data, true_texts))

    common = [*TRAIN, *MERGED, "--model.name_or_path", options.student, "--training.max_steps", str(options.steps)]
    on_true = ["--data.name_or_path", str(data)]
    on_pseudo = ["--data.name_or_path", str(out / "labels" / "manifest.jsonl"), "--data.audio_column", "audio"]
    on_pseudo += ["--data.allow_outside_paths", "true", "--data.eval_name_or_path", str(out / "test.jsonl")]
    with (out / "test.jsonl").open("w", encoding="utf-8") as file:
        file.writelines(
            json.dumps(row | {"audio": str(data / row["file"])}) + "\n" for row in rows if row["split"] == "test"
        )
    scored: dict[str, list[ScoredUtterance]] = {}
    for name, source in (("pseudo", on_pseudo), ("true", on_true)):
        run("train", *common, *source, "--output_dir", str(out / name))
        scored["untuned"], *_, scored[name] = (
            read_scored(path) for path in sorted((out / name / "evaluations").glob("step-*.jsonl"))
        )
    print(figures(scored))


def write_labels(data: Path, files: list[str], out: Path, *, teacher: str, filters: list[str]) -> None:
    """Have the teacher transcribe these recordings."""
    recordings = [str(data / file) for file in files]
    options = ["--format", "manifest", "--language", "en", "--audio_context", "merged", "--overwrite"]
    run("transcribe", *recordings, "--model", teacher, *options, "--output_dir", str(out), *filters)


def about_labels(folder: Path, data: Path, true_texts: dict[str, str]) -> str:
    """How wrong the labels are, of the rows that are kept and of those that are left out."""
    lines = []
    for name, file in (("kept", "manifest.jsonl"), ("left out", "left_out.jsonl")):
        rows = [json.loads(line) for line in (folder / file).read_text(encoding="utf-8").splitlines()]
        score = corpus_score([compared(row, true_texts[name_in(row, folder, data)]) for row in rows]) if rows else None
        lines.append(f"{name}: {len(rows)} rows" + (f", WER of the labels {100 * score.wer:.2f}%" if score else ""))
    return "\n".join(lines)


def name_in(row: dict[str, Any], folder: Path, data: Path) -> str:
    """What the manifest of `data` calls the recording of a row."""
    return os.path.relpath(os.path.normpath(folder / row["audio"]), data)


def compared(row: dict[str, Any], true_text: str) -> ScoredUtterance:
    """A label against the true text."""
    from transformers.models.whisper.english_normalizer import BasicTextNormalizer

    written = Written(row["audio"], row["end"] - row["start"], true_text, row["text"], cut_off=False)
    return score_utterance(written, BasicTextNormalizer())


def figures(scored: dict[str, list[ScoredUtterance]]) -> str:
    """The three rates, and which share of the gap the pseudo-labels close."""
    rates = {name: corpus_score(utterances).wer for name, utterances in scored.items()}
    gain: Difference = paired_difference(scored["pseudo"], scored["untuned"])
    share = (rates["untuned"] - rates["pseudo"]) / (rates["untuned"] - rates["true"])
    low, high = (100 * bound for bound in gain.interval)
    lines = [f"WER {name}: {100 * rates[name]:.2f}%" for name in ("untuned", "pseudo", "true")]
    lines.append(f"pseudo-labels: {100 * gain.difference:+.2f} points ({low:.2f} to {high:.2f})")
    return "\n".join([*lines, f"share of the gap to true labels: {100 * share:.0f}%"])


def read_scored(path: Path) -> list[ScoredUtterance]:
    """The transcripts of an evaluation."""
    return [ScoredUtterance.from_json(json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]


def run(*arguments: str) -> None:
    """Run a command of this project; its exit code must be 0."""
    subprocess.run([sys.executable, "-m", "accel_asr", *arguments], check=True)


if __name__ == "__main__":
    main()
