"""A user's mistake ends in one clear message and exit code 2, before training, with nothing lost."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import soundfile
import yaml

from accel_asr.train import main as train_main
from tests.conftest import forget_accelerate
from tests.tiny_datasets import SAMPLE_RATE_HZ, tone_utterances

Refuse = Callable[..., str]


@pytest.fixture(autouse=True)
def _first_accelerator() -> Iterator[None]:
    """Each run starts Accelerate as if it were the first of a process."""
    forget_accelerate()
    yield
    forget_accelerate()


@pytest.fixture
def recipe(tmp_path: Path, tiny_folder: Path) -> list[str]:
    """Settings that train the tiny model for one step on a manifest of ten good clips of tones."""
    lines = []
    for index, (words, samples) in enumerate(tone_utterances(10)):
        soundfile.write(tmp_path / f"{index}.wav", samples, SAMPLE_RATE_HZ)
        lines.append(json.dumps({"audio": f"{index}.wav", "text": " ".join(words)}) + "\n")
    (tmp_path / "manifest.jsonl").write_text("".join(lines), encoding="utf-8")
    settings = {
        "model": {"name_or_path": str(tiny_folder), "language": "en"},
        "data": {"name_or_path": str(tmp_path / "manifest.jsonl"), "eval_fraction": 0.3, "max_bad_fraction": 0.2},
        "training": {"max_steps": 1, "per_device_train_batch_size": 2, "dataloader_num_workers": 0},
        "evaluation": {"generation_max_length": 5},
        "tracking": {"report_to": []},
        "output_dir": str(tmp_path / "run"),
    }
    (tmp_path / "job.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    return ["--config", str(tmp_path / "job.yaml")]


@pytest.fixture
def refuse(recipe: list[str], capsys: pytest.CaptureFixture[str]) -> Refuse:
    """Train with more settings, which must be refused, and return the message."""

    def refuse_with(*settings: str) -> str:
        with pytest.raises(SystemExit) as exit_info:
            train_main([*recipe, *settings])
        assert exit_info.value.code == 2
        printed = capsys.readouterr().err
        assert "Traceback" not in printed
        return printed

    return refuse_with


def train_lines(run: Path) -> list[dict[str, float]]:
    lines = map(json.loads, (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line["kind"] == "train"]


def test_the_job_itself_runs(recipe: list[str], tmp_path: Path) -> None:
    """Or every refusal below could be for another reason."""
    train_main(recipe)
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["last"]["step"] == 1


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ("--data.text_column sentence", ["data.text_column", "'sentence'", "audio, text"]),
        ("--data.name_or_path nowhere.csv", ["'nowhere.csv'", "does not exist"]),
        ("--data.max_duration_s 0.1", ["no utterance is left", "10 (longer than 0.1 s)"]),
        ("--training.per_device_train_batch_size 50", ["the 7 training utterances"]),
        ("--model.language null", ["--model.language en"]),
        (  # throws the weights out of float32: they are not scored, and the setting is named
            "--training.learning_rate 1e38 --training.warmup_steps 0 --training.max_steps 9",
            ["not finite after the update of step 1", "--training.learning_rate (now 1e+38)"],
        ),
    ],
)
def test_a_mistake_is_refused(refuse: Refuse, settings: str, words: list[str]) -> None:
    message = refuse(*settings.split())
    assert [word for word in words if word not in message] == [], message


def test_a_used_output_folder_is_refused_and_untouched(refuse: Refuse, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.yaml").write_text("precious")
    message = refuse()
    assert "already holds a run" in message
    assert "--checkpoint.resume true" in message
    assert (tmp_path / "run" / "config.yaml").read_text() == "precious"


def test_undecodable_rows_are_dropped_and_named(recipe: list[str], tmp_path: Path) -> None:
    (tmp_path / "0.wav").write_bytes(b"not audio")
    with (tmp_path / "manifest.jsonl").open("a") as manifest:
        manifest.write('{"audio": "gone.wav", "text": "my card"}\n')
    train_main(recipe)  # 2 of 11 is below data.max_bad_fraction
    dropped = json.loads((tmp_path / "run" / "data_summary.json").read_text())["dropped"]["undecodable audio"]
    assert dropped["count"] == 2
    assert [utterance_id for utterance_id, _ in dropped["examples"]] == ["0.wav", "gone.wav"]


def test_too_many_undecodable_rows_are_refused(refuse: Refuse, tmp_path: Path) -> None:
    for index in range(3):
        (tmp_path / f"{index}.wav").write_bytes(b"not audio")
    message = refuse()
    for words in ("data.max_bad_fraction", "3 of 10", "1.wav"):
        assert words in message


def test_a_model_and_data_named_by_flags_train_by_plain_defaults(
    recipe: list[str], tiny_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And config.yaml has the learning rate that was chosen, so that it repeats the run."""
    flags = f"""--model.name_or_path {tiny_folder} --model.language en --data.name_or_path {tmp_path / "manifest.jsonl"}
        --data.eval_fraction 0.3 --training.max_steps 11 --training.dataloader_num_workers 0
        --training.per_device_train_batch_size 1 --evaluation.generation_max_length 5 --evaluation.eval_on_start false
        --tracking.report_to [] --tracking.logging_steps 1 --output_dir {tmp_path / "run"}"""
    train_main(flags.split())
    said = capsys.readouterr().out
    assert "training.learning_rate is not set: 0.001, " in said  # a toy's: see test_size_rates
    assert "linear to zero after a warmup of 2 of 11 steps" in said
    written = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert (written["training"]["learning_rate"], written["data"]["license"]) == (0.001, None)
    # two steps up, then ten equal parts down, the last of which is not taken
    expected = [5e-4, 1e-3, *(1e-4 * tenths for tenths in range(9, 0, -1))]
    assert [line["learning_rate"] for line in train_lines(tmp_path / "run")] == pytest.approx(expected)


def test_the_training_loss_is_the_mean_per_token_since_the_last_line(recipe: list[str], tmp_path: Path) -> None:
    def losses(logging_steps: int) -> list[tuple[float, float, float]]:
        output_dir = tmp_path / f"every-{logging_steps}"
        settings = ["--training.max_steps", "5", "--tracking.logging_steps", str(logging_steps)]
        train_main([*recipe, *settings, "--output_dir", str(output_dir)])
        forget_accelerate()
        return [(line["step"], line["loss"], line["target_tokens"]) for line in train_lines(output_dir)]

    each, some = losses(1), losses(2)
    assert [step for step, *_ in some] == [2, 4, 5]
    for (_, loss, _), steps in zip(some, (each[:2], each[2:4], each[4:]), strict=True):
        total = sum(step_loss * tokens for _, step_loss, tokens in steps)
        assert loss == pytest.approx(total / sum(tokens for *_, tokens in steps), rel=1e-9)
    assert len({tokens for *_, tokens in each[:2]}) == 2  # or a plain mean would be the same
