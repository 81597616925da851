"""The notebook, run whole on the quickstart as a learner would; and training by Accelerate's notebook launcher."""

import json
import socket
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from tests.integration.launching import REPOSITORY, offline_environment, run

NOTEBOOK = REPOSITORY / "notebooks" / "whisper_tiny_minds14.ipynb"
TIMEOUT_S = 900


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    """(the notebook with its outputs, the folder that it ran in)."""
    folder = tmp_path_factory.mktemp("notebook")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in offline_environment().items():
            patch.setenv(name, value)
        NotebookClient(notebook, timeout=TIMEOUT_S, resources={"metadata": {"path": str(folder)}}).execute()
    return notebook, folder


def printed(notebook: Any, start: str) -> str:
    """What the first cell that has `start` in its source printed."""
    cell = next(cell for cell in notebook.cells if cell.cell_type == "code" and start in cell.source)
    return "".join(output.get("text", "") for output in cell.outputs)


def test_the_stored_notebook_has_no_outputs() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in notebook.cells)


def test_it_improves_the_model_and_says_so(executed: tuple[Any, Path]) -> None:
    _, folder = executed
    scores = json.loads((folder / "runs" / "notebook" / "summary.json").read_text())
    assert scores["best"]["wer"] < scores["baseline"]["wer"] - 0.05


def test_the_metric_of_the_evaluate_library_gives_the_score_of_the_run(executed: tuple[Any, Path]) -> None:
    notebook, folder = executed
    scores = json.loads((folder / "runs" / "notebook" / "summary.json").read_text())
    assert f"{scores['best']['wer']}" in printed(notebook, "evaluate.load")


def test_pictures_player_and_report_are_inside(executed: tuple[Any, Path]) -> None:
    notebook, _ = executed
    data = [
        output.data
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if "data" in output
    ]
    assert sum("image/png" in kinds for kinds in data) == 2
    pages = [kinds["text/html"] for kinds in data if "text/html" in kinds]
    assert any("<audio" in page for page in pages)
    assert any("<iframe" in page and "Word error rate" in page for page in pages)


def test_pipeline_and_transcribe_hear_what_the_run_heard(executed: tuple[Any, Path]) -> None:
    notebook, folder = executed
    said, recognized = printed(notebook, "recognizer = pipeline").splitlines()[-2:]
    scores = json.loads((folder / "runs" / "notebook" / "summary.json").read_text())
    lines = folder / "runs" / "notebook" / "evaluations" / f"step-{scores['best']['step']:08d}.jsonl"
    transcripts = {line["reference"]: line["hypothesis"] for line in map(json.loads, lines.read_text().splitlines())}
    expected = transcripts[said.removeprefix("said").strip()]
    assert recognized.removeprefix("recognized").strip() == expected
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    cell = next(cell for cell in code if "accel_asr.transcribe(run.best" in cell.source)
    assert repr(expected) in cell.outputs[-1].data["text/plain"]


LAUNCHED = """
import sys
import accelerate, accel_asr

config = accel_asr.load_config("quickstart", {
    "output_dir": sys.argv[1], "training.max_steps": 3, "training.per_device_train_batch_size": 8,
    "data.train_rows": 540, "tracking.report_to": [], "training.dataloader_num_workers": 0})
accelerate.notebook_launcher(accel_asr.train, (config,), num_processes=2, use_port=sys.argv[2])
"""


def test_the_notebook_launcher_trains_on_two_processes(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder = tmp_path / "run"
    finished = run([sys.executable, "-c", LAUNCHED, str(folder), str(port)], cwd=tmp_path)
    assert finished.code == 0, finished.err[-4000:]
    assert json.loads((folder / "environment.json").read_text())["world_size"] == 2
    assert json.loads((folder / "summary.json").read_text())["best"]["step"] == 3
