"""Does a small model learn from what a larger one writes? Word error rates of one model: as it is, tuned on
pseudo-labels of the training recordings, and tuned on their true texts; all with the same settings and steps.

python benchmarks/pseudo_labels.py DATA --teacher openai/whisper-base --student openai/whisper-tiny.en --output_dir OUT

DATA is a folder with a manifest.jsonl of file, text and split, as the recipe learner_english takes. The teacher sees
the recordings of split train alone, and no text. All its rows are kept but for those that `--keep` leaves out, such as
`--keep max_disagreement=0.3 min_avg_logprob=-1`, by the scores that `accel-asr transcribe` wrote. Labels and runs that
are in OUT already are not made again.
"""

import argparse
import json
import os
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from accel_asr.evaluation.intervals import Difference, paired_difference
from accel_asr.evaluation.scoring import ScoredUtterance, corpus_score, score_utterance
from accel_asr.evaluation.scoring import Transcript as Written
from accel_asr.transcription.manifest_rows import RowFilters, RowScores

TRAIN = ["--config", "learner_english", "--tracking.report_to", "[]", "--evaluation.long_form", "none"]
TRAIN += ["--evaluation.no_speech", "false", "--evaluation.eval_steps", "100000"]
ALL = ["--min_avg_logprob", "none", "--max_no_speech_prob", "none", "--max_compression_ratio", "none"]
LIMITS = ["max_disagreement=0.3", "max_compression_ratio=2.4", "min_avg_logprob=-1"]  # those of the command
NO_FILTERS = RowFilters(None, None, None, None)
MERGED = ["--evaluation.audio_context", "merged"]


def main() -> None:
    """Do all of it and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--teacher", required=True)
    parser.add_argument("--student", required=True)
    parser.add_argument("--agree_with", help="a second model, whose disagreement with the teacher is a score")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--keep", nargs="+", default=[], metavar="NAME=LIMIT", help="filters of accel-asr transcribe")
    parser.add_argument("--output_dir", type=Path, required=True)
    options = parser.parse_args()
    data, out = options.data.resolve(), options.output_dir.resolve()
    rows = [json.loads(line) for line in (data / "manifest.jsonl").read_text(encoding="utf-8").splitlines()]
    train = [row for row in rows if row["split"] == "train"]
    if not (out / "labels" / "manifest.jsonl").exists():
        label(data, [row["file"] for row in train], out / "labels", teacher=options.teacher, second=options.agree_with)

    run_name = "_".join(["pseudo", *options.keep])
    true_texts = {row["file"]: row["text"] for row in train}
    labels, left_out = passed(out / "labels", options.keep)
    print(about("kept", labels, true_texts, data=data), about("left out", left_out, true_texts, data=data), sep="\n")
    manifests = {
        run_name: write_rows(out / f"{run_name}.jsonl", labels),
        "true": write_rows(out / "true.jsonl", [row | {"audio": str(data / row["file"])} for row in train]),
        "test": write_rows(
            out / "test.jsonl", [row | {"audio": str(data / row["file"])} for row in rows if row["split"] == "test"]
        ),
    }
    common = [*TRAIN, *MERGED, "--model.name_or_path", options.student, "--training.max_steps", str(options.steps)]
    common += ["--data.eval_name_or_path", str(manifests["test"]), "--data.audio_column", "audio"]
    common += ["--data.breakdown_columns", "[]"]
    scored: dict[str, list[ScoredUtterance]] = {}
    for name, run_folder in (("pseudo", run_name), ("true", "true")):
        evaluations = out / run_folder / "evaluations"
        at_end = evaluations / f"step-{options.steps:08}.jsonl"
        if not at_end.exists():
            source = ["--data.name_or_path", str(manifests[run_folder]), "--data.allow_outside_paths", "true"]
            run("train", *common, *source, "--output_dir", str(out / run_folder))
        scored["untuned"], scored[name] = (read_scored(path) for path in (evaluations / "step-00000000.jsonl", at_end))
    print(figures(scored))


def label(data: Path, files: list[str], out: Path, *, teacher: str, second: str | None) -> None:
    """Have the teacher transcribe these recordings, and keep all rows."""
    recordings = [str(data / file) for file in files]
    options = ["--format", "manifest", "--language", "en", "--audio_context", "merged", "--overwrite", *ALL]
    options += ["--agree_with", second, "--max_disagreement", "none"] if second else []
    run("transcribe", *recordings, "--model", teacher, *options, "--output_dir", str(out))


def passed(folder: Path, limits: list[str]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The rows that these filters keep, and the others."""
    filters = replace(NO_FILTERS, **{name: float(limit) for name, _, limit in (each.partition("=") for each in limits)})
    rows: tuple[list[dict[str, Any]], list[dict[str, Any]]] = ([], [])
    for line in (folder / "manifest.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        scores = RowScores(*(row.get(field.name) for field in fields(RowScores)))
        row["audio"] = os.path.normpath(folder / row["audio"])
        rows[filters.why_left_out(scores) is not None].append(row)
    return rows


def about(name: str, rows: list[dict[str, Any]], true_texts: dict[str, str], *, data: Path) -> str:
    """How many rows, and how wrong their labels are."""
    wer = corpus_score([compared(row, true_texts, data=data) for row in rows]).wer if rows else None
    return f"{name}: {len(rows)} rows" + ("" if wer is None else f", WER of the labels {100 * wer:.2f}%")


def write_rows(path: Path, rows: list[dict[str, Any]]) -> Path:
    """Write a manifest; returns its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return path


def compared(row: dict[str, Any], true_texts: dict[str, str], *, data: Path) -> ScoredUtterance:
    """A label against the true text."""
    from transformers.models.whisper.english_normalizer import BasicTextNormalizer

    true_text = true_texts[os.path.relpath(row["audio"], data)]
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
