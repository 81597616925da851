"""What a user gets wrong ends in one clear message and exit code 2, before training, with nothing lost."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import soundfile
import yaml

from accel_asr import train
from tests.conftest import forget_accelerate
from tests.tiny_datasets import SAMPLE_RATE_HZ, tone_utterances


@pytest.fixture(autouse=True)
def _first_accelerator() -> Iterator[None]:
    """Each run starts Accelerate as if it were the first of a process."""
    forget_accelerate()
    yield
    forget_accelerate()


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """Ten good clips of tones with their words, in a manifest."""
    lines = []
    for index, (words, samples) in enumerate(tone_utterances(10)):
        soundfile.write(tmp_path / f"{index}.wav", samples, SAMPLE_RATE_HZ)
        lines.append({"audio": f"{index}.wav", "text": " ".join(words)})
    return write_manifest(tmp_path, lines)


def write_manifest(folder: Path, lines: list[dict[str, object]]) -> Path:
    path = folder / "manifest.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def read_manifest(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def recipe(tmp_path: Path, manifest: Path, tiny_folder: Path) -> list[str]:
    """Settings that train the tiny model for one step on the manifest."""
    path = tmp_path / "job.yaml"
    path.write_text(
        f"model: {{name_or_path: {tiny_folder}, language: en}}\n"
        f"data: {{name_or_path: {manifest}, eval_fraction: 0.3, max_bad_fraction: 0.2}}\n"
        "training: {max_steps: 1, per_device_train_batch_size: 2, dataloader_num_workers: 0}\n"
        "evaluation: {generation_max_length: 5}\n"
        "tracking: {report_to: []}\n"
        f"output_dir: {tmp_path / 'run'}\n",
        encoding="utf-8",
    )
    return ["--config", str(path)]


def refusal(settings: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The message of a run that must be refused."""
    with pytest.raises(SystemExit) as exit_info:
        train.main(settings)
    assert exit_info.value.code == 2
    printed = capsys.readouterr().err
    assert "Traceback" not in printed
    return printed


def test_the_job_itself_runs(recipe: list[str], tmp_path: Path) -> None:
    """Or every refusal below could be for another reason."""
    train.main(recipe)
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["last"]["step"] == 1


def test_a_model_and_data_named_by_flags_train_by_plain_defaults(
    manifest: Path, tiny_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And config.yaml has the learning rate that was chosen, so that it repeats the run."""
    flags = ["--model.name_or_path", str(tiny_folder), "--model.language", "en", "--data.name_or_path", str(manifest)]
    flags += ["--data.eval_fraction", "0.3", "--training.max_steps", "11", "--training.dataloader_num_workers", "0"]
    flags += ["--training.per_device_train_batch_size", "1", "--evaluation.generation_max_length", "5"]
    flags += ["--evaluation.eval_on_start", "false", "--tracking.report_to", "[]", "--tracking.logging_steps", "1"]
    train.main([*flags, "--output_dir", str(tmp_path / "run")])
    said = capsys.readouterr().out
    assert "training.learning_rate is not set: 0.001, " in said  # a toy's: see test_size_rates
    assert "linear to zero after a warmup of 2 of 11 steps" in said
    written = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert (written["training"]["learning_rate"], written["data"]["license"]) == (0.001, None)
    metrics = read_manifest(tmp_path / "run" / "metrics.jsonl")
    rates = [line["learning_rate"] for line in metrics if line["kind"] == "train"]
    # two steps up, then ten equal parts down, the last of which is not taken
    assert rates == pytest.approx([5e-4, 1e-3, *(1e-4 * tenths for tenths in range(9, 0, -1))])


def test_the_training_loss_is_the_mean_of_a_token_since_it_was_written_last(recipe: list[str], tmp_path: Path) -> None:
    def losses(logging_steps: int) -> list[tuple[int, float, int]]:
        output_dir = tmp_path / f"every-{logging_steps}"
        settings = ["--training.max_steps", "5", "--tracking.logging_steps", str(logging_steps)]
        train.main([*recipe, *settings, "--output_dir", str(output_dir)])
        forget_accelerate()
        lines = map(json.loads, (output_dir / "metrics.jsonl").read_text(encoding="utf-8").splitlines())
        return [(line["step"], line["loss"], line["target_tokens"]) for line in lines if line["kind"] == "train"]

    each, some = losses(1), losses(2)
    assert [step for step, *_ in some] == [2, 4, 5]
    for (_, loss, _), steps in zip(some, (each[:2], each[2:4], each[4:]), strict=True):
        assert loss == pytest.approx(sum(one * n for _, one, n in steps) / sum(n for *_, n in steps), rel=1e-9)
    assert len({tokens for *_, tokens in each[:2]}) == 2  # or a plain mean would be the same


def test_used_output_folder(recipe: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.yaml").write_text("precious")
    message = refusal(recipe, capsys)
    assert "already holds a run" in message
    assert "--checkpoint.resume true" in message
    assert (tmp_path / "run" / "config.yaml").read_text() == "precious"


def test_missing_column_lists_those_there_are(recipe: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    message = refusal([*recipe, "--data.text_column", "sentence"], capsys)
    assert "data.text_column" in message
    assert "'sentence'" in message
    assert "audio, text" in message


def test_missing_manifest(recipe: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert "'nowhere.csv' does not exist" in refusal([*recipe, "--data.name_or_path", "nowhere.csv"], capsys)


def test_nothing_left_after_the_filters(recipe: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    message = refusal([*recipe, "--data.max_duration_s", "0.1"], capsys)
    assert "no utterance is left after the filters" in message
    assert "10 (longer than 0.1 s)" in message


def test_undecodable_rows_are_left_out_and_named(recipe: list[str], manifest: Path, tmp_path: Path) -> None:
    lines = read_manifest(manifest)
    (tmp_path / "0.wav").write_bytes(b"not audio")
    write_manifest(tmp_path, [*lines, {"audio": "gone.wav", "text": "my card"}])
    train.main(recipe)  # 2 of 11 is below the share of 0.2 that the recipe lets pass
    dropped = json.loads((tmp_path / "run" / "data_summary.json").read_text())["dropped"]["undecodable audio"]
    assert dropped["count"] == 2
    assert [utterance_id for utterance_id, _ in dropped["examples"]] == ["0.wav", "gone.wav"]


def test_too_many_undecodable_rows(
    recipe: list[str], manifest: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for index in range(3):
        (tmp_path / f"{index}.wav").write_bytes(b"not audio")
    message = refusal(recipe, capsys)
    assert "--data.max_bad_fraction 0.2: 3 of 10" in message
    assert "1.wav" in message


def test_global_batch_larger_than_the_data(recipe: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    message = refusal([*recipe, "--training.per_device_train_batch_size", "50"], capsys)
    assert "larger than the 7 training utterances" in message


def test_multilingual_model_without_a_language(recipe: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert "--model.language en" in refusal([*recipe, "--model.language", "null"], capsys)


def test_weights_that_are_not_finite_stop_the_run(recipe: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """A learning rate that throws the weights out of float32: they are not scored, and the setting is named."""
    settings = ["--training.learning_rate", "1e38", "--training.warmup_steps", "0", "--training.max_steps", "9"]
    message = refusal([*recipe, *settings], capsys)
    assert "not finite after the update of step 1" in message
    assert "--training.learning_rate (now 1e+38)" in message
