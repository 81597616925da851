"""Loading, language and task, generation settings, and folders that the rest of the world can load."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import pipeline

from accel_asr.audio.decoding import to_float32
from accel_asr.commands import push
from accel_asr.model import pretrained as modeling
from accel_asr.model.parts import freeze
from accel_asr.model.pretrained import configure_generation, load_model_and_processor, save_model_folder
from tests.refusals import refused


def configure(model_and_processor, **changed) -> None:
    model, processor = model_and_processor
    settings = {"language": "en", "task": "transcribe", "max_new_tokens": 12, "num_beams": 1}
    configure_generation(model, processor, **(settings | changed))


# -- language and task


@pytest.mark.parametrize(
    ("language", "code"),
    [("en", "en"), ("english", "en"), ("German", "de"), ("NO", "no"), ("zh-CN", "zh"), ("nob", "no")],
)
def test_a_language_is_a_code_or_a_name(model_and_processor, language: str, code: str) -> None:
    configure(model_and_processor, language=language)
    model, processor = model_and_processor
    assert (model.generation_config.language, model.generation_config.task) == (code, "transcribe")
    label = processor.tokenizer.decode(processor.tokenizer("x").input_ids)
    assert label.startswith(f"<|startoftranscript|><|{code}|><|transcribe|><|notimestamps|>")


def test_labels_begin_with_what_generation_is_forced_to_begin_with(model_and_processor, utterances) -> None:
    configure(model_and_processor, language="de", task="translate")
    model, processor = model_and_processor
    samples = to_float32(utterances[0].samples())
    features = processor.feature_extractor(samples, sampling_rate=16_000, return_tensors="pt")
    generated = model.generate(features.input_features, return_dict_in_generate=True, force_unique_generate_call=True)
    begins = generated.sequences[0, :4].tolist()
    assert processor.tokenizer("x").input_ids[:4] == begins
    assert processor.tokenizer.decode(begins) == "<|startoftranscript|><|de|><|translate|><|notimestamps|>"


def test_a_multilingual_model_needs_a_language(model_and_processor) -> None:
    with refused("--model.language", "multilingual", " de,", remedy="--model.language en"):
        configure(model_and_processor, language=None)


def test_a_language_without_a_token_is_spoken_under_that_of_its_stand_in(model_and_processor) -> None:
    configure(model_and_processor, language="ckb", stand_ins={"ckb": "fa"})
    model, processor = model_and_processor
    assert model.generation_config.language == "fa"  # what whoever loads the saved model is to say
    assert "<|fa|>" in processor.tokenizer.decode(processor.tokenizer("x").input_ids)


@pytest.fixture
def english_only(tiny_english_folder: Path):
    return load_model_and_processor(str(tiny_english_folder))


@pytest.mark.parametrize("language", [None, "en", "english", "English"])
def test_an_english_only_model_takes_english_or_nothing(english_only, language: str | None) -> None:
    configure(english_only, language=language)
    model, processor = english_only
    label = processor.tokenizer.decode(processor.tokenizer("x").input_ids)
    assert label == "<|startoftranscript|><|notimestamps|>x<|endoftext|>"
    generated = model.generate(torch.zeros(1, 80, 200), return_dict_in_generate=True, force_unique_generate_call=True)
    assert processor.tokenizer("x").input_ids[:2] == generated.sequences[0, :2].tolist()


def test_a_model_with_a_table_of_languages_need_not_say_that_it_is_multilingual(model_and_processor) -> None:
    del model_and_processor[0].generation_config.is_multilingual
    configure(model_and_processor, language="de")
    assert model_and_processor[0].generation_config.language == "de"


# -- generation settings


def test_beams_and_length_land_in_the_models_own_settings(model_and_processor) -> None:
    configure(model_and_processor, num_beams=3, max_new_tokens=7)
    generation = model_and_processor[0].generation_config
    assert (generation.num_beams, generation.max_new_tokens, generation.max_length) == (3, 7, None)


def test_the_length_is_cut_to_what_the_decoder_holds(model_and_processor) -> None:
    configure(model_and_processor, max_new_tokens=448)
    assert model_and_processor[0].generation_config.max_new_tokens == 448 - 4  # start, language, task, no timestamps
    model, _ = model_and_processor
    generated = model.generate(torch.zeros(1, 80, 200), return_dict_in_generate=True, force_unique_generate_call=True)
    assert generated.sequences.shape == (1, 448)


def test_old_forced_ids_are_cleared(model_and_processor) -> None:
    model, _ = model_and_processor
    model.generation_config.forced_decoder_ids = [[1, 5], [2, 6]]
    model.config.forced_decoder_ids = [[1, 5], [2, 6]]
    configure(model_and_processor)
    assert model.generation_config.forced_decoder_ids is None
    assert model.config.forced_decoder_ids is None


# -- saving


def test_a_saved_model_transcribes_as_before_here_and_in_a_pipeline(
    model_and_processor, utterances, tmp_path: Path
) -> None:
    model, processor = model_and_processor
    configure(model_and_processor, language="de", num_beams=2)
    save_model_folder(model, processor, tmp_path / "best")
    loaded, loaded_processor = load_model_and_processor(str(tmp_path / "best"))
    transcriber = pipeline("automatic-speech-recognition", model=str(tmp_path / "best"))
    heard = set()
    for utterance in utterances[:3]:
        samples = to_float32(utterance.samples())
        features = processor.feature_extractor(samples, sampling_rate=16_000, return_tensors="pt").input_features
        ids = model.generate(features)
        assert torch.equal(loaded.generate(features), ids)
        text = processor.batch_decode(ids, skip_special_tokens=True)[0]
        assert loaded_processor.batch_decode(ids, skip_special_tokens=True)[0] == text
        assert transcriber({"raw": samples, "sampling_rate": 16_000})["text"] == text
        heard.add(text)
    assert len(heard) > 1  # the model does listen


def test_a_saved_folder_holds_no_pickle_and_what_other_tools_read(model_and_processor, tmp_path: Path) -> None:
    save_model_folder(*model_and_processor, tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    assert {path.suffix for path in tmp_path.iterdir()} == {".json", ".safetensors"}
    assert {"config.json", "generation_config.json", "preprocessor_config.json", "tokenizer.json"} <= names
    assert json.loads((tmp_path / "generation_config.json").read_text())["language"] == "en"


def test_saving_twice_gives_the_same_labels(model_and_processor, tmp_path: Path) -> None:
    configure(model_and_processor, language="de")
    expected = model_and_processor[1].tokenizer("my card").input_ids
    for number in range(2):
        save_model_folder(*model_and_processor, tmp_path / str(number))
        model_and_processor = load_model_and_processor(str(tmp_path / str(number)))
        configure(model_and_processor, language="de")
    assert model_and_processor[1].tokenizer("my card").input_ids == expected
    assert model_and_processor[1].tokenizer.english_spelling_normalizer["colour"] == "color"


# -- weights


def test_half_precision_is_loaded_as_fp32(model_and_processor, tmp_path: Path) -> None:
    model, processor = model_and_processor
    save_model_folder(model.half(), processor, tmp_path)
    loaded, _ = load_model_and_processor(str(tmp_path))
    assert {weight.dtype for weight in loaded.parameters()} == {torch.float32}


def test_the_encoders_sinusoids_stay_fixed(model_and_processor) -> None:
    # transformers 5 makes them without a gradient, and gives them one when it loads weights
    model, _ = model_and_processor
    assert not model.get_encoder().embed_positions.weight.requires_grad
    assert modeling.parameter_counts(model)[1] == modeling.parameter_counts(model)[0] - 100 * 16


# -- small formulas


def test_the_window_and_the_parameters_are_counted(model_and_processor) -> None:
    model, processor = model_and_processor
    assert modeling.window_s(processor) == 2.0
    everything = sum(np.prod(weight.shape) for weight in model.state_dict().values()) - 608 * 16  # the tied projection
    assert modeling.parameter_counts(model)[0] == everything
    freeze(model, ["encoder"])
    decoder = sum(weight.numel() for weight in model.model.decoder.parameters())
    assert modeling.parameter_counts(model) == (everything, decoder)


# -- weights that are not finite


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_tensors_that_are_not_finite_are_named(value: float, dtype: torch.dtype) -> None:
    tensors = {name: torch.ones(3, 4, dtype=dtype) for name in "abc"} | {"count": torch.tensor(3)}
    assert modeling.not_finite(tensors) == []
    tensors["b"][2, 3] = value
    assert modeling.not_finite(tensors) == ["b"]
    tensors["c"][0, 0], tensors["c"][0, 1] = float("inf"), float("-inf")
    assert modeling.not_finite(tensors) == ["b", "c"]


def test_large_numbers_whose_sum_overflows_are_finite() -> None:
    assert modeling.not_finite({"large": torch.full((10,), 3e38), "none": torch.empty(0)}) == []


def spoilt(folder: Path, tmp_path: Path) -> Path:
    shutil.copytree(folder, tmp_path / "spoilt")
    path = tmp_path / "spoilt" / "model.safetensors"
    tensors = load_file(path)
    tensors["model.encoder.conv1.bias"][0] = float("nan")
    save_file(tensors, path, metadata={"format": "pt"})
    return tmp_path / "spoilt"


def test_a_model_that_is_not_finite_is_not_loaded(tiny_folder: Path, tmp_path: Path) -> None:
    folder = spoilt(tiny_folder, tmp_path)
    with refused("--model.name_or_path", "not finite", "model.encoder.conv1.bias", value=str(folder)):
        load_model_and_processor(str(folder))


def test_a_model_that_is_not_finite_is_not_published(tiny_folder: Path, tmp_path: Path) -> None:
    modeling.require_finite_folder(tiny_folder)
    with refused(None, "not finite (model.encoder.conv1.bias)", "nothing is published"):
        modeling.require_finite_folder(spoilt(tiny_folder, tmp_path))
    run = tmp_path / "run"
    run.mkdir()
    (tmp_path / "spoilt").rename(run / "best")
    for dry in ([], ["--dry_run"]):
        with refused(None, "not finite", "nothing is published"):
            push.main([str(run), "--hub_model_id", "user/name", *dry])
    (run / "best" / "model.safetensors").write_bytes(b"torn")
    with refused(None, "can't be read", value=run / "best" / "model.safetensors"):
        modeling.require_finite_folder(run / "best")


# -- which model it was


def test_a_base_model_is_known_by_its_content(tiny_folder: Path, tiny_english_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_folder, tmp_path / "moved")
    digest = modeling.base_digest(*load_model_and_processor(str(tiny_folder)))
    assert modeling.base_digest(*load_model_and_processor(str(tmp_path / "moved"))) == digest
    others = []
    for change in ("weight", "dropout", "window"):
        model, processor = load_model_and_processor(str(tiny_folder))
        if change == "weight":
            with torch.no_grad():
                model.proj_out.weight[0, 0] += 1e-3
        elif change == "dropout":
            model.config.dropout = 0.1
        else:
            processor.feature_extractor.chunk_length = 3
        others.append(modeling.base_digest(model, processor))
    others.append(modeling.base_digest(*load_model_and_processor(str(tiny_english_folder))))
    assert len({digest, *others}) == 5


# -- what is refused


@pytest.mark.parametrize("name", ["./missing", "/nowhere/model"])
def test_a_folder_that_is_not_there_is_named_with_remedies(name: str) -> None:
    with refused("--model.name_or_path", "not a local folder", value=name, remedy="--config quickstart"):
        load_model_and_processor(name)


def test_loading_makes_the_examination(tiny_folder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_folder, tmp_path / "model")
    (folder / "generation_config.json").unlink()
    (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:1000])
    with refused("--model.name_or_path", "2 reasons", "generation_config.json", "model.safetensors", value=str(folder)):
        load_model_and_processor(str(folder))
