"""A run that is to be published: refused in its first seconds if it can be, and kept if the upload fails."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import ModelCard

from tests.hub_server import LoopbackHub
from tests.integration.launching import console, hub_environment, run
from tests.tiny_datasets import make_minds14_like, tone_clip, wav_bytes
from tests.tiny_models import make_tiny_whisper

TRAIN = ["train", "--config", "whisper_tiny_minds14", "--output_dir", "run", "--data.train_rows", "20"]
TRAIN += ["--training.max_steps", "1", "--evaluation.eval_on_start", "false"]
TRAIN += ["--evaluation.generation_max_length", "12"]
TRAIN += ["--hub.push_to_hub", "true", "--hub.hub_revision", "v1"]


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoopbackHub]:
    folder = tmp_path_factory.mktemp("publishing")
    with LoopbackHub(folder / "hub") as hub:
        hub.add_repository("model", "openai/whisper-tiny", make_tiny_whisper(folder / "model"))
        hub.add_repository("dataset", "PolyAI/minds14", make_minds14_like(folder / "data", rows=24))
        yield hub


def test_a_run_whose_upload_fails_is_kept_and_says_so(hub: LoopbackHub, tmp_path: Path) -> None:
    hub.fail(next=99, status=403, match="/commit/", message="no space in your account")
    trained = console(
        [*TRAIN, "--hub.hub_model_id", "tester/tones"], cwd=tmp_path, env=hub_environment(hub, tmp_path / "hf_home")
    )
    assert (trained.code, "Traceback" in trained.err) == (2, False)
    message = trained.err.splitlines()[-1]
    assert message.startswith("error: --hub.hub_model_id 'tester/tones': the upload failed (the Hub answered 403")
    assert message.endswith("Then: accel-asr push run --hub_model_id tester/tones --revision v1")
    assert {"best", "last", "summary.json"} <= {path.name for path in (tmp_path / "run").iterdir()}
    assert hub.token not in trained.out + trained.err
    assert not [
        path for path in (tmp_path / "run").rglob("*") if path.is_file() and hub.token.encode() in path.read_bytes()
    ]

    hub.heal()
    pushed = console(
        message.partition("Then: accel-asr ")[2].split(), cwd=tmp_path, env=hub_environment(hub, tmp_path / "hf_home")
    )
    assert pushed.code == 0, pushed.err[-2000:]
    assert pushed.out.splitlines()[-1] == f"{hub.url}/tester/tones/tree/v1"
    assert (hub.repository("model", "tester/tones").folder("v1") / "model.safetensors").exists()


@pytest.mark.parametrize(
    ("name", "logged_in", "beginning"),
    [
        ("tester/tones", False, "--hub.push_to_hub: there is no token"),
        ("openai/tones", True, "--hub.hub_model_id 'openai/tones': belongs to someone else"),
    ],
)
def test_what_could_not_be_published_is_not_trained(
    hub: LoopbackHub, tmp_path: Path, name: str, logged_in: bool, beginning: str
) -> None:
    env = hub_environment(hub, tmp_path / "hf_home", logged_in=logged_in)
    refused = console([*TRAIN, "--hub.hub_model_id", name], cwd=tmp_path, env=env)
    assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert refused.err.startswith(f"error: {beginning}")
    assert [path.name for path in (tmp_path / "run").iterdir()] == [".lock"]  # free for the next try


ADAPTER = "tester/tones-adapter"
ROUND_TRIP = """
from pathlib import Path
from transformers import WhisperForConditionalGeneration
from accel_asr.commands import transcribe
from accel_asr.model.pretrained import load_model_and_processor

def apart(one, other):
    return max(float((a - b).abs().max()) for a, b in zip(one.parameters(), other.parameters(), strict=True))

example = Path("run/best_adapter/README.md").read_text().split("```python")[1].split("```")[0]
names = {}
exec(example, names)
best, _ = load_model_and_processor("run/best")
base = WhisperForConditionalGeneration.from_pretrained("openai/whisper-tiny")
print(apart(names["model"], best), apart(base, best))
for model in ("tester/tones-adapter", "run/best"):
    transcribe.main(["--model", model, "recording.wav"])
"""


def test_the_adapter_of_a_run_is_published_and_loaded_back_by_its_cards_example_and_by_us(
    hub: LoopbackHub, tmp_path: Path
) -> None:
    env = hub_environment(hub, tmp_path / "hf_home")
    settings = ["--lora.enabled", "true", "--lora.r", "4", "--training.learning_rate", "0.05"]
    settings += ["--hub.hub_model_id", ADAPTER, "--hub.push_adapter", "true", "--hub.hub_revision", "main"]
    trained = console([*TRAIN, *settings], cwd=tmp_path, env=env)
    assert trained.code == 0, trained.err[-2000:]
    assert trained.out.splitlines()[-1] == f"{hub.url}/{ADAPTER}"
    repository = hub.repository("model", ADAPTER).folder()
    files = {path.name for path in repository.iterdir()}
    assert {"README.md", "adapter_config.json", "adapter_model.safetensors", "tokenizer.json"} <= files
    assert "model.safetensors" not in files
    card = ModelCard.load(repository / "README.md").data
    assert (card.library_name, card.base_model, card.base_model_relation) == ("peft", "openai/whisper-tiny", "adapter")

    (tmp_path / "recording.wav").write_bytes(wav_bytes(tone_clip(["send", "transfer"])))
    done = run([sys.executable, "-c", ROUND_TRIP], cwd=tmp_path, env=env)
    assert done.code == 0, done.err[-2000:]
    shown, distances, by_adapter, by_best = done.out.splitlines()[-4:]
    from_best, from_base = map(float, distances.split())
    assert from_best < 1e-6 < 1e-2 < from_base
    assert shown.strip()
    assert by_adapter == by_best != ""
