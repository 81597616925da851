"""A Hub on loopback for huggingface_hub in this very process, and a small finished run to push to it."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import huggingface_hub
import pytest
from huggingface_hub import ModelCard, constants

from accel_asr.publishing import hub as publishing
from tests.hub_server import LoopbackHub

CARD = "---\nlicense: mit\n---\n# a card\n"


@contextmanager
def hub_of_this_process(root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackHub]:
    """Logged in; large files (`.safetensors`) go through git-lfs; the client's own waiting takes no time."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.delenv("HF_OIDC_RESOURCE", raising=False)
    with LoopbackHub(root / "hub", lfs_suffixes=(".safetensors",)) as hub:
        monkeypatch.setattr(constants, "ENDPOINT", hub.url)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(root / "token"))
        monkeypatch.setenv("HF_TOKEN", hub.token)
        monkeypatch.setattr("time.sleep", lambda seconds: None)
        huggingface_hub.close_session()
        yield hub
    huggingface_hub.close_session()


def make_finished_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run folder as far as a push looks at it; its card is `CARD`."""
    monkeypatch.setattr(publishing, "make_model_card", lambda run_dir, **options: ModelCard(CARD))
    run = folder / "my_run"
    files = dict.fromkeys(("config.yaml", "environment.json", "data_summary.json", "summary.json"), "{}") | {
        "best/config.json": '{"model_type": "whisper"}',
        "best/model.safetensors": "weights" * 1000,
        "best/.hidden": "not for others",
        "last/model.safetensors": "other weights",
        "best_adapter/adapter_config.json": '{"peft_type": "LORA", "base_model_name_or_path": "openai/whisper-tiny"}',
        "best_adapter/adapter_model.safetensors": "small",
        "tensorboard/events.out.tfevents.1.host.2.0": "curves",
        "tensorboard/samples/events.out.tfevents.1.host.2.1": "voices",
    }
    for name, content in files.items():
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        (run / name).write_text(content)
    return run


def fingerprints(run: Path) -> dict[str, str]:
    """File -> checksum, the card left out."""
    return {
        path.relative_to(run).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(run.rglob("*"))
        if path.is_file() and path.name != "README.md"
    }
