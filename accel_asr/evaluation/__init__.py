"""From a model to a score: generate, normalise, count edits."""

from pathlib import Path

WER_METRIC = str(Path(__file__).parent / "wer_metric")  # for evaluate.load
