"""An adapter's folder is a model: its base is found, both are examined, and what can't be merged is refused at once."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file
from transformers import GenerationConfig, WhisperFeatureExtractor, WhisperTokenizer

from accel_asr.config.settings import ModelConfig
from accel_asr.data.checking.model_limits import load_model_limits
from accel_asr.model.folder.adapter_folder import read_adapter
from accel_asr.model.folder.examination import examine
from accel_asr.model.folder.folder_files import LocalFolder, UnfitFileError
from accel_asr.model.pretrained import load_model_and_processor
from accel_asr.quickstart import BASE_MODEL_DIR
from tests.adapter_folders import change_adapter, make_adapter
from tests.refusals import refused
from tests.tiny_models import make_tiny_whisper
from tests.unit.model.folder.conftest import refusal


@pytest.fixture(scope="module")
def whole_adapter(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_adapter(tiny_folder, tmp_path_factory.mktemp("adapter") / "adapter")


@pytest.fixture
def adapter(whole_adapter: Path, tmp_path: Path) -> Path:
    return shutil.copytree(whole_adapter, tmp_path / "adapter")


def test_the_parts_that_an_adapter_lacks_are_of_its_base(adapter: Path, tiny_folder: Path) -> None:
    examined = examine(str(adapter), name="a")
    places = (examined.weights_at, examined.generation_at, examined.tokenizer_at, examined.audio_at)
    assert {place.source for place in places} == {str(tiny_folder)}
    assert examined.adapter_weights == adapter / "adapter_model.safetensors"
    assert examined.config["d_model"] == 16
    assert examine(str(tiny_folder), name="m").adapter_weights is None


def test_the_parts_that_an_adapter_has_are_its_own(adapter: Path, tiny_folder: Path) -> None:
    generation = GenerationConfig.from_pretrained(tiny_folder)
    generation.language = "de"
    generation.save_pretrained(adapter)
    WhisperTokenizer.from_pretrained(tiny_folder).save_pretrained(adapter)
    examined = examine(str(adapter), name="a")
    assert examined.tokenizer_at.source == examined.generation_at.source == str(adapter)
    assert examined.weights_at.source == examined.audio_at.source == str(tiny_folder)
    model, processor = load_model_and_processor(str(adapter))
    assert model.generation_config.language == "de"
    assert processor.tokenizer.name_or_path == str(adapter)
    assert processor.feature_extractor.feature_size == 80

    WhisperFeatureExtractor(feature_size=128).save_pretrained(adapter)
    assert "feature_size is 128" in refusal(adapter)


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("quickstart", str(BASE_MODEL_DIR)),
        ("/home/else/lib/python3.12/site-packages/accel_asr/quickstart/base_model", str(BASE_MODEL_DIR)),
        ("openai/whisper-tiny", "openai/whisper-tiny"),
    ],
)
def test_the_base_is_found_by_its_name(adapter: Path, name: str, folder: str) -> None:
    found = read_adapter(LocalFolder(change_adapter(adapter, base_model_name_or_path=name, revision="v1")))
    assert found is not None
    assert (found.base.source, found.base.revision) == (folder, "v1")


def test_a_base_inside_or_beside_the_adapter_may_be_named_by_a_relative_path(adapter: Path, tiny_folder: Path) -> None:
    shutil.copytree(tiny_folder, adapter.parent / "base")
    load_model_and_processor(str(change_adapter(adapter, base_model_name_or_path="../base")))


def test_a_base_that_is_nowhere_is_one_error_that_says_where_to_write_it(adapter: Path) -> None:
    change_adapter(adapter, base_model_name_or_path="/not/here")
    with refused("--model", "'/not/here'", "not a local folder", value="a", remedy="base_model_name_or_path"):
        examine(str(adapter), name="a", setting="--model")


def test_what_is_wrong_with_the_base_is_said_of_the_base(adapter: Path, tiny_folder: Path) -> None:
    base = shutil.copytree(tiny_folder, adapter.parent / "base")
    (base / "generation_config.json").unlink()
    change_adapter(adapter, base_model_name_or_path=str(base))
    with refused("--model", repr(str(base)), "no generation_config.json", value="a"):
        examine(str(adapter), name="a", setting="--model")


def test_an_adapter_of_an_adapter_is_refused(adapter: Path, whole_adapter: Path) -> None:
    change_adapter(adapter, base_model_name_or_path=str(whole_adapter))
    with refused("--model.name_or_path", "itself an adapter", value=str(adapter)):
        examine(str(adapter), name=str(adapter))


@pytest.mark.parametrize(("layers", "width"), [(1, 16), (2, 32)])
def test_an_adapter_of_a_model_of_another_size_is_refused_by_name(
    adapter: Path, tmp_path: Path, layers: int, width: int
) -> None:
    base = make_tiny_whisper(tmp_path / "base", layers=layers, width=width)
    change_adapter(adapter, base_model_name_or_path=str(base))
    message = refusal(adapter)
    assert all(words in message for words in ("lora_", str(base), "base_model_name_or_path")), message


REFUSED: dict[str, tuple[dict[str, Any], list[str]]] = {
    "prompt tuning": ({"peft_type": "PROMPT_TUNING"}, ["PROMPT_TUNING", "can't be merged"]),
    "no type": ({"peft_type": None}, ["peft_type"]),
    "another task": ({"task_type": "SEQ_CLS"}, ["SEQ_CLS", "SEQ_2_SEQ_LM"]),
    "no base": ({"base_model_name_or_path": None}, ["does not say of which model", "base_model_name_or_path"]),
    "code": ({"megatron_config": {}, "megatron_core": "os"}, ["megatron_config", "code"]),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_can_not_be_merged_is_refused(adapter: Path, kind: str) -> None:
    settings, words = REFUSED[kind]
    message = refusal(change_adapter(adapter, **settings))
    assert all(word in message for word in words), message


def test_settings_that_are_no_object_are_refused(adapter: Path) -> None:
    (adapter / "adapter_config.json").write_text("[]")
    assert "adapter_config.json holds a list" in refusal(adapter)


def _pickle(adapter: Path) -> None:
    (adapter / "adapter_model.safetensors").rename(adapter / "adapter_model.bin")


def _lose(adapter: Path) -> None:
    (adapter / "adapter_model.safetensors").unlink()


def _tear(adapter: Path) -> None:
    weights = adapter / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])


def _rename(adapter: Path) -> None:
    weights = adapter / "adapter_model.safetensors"
    save_file({name.removeprefix("base_model."): tensor for name, tensor in load_file(weights).items()}, weights)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (_pickle, ["pickled", "adapter_model.bin", "save_pretrained"]),
        (_lose, ["without adapter_model.safetensors"]),
        (_tear, ["adapter_model.safetensors is torn"]),
        (_rename, ["begins with 'base_model.model.'"]),
    ],
)
def test_weights_that_can_not_be_read_are_refused(
    adapter: Path, spoil: Callable[[Path], None], words: list[str]
) -> None:
    spoil(adapter)
    message = refusal(adapter)
    assert all(word in message for word in words), message


def test_without_peft_the_extra_is_named(adapter: Path) -> None:
    with pytest.raises(UnfitFileError, match=r"accel-asr\[lora\]"):
        read_adapter(LocalFolder(adapter), is_installed=lambda module: None)


def test_a_checkpoint_of_a_run_is_no_adapter_to_load(adapter: Path) -> None:
    for name in ("state.json", "optimizer.safetensors"):
        (adapter / name).write_text("{}")
    assert "checkpoint to resume from" in refusal(adapter)


def test_a_checkpoint_of_hugging_faces_trainer_is(adapter: Path) -> None:
    (adapter / "trainer_state.json").write_text("{}")
    (adapter / "optimizer.pt").touch()
    run = adapter.rename(adapter.with_name("checkpoint-500")).parent
    assert "checkpoint-500" in refusal(run)
    assert examine(str(run / "checkpoint-500"), name="a").adapter_weights is not None


def test_a_run_whose_adapter_alone_was_kept_leads_to_it(adapter: Path) -> None:
    run = adapter.rename(adapter.with_name("best_adapter")).parent
    assert "best_adapter" in refusal(run)


def test_the_limits_of_an_adapter_are_those_of_what_it_makes(adapter: Path, tiny_folder: Path) -> None:
    """`check-data` asks for them, without torch; the tokenizer is the base's."""
    settings = ModelConfig(name_or_path=str(adapter), language="de")
    limits, of_base = (
        load_model_limits(model, language_of_rows=False)
        for model in (settings, replace(settings, name_or_path=str(tiny_folder)))
    )
    assert (limits.window_s, limits.language, limits.sampling_rate_hz) == (of_base.window_s, of_base.language, 16_000)
    assert limits.encoder.tokenizer.get_vocab() == of_base.encoder.tokenizer.get_vocab()
