"""Settings that do not fit each other: each is named, with its value, and with what to set it to."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from accel_asr.config.settings import ModelConfig
from accel_asr.data.checking.model_limits import load_model_limits
from accel_asr.model.folder.examination import examine, refuse_unfit_folder
from accel_asr.model.pretrained import load_model_and_processor
from accel_asr.quickstart import BASE_MODEL_DIR
from tests.odd_tokenizers import KINDS, with_tokenizer
from tests.refusals import refused
from tests.unit.model.folder.conftest import Spoil, refusal, write

TEXT_TOKEN, END, START, LAST = 300, 400, 401, 607  # of the tiny model


def test_whole_folders_pass_without_a_note(tiny_folder: Path, tiny_english_folder: Path) -> None:
    for folder in (tiny_folder, tiny_english_folder, BASE_MODEL_DIR):
        examined = examine(str(folder), name="m")
        assert examined.notes == []
        assert examined.config["model_type"] == "whisper"


@pytest.mark.realmodel
def test_openais_models_pass_without_a_note(whisper_tiny_en: Path, whisper_base: Path) -> None:
    for folder in (whisper_tiny_en, whisper_base):
        assert examine(str(folder), name="m").notes == []


CONFIG = [
    ({"num_mel_bins": 128}, ["num_mel_bins is 128", "the weights have 80", "set it to 80"]),
    ({"d_model": 32}, ["d_model is 32", "have 16"]),
    ({"decoder_layers": 10_000}, ["decoder_layers is 10000", "from 1 to 256"]),
    ({"decoder_layers": 3}, ["decoder_layers is 3", "have 2"]),
    ({"encoder_layers": 1}, ["encoder_layers is 1", "have 2"]),
    ({"d_model": -16}, ["d_model is -16"]),
    ({"vocab_size": 0}, ["vocab_size is 0"]),
    ({"vocab_size": 10**12}, ["vocab_size is 1000000000000"]),
    ({"vocab_size": 51_865}, ["vocab_size is 51865", "have 608"]),
    ({"d_model": 16.0}, ["d_model is 16.0", "whole number"]),
    ({"encoder_ffn_dim": True}, ["encoder_ffn_dim is True"]),
    ({"encoder_attention_heads": 3}, ["encoder_attention_heads 3", "divide", "16"]),
    ({"dropout": 1.5}, ["dropout is 1.5", "0 to below 1"]),
    ({"apply_spec_augment": True, "mask_time_length": 201}, ["mask_time_length is 201", "1 to 200"]),
    ({"activation_function": "magic"}, ["'magic'", "gelu"]),
    ({"quantization_config": {"load_in_8bit": True}}, ["quantization_config", "quantised from"]),
    ({"transformers_weights": "../other.safetensors"}, ["transformers_weights", "'../other.safetensors'"]),
    ({"dtype": "int8"}, ["dtype is 'int8'", "float32"]),
    ({"max_source_positions": 1500}, ["max_source_positions is 1500", "have 100"]),
    ({"model_type": ...}, ["no model_type", '"whisper"']),
    ({"model_type": "wav2vec2"}, ["'wav2vec2'", "only a Whisper", "openai/whisper-small"]),
    ({"model_type": "t5"}, ["'t5'", "only a Whisper"]),
    ({"model_type": ["whisper"]}, ["['whisper']"]),
    ({"architectures": ["WhisperForAudioClassification"]}, ["WhisperForAudioClassification", "no decoder"]),
    ({"architectures": ["WhisperForCausalLM"]}, ["WhisperForCausalLM", "decoder only"]),
    ({"architectures": ["BertModel"]}, ["BertModel", "WhisperForConditionalGeneration"]),
    ({"architectures": "T5Model"}, ["T5Model"]),
    ({"n_mels": 80, "n_audio_ctx": 1500}, ["MLX", "converted from"]),
    ({"decoder_start_token_id": START + 1}, [f"is {START + 1}", "'<|en|>'", f"set it to {START}"]),
    ({"decoder_start_token_id": ...}, ["missing", "50257", f"set it to {START}"]),
    ({"eos_token_id": 50_256}, ["eos_token_id is 50256", f"set it to {END}"]),
    ({"pad_token_id": TEXT_TOKEN}, [f"pad_token_id is {TEXT_TOKEN}", f"set it to {END}"]),
    ({"pad_token_id": 50_256}, ["pad_token_id is 50256", "no token"]),
]
GENERATION = [
    ({"decoder_start_token_id": END}, [f"is {END}", "'<|endoftext|>'", f"set it to {START}"]),
    ({"eos_token_id": [END]}, [f"is [{END}]", f"set it to {END}"]),
    ({"pad_token_id": None}, ["pad_token_id is None", f"set it to {END}"]),
    ({"no_timestamps_token_id": 505}, ["is 505", "'<|nocaptions|>'", "set it to 506"]),
    ({"no_timestamps_token_id": ...}, ["has no no_timestamps_token_id", "copy generation_config.json"]),
    # `generate` raises for these, or gives its answer in another form
    ({"num_beam_groups": 2}, ["num_beam_groups is 2", "take it out"]),
    ({"penalty_alpha": 0.6}, ["penalty_alpha is 0.6", "take it out"]),
    ({"stop_strings": ["."]}, ["stop_strings is ['.']", "take it out"]),
    ({"guidance_scale": 1.5}, ["guidance_scale is 1.5", "take it out"]),
    ({"cache_implementation": "quantized"}, ["cache_implementation is 'quantized'", "take it out"]),
    ({"return_dict_in_generate": True}, ["return_dict_in_generate is True", "take it out"]),
    ({"lang_to_id": {"<|en|>": 403}}, ["<|en|> 403", "it is 402"]),
    ({"lang_to_id": {}}, ["lang_to_id is {}"]),
    ({"task_to_id": {"transcribe": 1}}, ["<|transcribe|> 1"]),
    ({"task_to_id": ...}, ["no tasks", "task_to_id"]),
    ({"prev_sot_token_id": 7}, ["<|startofprev|> 7", "it is 504"]),
    ({"suppress_tokens": [LAST + 1]}, ["suppress_tokens", f"below {LAST + 1}"]),
    ({"suppress_tokens": [END]}, [f"suppress_tokens holds {END}", "take it out"]),
    ({"max_length": 1_000}, ["max_length is 1000", "1 to 448"]),
    ({"num_beams": 10**6}, ["num_beams is 1000000"]),
    ({"do_sample": True}, ["do_sample is True", "false"]),
    ({"is_multilingual": "yes"}, ["is_multilingual is 'yes'", "true or false"]),
]
AUDIO = [
    ({"feature_size": 128}, ["feature_size is 128", "80 mel bins", "set feature_size to 80"]),
    ({"chunk_length": 30}, ["chunk_length is 30", "window is 2 s", "set chunk_length to 2"]),
    ({"sampling_rate": 8_000}, ["sampling_rate is 8000", "set it to 16000"]),
    ({"hop_length": 320}, ["hop_length is 320", "set it to 160"]),
    ({"n_fft": 512}, ["n_fft is 512", "set it to 400"]),
    ({"n_fft": "400"}, ["n_fft is '400'"]),
    ({"dither": 0.1}, ["dither is 0.1", "0.0"]),
    ({"padding_value": -1.0}, ["padding_value is -1.0"]),
    ({"padding_side": "left"}, ["padding_side is 'left'", "right"]),
    ({"feature_extractor_type": "Wav2Vec2FeatureExtractor"}, ["Wav2Vec2FeatureExtractor", "WhisperFeatureExtractor"]),
]
CASES = [
    (name, settings, words)
    for name, cases in (
        ("config.json", CONFIG),
        ("generation_config.json", GENERATION),
        ("preprocessor_config.json", AUDIO),
    )
    for settings, words in cases
]


@pytest.mark.parametrize(("name", "settings", "words"), CASES, ids=lambda value: str(value)[:50])
def test_what_does_not_fit_is_named_with_its_value_and_the_remedy(
    spoil: Spoil, name: str, settings: dict[str, Any], words: list[str]
) -> None:
    message = refusal(spoil(name, **settings))
    for word in (name, *words):
        assert word in message


def test_all_that_is_wrong_is_said_at_once(spoil: Spoil, folder: Path) -> None:
    spoil("preprocessor_config.json", feature_size=128)
    spoil("generation_config.json", eos_token_id=1)
    spoil("config.json", vocab_size=9)
    message = refusal(folder)
    assert "3 reasons" in message
    assert all(word in message for word in ("feature_size is 128", "eos_token_id is 1", "vocab_size is 9"))


BROKEN = {
    "cut off": '{"model_type": "whis',
    "a list": "[1, 2]",
    "null": "null",
    "not finite": '{"model_type": "whisper", "dropout": NaN}',
    "too large": '{"model_type": "whisper", "dropout": 1e999}',
    "UTF-16": '{"model_type": "whisper"}'.encode("utf-16"),
    "byte order mark": b'\xef\xbb\xbf{"model_type": "whisper"}',  # transformers refuses it
    "no text": b"\xff\xfe\x00",
    "empty": b"",
    "nested": "[" * 100_000,
    "Git LFS": "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
}
JSON_FILES = ("config.json", "generation_config.json", "preprocessor_config.json", "tokenizer.json")
ALL_JSON_FILES = (*JSON_FILES, "tokenizer_config.json")


@pytest.mark.parametrize("name", ALL_JSON_FILES)
@pytest.mark.parametrize("kind", BROKEN)
def test_a_file_that_is_no_json_object_is_named(folder: Path, name: str, kind: str) -> None:
    write(folder / name, BROKEN[kind])
    message = refusal(folder)
    assert f"{name} " in message
    assert ("git lfs pull" in message) is (kind == "Git LFS")


@pytest.mark.parametrize("name", JSON_FILES[1:])
def test_a_file_that_is_missing_is_named_with_where_to_take_it_from(folder: Path, name: str) -> None:
    (folder / name).unlink()
    message = refusal(folder)
    assert name in message
    assert "copy" in message


def test_a_broken_link_and_what_is_no_file_are_named(folder: Path) -> None:
    (folder / "config.json").unlink()
    (folder / "config.json").symlink_to("gone.json")
    assert "config.json is a link to 'gone.json'" in refusal(folder)
    (folder / "config.json").unlink()
    (folder / "config.json").mkdir()
    assert "config.json is no regular file" in refusal(folder)


def test_two_preprocessors_that_contradict_each_other_are_named(folder: Path, spoil: Spoil) -> None:
    settings = json.loads((folder / "preprocessor_config.json").read_text())
    write(folder / "processor_config.json", json.dumps({"feature_extractor": settings}))
    assert examine(str(folder), name="m").audio == settings
    spoil("preprocessor_config.json", feature_size=128)
    message = refusal(folder)
    assert "contradict" in message
    assert "feature_size 80 and 128" in message


def test_the_padding_of_large_v3_is_no_fault(spoil: Spoil, folder: Path) -> None:
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["added_tokens"] = [token for token in tokenizer["added_tokens"] if token["id"] != LAST]
    tokenizer["model"]["vocab"][""] = LAST
    write(folder / "tokenizer.json", json.dumps(tokenizer))
    assert examine(str(spoil("config.json", pad_token_id=LAST)), name="m").config["pad_token_id"] == LAST


def test_a_tokenizer_of_another_model_is_named(folder: Path) -> None:
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["added_tokens"].append(tokenizer["added_tokens"][-1] | {"id": LAST + 1, "content": "<|2.02|>"})
    write(folder / "tokenizer.json", json.dumps(tokenizer))
    message = refusal(folder)
    for word in (f"up to {LAST + 1}", f"{LAST + 1} tokens (vocab_size)", "different models"):
        assert word in message


@pytest.mark.parametrize("kind", KINDS)
def test_a_tokenizer_that_only_lacks_flags_passes(tiny_folder: Path, tmp_path: Path, kind: str) -> None:
    load_model_and_processor(str(with_tokenizer(tiny_folder, tmp_path / "odd", kind)))


@pytest.mark.parametrize(
    ("first", "second", "kind"), [("<|0.02|>", "<|1.00|>", "times"), ("<|fr|>", "<|de|>", "languages")]
)
def test_times_and_languages_out_of_order(folder: Path, first: str, second: str, kind: str) -> None:
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokens = {token["content"]: token for token in tokenizer["added_tokens"]}
    tokens[first]["content"], tokens[second]["content"] = second, first
    write(folder / "tokenizer.json", json.dumps(tokenizer))
    assert f"has {kind} that do not follow" in refusal(folder)


def test_languages_without_tasks(folder: Path) -> None:
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    [task] = [token for token in tokenizer["added_tokens"] if token["content"] == "<|translate|>"]
    task["content"] = "<|other|>"
    write(folder / "tokenizer.json", json.dumps(tokenizer))
    assert "has languages, and no <|translate|>" in refusal(folder)


def test_letters_that_do_not_come_back_are_refused_by_training_and_check_data(folder: Path) -> None:
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    vocabulary = tokenizer["model"]["vocab"]
    vocabulary["?" * 7] = vocabulary.pop("Ã")  # the byte C3, with which Ü begins
    write(folder / "tokenizer.json", json.dumps(tokenizer))
    model = ModelConfig(name_or_path=str(folder), language="en")
    for load in (
        lambda: load_model_and_processor(str(folder)),
        lambda: load_model_limits(model, language_of_rows=False),
    ):
        with refused("--model.name_or_path", "can't spell", "Ünïcödé", value=str(folder)):
            load()


@pytest.mark.parametrize(
    "change",
    [
        {"model": {"type": "Unigram", "vocab": []}},
        {"model": 1},
        {"added_tokens": [1]},
        {"added_tokens": {"a": 1}},
        {"added_tokens": []},
        {"added_tokens": [{"content": "<|endoftext|>", "id": "x"}]},
    ],
)
def test_a_tokenizer_that_is_no_whispers_is_refused(folder: Path, change: dict[str, Any]) -> None:
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    write(folder / "tokenizer.json", json.dumps(tokenizer | change))
    assert "tokenizer.json" in refusal(folder)


@pytest.mark.parametrize(
    "change", [{"pre_tokenizer": 5}, {"decoder": "x"}, {"version": None}, {"normalizer": [1]}, {"post_processor": True}]
)
def test_a_tokenizer_that_its_library_can_not_read_is_refused(folder: Path, change: dict[str, Any]) -> None:
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    write(folder / "tokenizer.json", json.dumps(tokenizer | change))
    assert "tokenizer.json is no tokenizer (" in refusal(folder)


@pytest.mark.parametrize(
    ("name", "content", "word"),
    [
        ("special_tokens_map.json", [], "list"),
        ("added_tokens.json", 5, "int"),
        ("normalizer.json", None, "NoneType"),
        ("chat_template.json", {}, "no chat_template"),
        ("tokenizer_config.json", [1], "list"),
        ("tokenizer_config.json", {"tokenizer_class": "PreTrainedTokenizerFast"}, "'PreTrainedTokenizerFast'"),
        ("tokenizer_config.json", {"auto_map": {"AutoTokenizer": ["a.B", None]}}, "auto_map"),
    ],
)
def test_files_beside_the_tokenizer_are_looked_at(folder: Path, name: str, content: Any, word: str) -> None:
    write(folder / name, json.dumps(content))
    message = refusal(folder)
    assert name in message
    assert word in message


def test_a_name_that_no_file_can_have_is_refused_in_words() -> None:
    with refused("--model", "can't be looked at", value="a" * 300):
        refuse_unfit_folder("a" * 300, name="a" * 300, setting="--model")


def test_what_may_not_be_read_is_refused_in_words(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> bool:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "is_file", refuse)
    assert "Permission denied" in refusal(folder)


def test_a_tokenizer_in_two_files_is_read_too(folder: Path) -> None:
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    (folder / "tokenizer.json").unlink()
    write(folder / "vocab.json", json.dumps(tokenizer["model"]["vocab"]))
    assert "merges.txt" in refusal(folder)
    write(folder / "merges.txt", "#version: 0.2\n")
    assert "vocab.json has no <|" in refusal(folder)
    write(
        folder / "added_tokens.json", json.dumps({token["content"]: token["id"] for token in tokenizer["added_tokens"]})
    )
    assert examine(str(folder), name="m").notes == []


def test_code_of_a_model_is_not_run_and_that_is_said(spoil: Spoil) -> None:
    folder = spoil("config.json", auto_map={"AutoModel": "evil.Model"}, architectures=["WhisperWithExtras"])
    notes = examine(str(folder), name="m").notes
    assert len(notes) == 2
    assert "auto_map is ignored" in notes[0]
    assert "WhisperWithExtras" in notes[1]


def test_check_data_refuses_what_training_refuses(spoil: Spoil) -> None:
    folder = spoil("preprocessor_config.json", feature_size=128)
    model = ModelConfig(name_or_path=str(folder), language="en")
    with refused("--model.name_or_path", "feature_size", value=str(folder)):
        load_model_limits(model, language_of_rows=False)


def test_a_name_of_the_hub_is_left_to_loading() -> None:
    refuse_unfit_folder("somebody/something", name="somebody/something")


COMMANDS = {
    "train": ["--config", "quickstart", "--model.name_or_path", "FOLDER", "--output_dir", "RUN"],
    "verify": ["--config", "quickstart", "--model.name_or_path", "FOLDER"],
    "check-data": ["--config", "quickstart", "--model.name_or_path", "FOLDER"],
    "evaluate": ["--model", "FOLDER", "--dataset", "quickstart"],
    "transcribe": ["--model", "FOLDER", "x.wav"],
    "demo": ["--model", "FOLDER"],
    "export": ["--model", "FOLDER", "--format", "ctranslate2", "--output_dir", "RUN", "--config", "quickstart"],
    "push": ["PARENT", "--hub_model_id", "a/b", "--dry_run"],
}


def test_every_command_refuses_before_torch_is_imported(spoil: Spoil, tmp_path: Path) -> None:
    """In one process in which torch can't be imported: whoever tries ends in a traceback."""
    folder = spoil("preprocessor_config.json", feature_size=128)
    shutil.copytree(folder, tmp_path / "best")
    for name in ("config.yaml", "summary.json"):
        (tmp_path / name).write_text("{}")
    script = """
import json, sys
sys.modules["torch"] = None
from accel_asr.__main__ import main
ends = {}
for command, arguments in json.loads(sys.argv[1]).items():
    try:
        sys.argv = ["accel-asr", command, *arguments]
        ends[command] = main()
    except SystemExit as end:
        ends[command] = end.code
    print("=====", file=sys.stderr)
print(json.dumps(ends))
"""
    places = {"FOLDER": str(folder), "RUN": str(tmp_path / "run"), "PARENT": str(tmp_path)}
    commands = {name: [places.get(word, word) for word in words] for name, words in COMMANDS.items()}
    done = subprocess.run(
        [sys.executable, "-c", script, json.dumps(commands)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == dict.fromkeys(COMMANDS, 2)
    for command, message in zip(COMMANDS, done.stderr.split("====="), strict=False):
        assert "feature_size is 128" in message, command
    assert not (tmp_path / "run").exists()
