"""`accel-asr export` of a model in a run's folder: both formats agree with our evaluation, a broken one is refused."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import soundfile
import torch
import yaml
from safetensors.torch import load_file, save_file

from accel_asr.commands import export
from accel_asr.errors import UserError
from accel_asr.exporting import ctranslate2_format
from accel_asr.exporting.ctranslate2_format import DirectCTranslate2
from tests.conftest import forget_accelerate
from tests.tiny_datasets import make_minds14_like

ROWS = 10
NEEDED = {
    *("README.md", "export.json", "transcribe_settings.json"),
    *("tokenizer.json", "preprocessor_config.json", "generation_config.json", "config.json"),
}


@pytest.fixture(autouse=True)
def one_process(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
    forget_accelerate()
    yield
    forget_accelerate()


@pytest.fixture(scope="module")
def run_folder(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What an export reads of a run's folder."""
    folder = tmp_path_factory.mktemp("run")
    shutil.copytree(tiny_folder, folder / "best")
    data = make_minds14_like(folder / "data", rows=ROWS, other_rows=0)
    settings = {
        "model": {"name_or_path": "gone/since", "revision": "main", "language": "en"},
        "data": {
            "name_or_path": str(next((data / "en-US").glob("*.parquet"))),
            "text_column": "english_transcription",
            "train_rows": 4,
        },
        "evaluation": {"generation_max_length": 8, "num_beams": 3},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(settings))
    return folder


def arguments(run_folder: Path, export_format: str, output_dir: Path, *more: str) -> list[str]:
    model = ["--model", str(run_folder / "best"), "--format", export_format]
    return [*model, "--output_dir", str(output_dir), *more]


def refused(*options: str) -> str:
    with pytest.raises(UserError) as caught:
        export.main(list(options))
    return str(caught.value)


@pytest.mark.parametrize(("export_format", "weights"), [("ctranslate2", "model.bin"), ("onnx", "decoder_model.onnx")])
def test_an_export_transcribes_the_runs_validation_data_as_we_do(
    run_folder: Path, tmp_path: Path, capsys, export_format: str, weights: str
) -> None:
    output_dir = tmp_path / "exports" / "tiny"
    assert export.main(arguments(run_folder, export_format, output_dir)) == 0
    shown = capsys.readouterr().out
    assert "0 of 6 transcripts differ" in shown  # rows 4 to 9
    assert "WER there - here: +0.00 points, 95% interval +0.00 to +0.00" in shown
    assert "compared greedily, not with evaluation.num_beams 3" in shown
    assert f"pass: the WERs are 0.00 points apart\nmodel       {output_dir}\n" in shown
    assert {path.name for path in output_dir.iterdir()} >= NEEDED | {weights}
    assert [path.name for path in output_dir.parent.iterdir()] == ["tiny"]  # no temporary files
    record = json.loads((output_dir / "export.json").read_text())
    assert record["parity"]["passed"] is True
    assert record["parity"]["utterances"] == 6
    assert record["parity"]["wer_there"] == record["parity"]["wer_here"] > 0
    assert record["format"] == export_format
    assert "transformers" in record["versions"]

    # and as its README says, in a process without this package
    code = re.search(r"```python\n(.*?)```", (output_dir / "README.md").read_text(), re.DOTALL)
    assert code is not None
    soundfile.write(tmp_path / "recording.wav", torch.sin(torch.arange(16_000) * 0.2).numpy(), 16_000)
    script = code[1].replace("recording.wav", str(tmp_path / "recording.wav"))
    finished = subprocess.run(
        [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, '.')\n{script}"],
        cwd=output_dir,
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    assert len(finished.stdout.strip()) > 3


def test_an_export_with_other_weights_is_refused_and_kept_under_another_name(
    run_folder: Path, tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    convert = ctranslate2_format.convert_to_ctranslate2

    def convert_others(model_folder: Path, folder: Path, **options: Any) -> None:
        weights = load_file(model_folder / "model.safetensors")
        weights["model.decoder.layers.0.fc2.weight"].neg_()
        save_file(weights, model_folder / "model.safetensors", metadata={"format": "pt"})
        convert(model_folder, folder, **options)

    monkeypatch.setattr(ctranslate2_format, "convert_to_ctranslate2", convert_others)
    assert export.main(arguments(run_folder, "ctranslate2", tmp_path / "tiny")) == 1
    shown = capsys.readouterr().out
    assert re.search(r"FAIL: the WERs are [\d.]+ points apart, and at most 0.5 are allowed", shown)
    assert re.search(r"^    here   .+\n    there  .+", shown, flags=re.MULTILINE)
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.failed-parity"]
    assert json.loads((tmp_path / "tiny.failed-parity" / "export.json").read_text())["parity"]["passed"] is False
    assert "do not use this folder" in (tmp_path / "tiny.failed-parity" / "README.md").read_text()


def test_a_difference_that_the_user_allows_passes(
    run_folder: Path, tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DirectCTranslate2, "transcribe", lambda self, clip: ("what another clip says", [1, 2]))
    more = ["--utterances", "2", "--max_wer_difference", "100"]
    assert export.main(arguments(run_folder, "ctranslate2", tmp_path / "tiny", *more)) == 0
    assert "95% interval" in capsys.readouterr().out
    assert json.loads((tmp_path / "tiny" / "export.json").read_text())["parity"]["most_difference_points"] == 100
    assert "up to 100 points were allowed" in (tmp_path / "tiny" / "README.md").read_text()


def test_transcripts_of_other_clips_are_refused(
    run_folder: Path, tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DirectCTranslate2, "transcribe", lambda self, clip: ("what another clip says", [1, 2]))
    assert export.main(arguments(run_folder, "ctranslate2", tmp_path / "tiny", "--utterances", "3")) == 1
    shown = capsys.readouterr().out
    assert "3 utterances, transcribed here and there" in shown
    assert "3 of 3 transcripts differ" in shown
    assert not (tmp_path / "tiny").exists()


def test_without_data_to_compare_on_the_settings_to_give_are_named(tiny_folder: Path, tmp_path: Path) -> None:
    lonely = tmp_path / "lonely" / "model"
    shutil.copytree(tiny_folder, lonely)
    message = refused("--model", str(lonely), "--format", "onnx", "--output_dir", str(tmp_path / "x"))
    assert message.startswith("--model ")
    assert "--data.name_or_path" in message
    assert not (tmp_path / "x").exists()


def test_all_bad_input_is_refused_together(run_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    more = ["--quantization", "int8", "--utterances", "0", "--model.name_or_path", "other"]
    more += ["--max_wer_difference", "nan"]
    message = refused(*arguments(run_folder, "onnx", tmp_path / "taken", *more))
    assert [line.split()[0].rstrip(":") for line in message.splitlines()] == [
        *("--output_dir", "--quantization", "--utterances", "--max_wer_difference", "--model.name_or_path")
    ]


def test_missing_packages_are_named_before_the_model_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(export_format: str) -> None:
        raise UserError(f"{export_format} is missing")

    monkeypatch.setattr(export, "require_packages", missing)
    assert refused("--model", "no/such", "--format", "onnx", "--output_dir", str(tmp_path / "x")) == "onnx is missing"
