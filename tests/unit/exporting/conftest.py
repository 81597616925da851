"""The tiny model in both formats, converted once."""

import copy
from pathlib import Path
from typing import Any

import pytest

from accel_asr.data.labels import LabelEncoder
from accel_asr.data.loading.clip_items import ClipItems
from accel_asr.data.reading.rows import Row
from accel_asr.exporting import export_folder
from accel_asr.model import pretrained as modeling
from tests.tiny_datasets import tone_utterances, wav_bytes
from tests.unit.data.local_sources import utterances_of


def export(model_and_processor: Any, folder: Path, export_format: str) -> tuple[Path, export_folder.Converted]:
    folder.mkdir()
    model, processor = copy.deepcopy(model_and_processor)
    converted = export_folder.write_converted(
        model, processor, folder, export_format=export_format, quantization="float32"
    )
    return folder, converted


def opened(exported: tuple[Path, export_folder.Converted], model_and_processor: Any) -> Any:
    return export_folder.open_converted(*exported, processor=model_and_processor[1], threads=1)


@pytest.fixture(scope="session")
def as_ctranslate2(_loaded, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, export_folder.Converted]:
    return export(_loaded, tmp_path_factory.mktemp("ct2") / "exported", "ctranslate2")


@pytest.fixture(scope="session")
def as_onnx(_loaded, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, export_folder.Converted]:
    return export(_loaded, tmp_path_factory.mktemp("onnx") / "exported", "onnx")


@pytest.fixture(params=["ctranslate2", "onnx"])
def exported_model(request: pytest.FixtureRequest, _loaded) -> Any:
    return opened(request.getfixturevalue(f"as_{request.param}"), _loaded)


@pytest.fixture(scope="session")
def in_faster_whisper(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any, Any]:
    """(model, processor, exported): English-only and with Whisper's own window, so that faster-whisper takes it."""
    from tests.tiny_models import make_tiny_whisper

    modeling.quiet_libraries()
    folder = make_tiny_whisper(tmp_path_factory.mktemp("whole"), multilingual=False)
    model, processor = modeling.load_model_and_processor(str(folder))
    modeling.configure_generation(model, processor, language=None, task="transcribe", max_new_tokens=12, num_beams=1)
    exported = export((model, processor), tmp_path_factory.mktemp("fw") / "exported", "ctranslate2")
    return model, processor, exported


@pytest.fixture
def varied_items(model_and_processor, tmp_path: Path) -> ClipItems:
    """Six clips: of every other one another language and task, of every third one a previous text."""
    processor = model_and_processor[1]
    rows = [
        Row(
            f"clip-{index}",
            wav_bytes(clip),
            " ".join(words),
            language="de" if index % 2 else None,
            task="translate" if index % 2 else None,
            prompt="freeze my account" if index % 3 == 0 else None,
        )
        for index, (words, clip) in enumerate(tone_utterances(6))
    ]
    return ClipItems(
        utterances_of(rows, tmp_path),
        feature_extractor=processor.feature_extractor,
        encoder=LabelEncoder(processor.tokenizer),
    )
