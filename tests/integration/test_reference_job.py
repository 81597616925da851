"""The reference job by its Hub names, its upload, and a foreign pipeline on it: real clients, a Hub on loopback."""

import json
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from huggingface_hub import ModelCard

from tests.hub_server import LoopbackHub
from tests.integration.launching import ACCELERATE, TRAIN, Finished, console, hub_environment, run
from tests.tiny_datasets import make_minds14_like, make_scripted_minds14, tone_clip, wav_bytes
from tests.tiny_models import make_tiny_whisper

SHORT = ["--config", "whisper_tiny_minds14", "--training.max_steps", "2", "--evaluation.generation_max_length", "12"]
SHORT += ["--output_dir", "run"]
PUBLISHED = "tester/whisper-tiny-tones"


@dataclass(frozen=True)
class Job:
    hub: LoopbackHub
    folder: Path
    finished: Finished

    def env(self) -> dict[str, str]:
        return hub_environment(self.hub, self.folder / "hf_home")


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Job]:
    """The reference recipe, two steps long, on 460 clips of tones and a random model, pushed at the end."""
    folder = tmp_path_factory.mktemp("reference")
    with LoopbackHub(folder / "hub") as hub:
        hub.add_repository("model", "openai/whisper-tiny", make_tiny_whisper(folder / "model"))
        hub.add_repository("dataset", "PolyAI/minds14", make_minds14_like(folder / "data", rows=460))
        settings = [*SHORT, "--hub.push_to_hub", "true", "--hub.hub_model_id", PUBLISHED]
        finished = run([*ACCELERATE, TRAIN, *settings], cwd=folder, env=hub_environment(hub, folder / "hf_home"))
        assert finished.code == 0, finished.err[-4000:]
        yield Job(hub, folder, finished)


def test_recipe_trains_on_the_american_english_subset(job: Job) -> None:
    data = json.loads((job.folder / "run" / "data_summary.json").read_text())
    assert (data["rows"], data["train"]["utterances"], data["validation"]["utterances"]) == ({"train": 460}, 450, 10)
    rows = [json.loads(line) for line in (job.folder / "run/evaluations/step-00000002.jsonl").read_text().splitlines()]
    assert [row["utterance_id"] for row in rows] == [f"train-{row:06d}" for row in range(450, 460)]
    assert not job.hub.requested("de-DE/", method="GET")


def test_card_carries_the_scores_as_metadata(job: Job) -> None:
    summary = json.loads((job.folder / "run" / "summary.json").read_text())
    card = ModelCard.load(job.hub.repository("model", PUBLISHED).folder() / "README.md")
    assert card.data.language == "en"
    assert card.data.base_model == "openai/whisper-tiny"
    assert card.data.datasets in ("PolyAI/minds14", ["PolyAI/minds14"])
    wer = next(result for result in card.data.eval_results if result.metric_type == "wer")
    assert (wer.dataset_type, wer.dataset_config) == ("PolyAI/minds14", "en-US")
    assert wer.metric_value == pytest.approx(100 * summary["best"]["wer"], abs=1e-3)
    assert "| training | 450 |" in card.text
    assert "- learning_rate: 1e-05" in card.text


def test_published_model_transcribes_in_a_pipeline(job: Job) -> None:
    (job.folder / "clip.wav").write_bytes(
        wav_bytes(tone_clip(["my", "card"], sampling_rate_hz=16_000), sampling_rate_hz=16_000)
    )
    code = (
        "import soundfile; from transformers import pipeline; samples, rate = soundfile.read('clip.wav')\n"
        f"said = pipeline('automatic-speech-recognition', model={PUBLISHED!r})"
        "({'raw': samples, 'sampling_rate': rate})['text']; print('SAID', said.strip())"
    )
    foreign = run([sys.executable, "-c", code], cwd=job.folder, env=job.hub.env(job.folder / "other_home"))
    assert foreign.code == 0, foreign.err[-2000:]
    ours = console(["transcribe", "--model", "run/best", "clip.wav"], cwd=job.folder, env=job.env())
    assert ours.code == 0, ours.err[-2000:]
    assert foreign.out.splitlines()[-1].removeprefix("SAID").strip() == ours.out.strip()


def test_push_later_and_a_refused_push(job: Job) -> None:
    command = ["push", "run", "--hub_model_id", "tester/again"]
    job.hub.fail(next=99, status=403, match="/api/repos/create")
    refused = console(command, cwd=job.folder, env=job.env())
    assert (refused.code, "Traceback" in refused.err) == (2, False)
    assert "hf auth login" in refused.err
    assert str(job.hub.token) not in refused.err + refused.out
    job.hub.heal()
    pushed = console(command, cwd=job.folder, env=job.env())
    assert pushed.code == 0, pushed.err[-2000:]
    assert {"config.json", "model.safetensors", "README.md", "tokenizer.json", "preprocessor_config.json"} <= {
        path.name for path in job.hub.repository("model", "tester/again").folder().iterdir()
    }


def test_repository_with_a_loading_script_falls_back_to_its_parquet_copy(tmp_path: Path) -> None:
    with LoopbackHub(tmp_path / "hub") as hub:
        hub.add_repository("model", "openai/whisper-tiny", make_tiny_whisper(tmp_path / "model"))
        hub.add_repository("dataset", "PolyAI/minds14", make_scripted_minds14(tmp_path / "data", rows=24, other_rows=6))
        settings = [
            *SHORT,
            "--training.max_steps",
            "1",
            "--data.train_rows",
            "20",
            "--evaluation.eval_on_start",
            "false",
        ]
        finished = console(["train", *settings], cwd=tmp_path, env=hub_environment(hub, tmp_path / "hf_home"))
        assert finished.code == 0, finished.err[-4000:]
    assert "PolyAI/minds14 holds a loading script, which is not run" in finished.out
    rows = json.loads((tmp_path / "run" / "data_summary.json").read_text())["rows"]
    assert rows == {"train": 24}  # no de-DE among them


def test_unreachable_hub_is_one_message(tmp_path: Path) -> None:
    with LoopbackHub(tmp_path / "hub") as hub:
        env = hub_environment(hub, tmp_path / "hf_home")
    # the hub is gone: nothing listens at HF_ENDPOINT any more. At once, as each try waits 23 s for it
    tries = [[*SHORT, "--output_dir", "model"]]
    tries.append([*SHORT, "--output_dir", "data", "--model.name_or_path", "quickstart"])
    with ThreadPoolExecutor() as pool:
        ended = list(pool.map(lambda settings: console(["train", *settings], cwd=tmp_path, env=env), tries))
    for setting, finished in zip(("model.name_or_path", "data.name_or_path"), ended, strict=True):
        assert finished.code == 2
        assert finished.err.startswith(f"error: --{setting} ")
        assert "Traceback" not in finished.err
        assert len(finished.err.strip().splitlines()) == 1
        assert "--config quickstart" in finished.err
        assert "give a folder" in finished.err or "name_or_path <folder>" in finished.err


def test_unknown_dataset_is_named(tmp_path: Path) -> None:
    with LoopbackHub(tmp_path / "hub") as hub:
        settings = [*SHORT, "--model.name_or_path", "quickstart", "--data.name_or_path", "PolyAI/minds15"]
        finished = console(["train", *settings], cwd=tmp_path, env=hub_environment(hub, tmp_path / "hf_home"))
    assert finished.code == 2
    assert "'PolyAI/minds15'" in finished.err
