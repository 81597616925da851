"""A run that learns one sentence and forgets all others: the best on the yardstick breaks the guard, best/ holds it."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import soundfile
from safetensors.torch import load_file

import accel_asr.quickstart
from accel_asr.publishing.model_card import make_model_card
from tests.integration.launching import launch_training

CLIPS = Path(accel_asr.quickstart.__file__).parent / "clips.parquet"
SENTENCE = "yes i want to do that"
MARGIN = 15
SETTINGS = f"""
model: {{name_or_path: quickstart, language: en}}
data: {{name_or_path: domain.csv, train_rows: 60}}
training:
  {{learning_rate: 5e-4, lr_scheduler_type: constant_with_warmup, warmup_steps: 8, max_steps: 14,
  per_device_train_batch_size: 10}}
evaluation:
  eval_steps: 2
  generation_max_length: 24
  guards: [{{name: general, name_or_path: general.csv, margin: {MARGIN}}}]
tracking: {{report_to: []}}
output_dir: run
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The embedded clips, 80 of them with another text; the guard has 30 others as they are."""
    folder = tmp_path_factory.mktemp("guards")
    rows: list[tuple[str, str]] = []
    for number, row in enumerate(pq.read_table(CLIPS).slice(0, 110).to_pylist()):
        samples, rate_hz = soundfile.read(io.BytesIO(row["audio"]["bytes"]))
        soundfile.write(folder / f"{number}.wav", samples, rate_hz)
        rows.append((f"{number}.wav", row["english_transcription"]))
    _write(folder / "domain.csv", [(audio, SENTENCE) for audio, _ in rows[:80]])
    _write(folder / "general.csv", rows[80:])
    (folder / "my.yaml").write_text(SETTINGS)
    finished = launch_training(["--config", "my.yaml"], cwd=folder)
    assert finished.code == 0, finished.out + finished.err
    assert "was not chosen: it worsens general by" in finished.out
    return folder / "run"


def _write(path: Path, rows: list[tuple[str, str]]) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("audio", "text"), *rows])


def _summary(run: Path) -> dict[str, Any]:
    return json.loads((run / "summary.json").read_text())


def test_the_unguarded_best_breaks_the_guard_and_the_best_holds_it(run: Path) -> None:
    summary = _summary(run)
    best, unguarded = summary["best"], summary["unguarded"]
    assert unguarded["wer"] < 0.1 < best["wer"]
    assert unguarded["guards"]["general"]["change"] > MARGIN / 100
    assert unguarded["guards"]["general"]["change_interval"][0] > MARGIN / 100  # and that beyond chance
    assert best["guards"]["general"]["change"] <= MARGIN / 100
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    held = [line for line in lines if line["kind"] == "eval" and line["step"] and line["guards"]["general"]["held"]]
    assert best["step"] == min(held, key=lambda line: line["wer"])["step"]


def test_best_and_last_are_other_models(run: Path) -> None:
    best, last = (load_file(run / name / "model.safetensors") for name in ("best", "last"))
    assert _summary(run)["last"]["step"] > _summary(run)["best"]["step"]
    assert any(not tensor.equal(last[name]) for name, tensor in best.items())


def test_the_report_and_the_card_say_what_was_given_up_and_at_which_price(run: Path) -> None:
    unguarded, best = _summary(run)["unguarded"], _summary(run)["best"]
    points = f"{100 * (best['wer'] - unguarded['wer']):.2f} points of WER"
    page = (run / "report.html").read_text()
    card = make_model_card(run, hub_model_id="user/guarded").content
    for text in (page, card):
        assert points in text
        assert f"{100 * unguarded['guards']['general']['change']:+.2f} points" in text
    assert f"| general | {100 * _summary(run)['baseline']['guards']['general']['rate']:.2f}" in card
