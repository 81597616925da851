"""Texts that whisper-base writes for learners of English: what the filters keep is much nearer to the true texts."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from accel_asr.evaluation.scoring import corpus_score
from benchmarks.pseudo_labels import LIMITS, compared, label, passed

pytestmark = [pytest.mark.slow, pytest.mark.realmodel, pytest.mark.realdata]
EVERY = 17  # of the 516 recordings: some of each reader
MOST_KEPT, LEAST_LEFT_OUT = 0.3, 0.45  # word error rates of the labels


def test_rows_that_pass_the_filters_are_nearer_to_the_true_texts(
    realdata: Path, whisper_base: Path, whisper_tiny_en: Path, tmp_path: Path, print_figure: Callable[[str], None]
) -> None:
    data = realdata / "speechocean762"
    rows: list[dict[str, Any]] = [json.loads(line) for line in (data / "manifest.jsonl").read_text().splitlines()]
    true_texts = {row["file"]: row["text"] for row in [row for row in rows if row["split"] == "train"][::EVERY]}
    label(data, list(true_texts), tmp_path, teacher=str(whisper_base), second=str(whisper_tiny_en))
    kept, left_out = passed(tmp_path, LIMITS)
    assert len(kept) + len(left_out) == len(true_texts)
    assert len(kept) >= len(true_texts) // 3
    wers = [corpus_score([compared(row, true_texts, data=data) for row in some]).wer for some in (kept, left_out)]
    print_figure(f"labels of whisper-base: WER {wers[0]:.1%} of {len(kept)} rows kept, {wers[1]:.1%} of the others")
    assert wers[0] <= MOST_KEPT
    assert wers[1] >= LEAST_LEFT_OUT
