"""Training where stdout is Latin-1, full or closed, on data whose names and texts hold control characters."""

import json
import os
import re
import shlex
import signal
import sys
from pathlib import Path

import pytest
import soundfile

from accel_asr.training.stopping import StopRequests
from tests.integration.launching import REPOSITORY, offline_environment, run
from tests.tiny_datasets import SAMPLE_RATE_HZ, tone_utterances

# title, clear screen, bell, one-byte CSI, right-to-left override, line ends
HOSTILE = "\x1b]0;T\x07\x1b[2J\x9b1m\u202ey\r\nz\u2028ł"
ACTS_ON_A_SCREEN = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u202e]")
STEPS = 30


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path) -> Path:
    """Settings of a short run on hostile texts, file names, speakers and columns; one recording can't be decoded."""
    folder = tmp_path_factory.mktemp("hostile")
    lines = []
    for index, (words, samples) in enumerate(tone_utterances(16)):
        name = f"{index}{HOSTILE}.wav"
        soundfile.write(folder / name, samples, SAMPLE_RATE_HZ)
        text = f"{' '.join(words)} {HOSTILE}"
        lines.append({"audio": name, "text": text, f"by{HOSTILE}": f"{index % 2}{HOSTILE}", "language": "en"})
    (folder / f"0{HOSTILE}.wav").write_bytes(b"not audio")
    (folder / "rows.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    data = {"name_or_path": str(folder / "rows.jsonl"), "eval_fraction": 0.3, "max_bad_fraction": 0.2}
    settings = {
        "model": {"name_or_path": str(tiny_folder), "language": "en"},
        "data": {**data, "breakdown_columns": [f"by{HOSTILE}"]},
        "training": {"max_steps": STEPS, "per_device_train_batch_size": 2, "dataloader_num_workers": 1},
        "evaluation": {"generation_max_length": 5, "eval_steps": 3},
        "tracking": {"report_to": []},
    }
    (folder / "job.yaml").write_text(json.dumps(settings), encoding="utf-8")
    return folder / "job.yaml"


def train(job: Path, output_dir: Path, redirection: str, **variables: str) -> int:
    command = shlex.join(
        [sys.executable, "-m", "accel_asr", "train", "--config", str(job), "--output_dir", str(output_dir)]
    )
    environment = {**offline_environment(), "PYTHONPATH": str(REPOSITORY), **variables}
    return run(["sh", "-c", f"{command} {redirection}"], cwd=job.parent, env=environment).code


def test_a_log_in_latin_1_has_no_carriage_return_no_control_and_few_lines(job: Path, tmp_path: Path) -> None:
    log, output_dir = tmp_path / "log.txt", tmp_path / "run"
    assert train(job, output_dir, f"> {log} 2>&1", PYTHONIOENCODING="latin-1", COLUMNS="1") == 0
    printed = log.read_bytes().decode("latin-1")
    assert not ACTS_ON_A_SCREEN.search(printed), repr(printed)
    assert r"\x1b]0;T\x07\x1b[2J\x9b1m\u202ey\r\nz" in printed
    assert r"\u0142" in printed
    # what is coming, the first evaluation, the first steps, and the others in the table at the end alone
    expected = [
        "parameters in 30 optimizer steps",
        "11 evaluations of ",
        "memory: ",
        "the evaluation took ",
        "a step takes ",
    ]
    places = [printed.index(piece) for piece in expected]
    assert places == sorted(places)
    assert printed.count("evaluation at step ") == 1
    assert "data.timestamps_probability" in printed  # no label had times
    assert len(printed.splitlines()) < 50
    page = (output_dir / "report.html").read_text(encoding="utf-8")
    assert not ACTS_ON_A_SCREEN.search(page)


def test_training_ends_well_where_nothing_can_be_printed(job: Path, tmp_path: Path) -> None:
    assert train(job, tmp_path / "run", "<&- > /dev/full 2>&-") == 0
    assert json.loads((tmp_path / "run" / "summary.json").read_text(encoding="utf-8"))["last"]["step"] == STEPS
    assert (tmp_path / "run" / "last" / "model.safetensors").exists()
    assert (tmp_path / "run" / "report.html").exists()


def test_a_signal_whose_message_can_not_be_printed_is_heard_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    with open("/dev/full", "w", encoding="utf-8") as full, StopRequests() as stop:
        monkeypatch.setattr(sys, "__stderr__", full)
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.received == "SIGTERM"
