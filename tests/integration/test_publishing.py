"""A run that is to be published: refused in its first seconds if it can be, and kept if the upload fails."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import ModelCard
from peft import PeftModel
from transformers import WhisperForConditionalGeneration, WhisperProcessor

from accel_asr.model.pretrained import save_model_folder
from tests.adapter_folders import make_adapter
from tests.hub_server import LoopbackHub
from tests.integration.launching import console, hub_environment, run
from tests.tiny_datasets import make_minds14_like, tone_clip, wav_bytes
from tests.tiny_models import make_tiny_whisper
from tests.unit.publishing.made_up_records import write_records

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
from accel_asr.commands import push, transcribe
from accel_asr.model.pretrained import load_model_and_processor

push.main(["run", "--hub_model_id", "tester/tones-adapter", "--push_adapter"])
example = Path("run/best_adapter/README.md").read_text().split("```python")[1].split("```")[0]
names = {}
exec(example, names)
here = load_model_and_processor("run/best")[0].parameters()
print("apart", max(float((a - b).abs().max()) for a, b in zip(names["model"].parameters(), here, strict=True)))
for model in ("tester/tones-adapter", "run/best"):
    transcribe.main(["--model", model, "recording.wav"])
"""


def test_an_adapter_is_pushed_and_loaded_back_by_its_cards_example_and_by_us(hub: LoopbackHub, tmp_path: Path) -> None:
    base = hub.repository("model", "openai/whisper-tiny").folder()
    best, best_adapter = tmp_path / "run" / "best", tmp_path / "run" / "best_adapter"
    make_adapter(base, best_adapter, named="openai/whisper-tiny", size=0.3)
    whisper, processor = WhisperForConditionalGeneration.from_pretrained(base), WhisperProcessor.from_pretrained(base)
    whisper.generation_config.language, whisper.generation_config.task = "en", "transcribe"
    save_model_folder(PeftModel.from_pretrained(whisper, str(best_adapter)).merge_and_unload(), processor, best)
    processor.save_pretrained(best_adapter)
    whisper.generation_config.save_pretrained(best_adapter)
    write_records(tmp_path / "run", "--config", "whisper_tiny_minds14")
    (tmp_path / "recording.wav").write_bytes(wav_bytes(tone_clip(["send", "transfer"])))

    done = run([sys.executable, "-c", ROUND_TRIP], cwd=tmp_path, env=hub_environment(hub, tmp_path / "hf_home"))
    assert done.code == 0, done.err[-2000:]
    published, shown, apart, *transcripts = done.out.splitlines()[-5:]
    assert published == f"{hub.url}/{ADAPTER}"
    assert shown.strip()
    assert float(apart.split()[1]) < 1e-6
    assert len(set(transcripts)) == 1
    assert transcripts[0].strip()
    repository = hub.repository("model", ADAPTER).folder()
    files = {path.name for path in repository.iterdir()}
    assert {"README.md", "adapter_config.json", "adapter_model.safetensors", "tokenizer.json"} <= files
    assert "model.safetensors" not in files
    card = ModelCard.load(repository / "README.md").data
    assert (card.library_name, card.base_model) == ("peft", "openai/whisper-tiny")
