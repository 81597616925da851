"""Mixtures of sources, and batches by seconds: one process and two train alike, and the records name each source."""

import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.integration.tones import TonesJob
from tests.tiny_datasets import make_minds14_like

ONE, TWO = (1, 4, 2), (2, 2, 2)  # processes, micro-batch, accumulation: a global batch of 8
MIXTURE = """
model: {name_or_path: MODEL, language: en}
data:
  sources:
    - {name_or_path: FOLDER/en-US/train-00000-of-00001.parquet, name: english, weight: 1, language: en}
    - {name_or_path: FOLDER/de-DE/train-00000-of-00001.parquet, name: german, weight: 2, language: German}
  text_column: transcription
  eval_rows: 9
training:
  {learning_rate: 1e-4, lr_scheduler_type: constant_with_warmup, warmup_steps: 3,
  num_train_epochs: 2, dataloader_drop_last: false, dataloader_num_workers: 2}
evaluation: {generation_max_length: 12, per_device_eval_batch_size: 3}
tracking: {logging_steps: 1}
"""
SECONDS = 6.4  # in a global batch


def by_seconds(seconds: float) -> list[str]:
    settings = ["--training.group_by_length", "true", "--evaluation.eval_on_start", "false"]
    return [*settings, "--checkpoint.save_steps", "50", "--training.batch_seconds", str(seconds)]


@pytest.fixture(scope="module")
def job(tones: TonesJob) -> TonesJob:
    """The mixture, and batches by seconds in order of length, each on one process and on two."""
    mixture = copy.copy(tones)
    mixture.config = tones.folder / "mixture.yaml"
    folder = make_minds14_like(tones.folder / "mixture", rows=22, other_rows=12)
    settings = MIXTURE.replace("MODEL", str(tones.folder / "model")).replace("FOLDER", str(folder))
    mixture.config.write_text(settings)
    plan = [
        mixture.launch("mixture1", ONE),
        mixture.launch("mixture2", TWO),
        tones.launch("seconds1", (1, 4, 1), *by_seconds(SECONDS)),
        tones.launch("seconds2", (2, 4, 1), *by_seconds(SECONDS / 2)),
        tones.launch("seconds4", (2, 4, 2), *by_seconds(SECONDS / 4)),
    ]
    assert tones.run_plan(plan) == [[0], [0, 0], [0], [0, 0], [0, 0]]
    return tones


def trained(job: TonesJob, name: str) -> list[list[str]]:
    """The utterances of each step, sorted, over all ranks."""
    ledger = job.ledger(name)
    last_step = max(step for step, _ in ledger)
    ranks = {rank for _, rank in ledger}
    return [
        sorted(utterance for rank in ranks for ids in ledger[step, rank] for utterance in ids)
        for step in range(1, last_step + 1)
    ]


def transcripts(job: TonesJob, name: str) -> dict[str, list[tuple[str, str]]]:
    """(id, hypothesis) of each evaluation."""
    tables = {}
    for path in sorted((job.run_dir(name) / "evaluations").iterdir()):
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        tables[path.name] = [(line["utterance_id"], line["hypothesis"]) for line in lines]
    return tables


def assert_alike(job: TonesJob, name: str, expected: str) -> None:
    """Two ranks trained and transcribed as one did."""
    assert {rank for _, rank in job.ledger(name)} == {0, 1}
    job.assert_close_losses(name, expected)
    assert len(job.metrics(name, "train")) > 4
    assert trained(job, name) == trained(job, expected)
    assert transcripts(job, name) == transcripts(job, expected)


def read_json(path: Path) -> Any:
    return json.loads(path.read_text())


# -- mixtures


def test_one_process_and_two_train_alike_on_a_mixture(job: TonesJob) -> None:
    assert_alike(job, "mixture2", "mixture1")
    assert len(transcripts(job, "mixture1")) == 3  # before training, and after each epoch


def test_an_epoch_holds_as_much_of_each_source_as_its_weight_says(job: TonesJob) -> None:
    steps = trained(job, "mixture1")
    assert len(steps) == 8  # 25 utterances to train on
    for epoch in (steps[:4], steps[4:]):
        sources = [name.split("/")[0] for names in epoch for name in names]
        assert (sources.count("english"), sources.count("german")) == (8, 17)


def test_scores_are_broken_down_by_source_and_by_language(job: TonesJob) -> None:
    for name in ("mixture1", "mixture2"):
        for record in read_json(job.run_dir(name) / "summary.json").values():
            assert set(record["by_source"]) == {"english", "german"}
            assert set(record["by_language"]) == {"en", "de"}
            assert record["by_source"]["german"] == record["by_language"]["de"]
    lines = [line for lines in transcripts(job, "mixture1").values() for line in lines]
    assert {utterance_id.split("/")[0] for utterance_id, _ in lines} == {"english", "german"}


def test_the_data_summary_names_both_sources(job: TonesJob) -> None:
    summary = read_json(job.run_dir("mixture2") / "data_summary.json")
    assert [(source["name"], source["weight"]) for source in summary["sources"]] == [("english", 1), ("german", 2)]
    assert summary["rows"] == {"english/train": 22, "german/train": 12}
    assert (summary["train"]["utterances"], summary["validation"]["utterances"]) == (25, 9)
    said = job.said_in_one_line("mixture2")
    assert re.search(r"english/train: kept 22 of 22 utterances", said)
    assert re.search(r"german/train: kept 12 of 12 utterances", said)


# -- batches by seconds


@pytest.mark.parametrize("name", ["seconds2", "seconds4"])
def test_one_process_and_two_train_alike_on_batches_by_seconds(job: TonesJob, name: str) -> None:
    assert_alike(job, name, "seconds1")


def test_each_utterance_is_trained_on_once_an_epoch(job: TonesJob) -> None:
    steps = trained(job, "seconds1")
    epochs = [line["epoch"] for line in job.metrics("seconds1", "train")]
    assert epochs[-1] == 3.0
    for epoch in range(3):
        names = [name for step, names in enumerate(steps) for name in names if epoch < epochs[step] <= epoch + 1]
        assert len(names) == len(set(names)) == 27
    assert len({len(names) for names in steps}) > 1  # seconds fill them, not a count
