"""Folders and files that are given as a Whisper model and are something else: what they are, and what to do."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

HUB_FOLDER = "the Hugging Face folder that it was converted from (config.json, model.safetensors, tokenizer.json)"
ONE_WAY = f"that is for running it only; give {HUB_FOLDER}, or the model's name on the Hub"
NEW = "NEW_FOLDER"
RESAVE = (
    'python -c "from transformers import WhisperForConditionalGeneration as W; W.from_pretrained({source!r}{options})'
    f".save_pretrained('{NEW}')\", and copy tokenizer and preprocessor beside it"
)
OPENAI = (
    "OpenAI's own format; the published ones are on the Hub as openai/whisper-tiny ... openai/whisper-large-v3, and a "
    "tuned one is converted in an environment with 'transformers<5' by: python -m "
    "transformers.models.whisper.convert_openai_to_hf --checkpoint_path {source} --pytorch_dump_folder_path "
    f"{NEW} --convert_preprocessor True, and then saved again as safetensors"
)
OLD_FRAMEWORKS = {  # file -> (framework, argument of from_pretrained in transformers 4)
    "tf_model.h5": ("TensorFlow", "from_tf=True"),
    "flax_model.msgpack": ("Flax", "from_flax=True"),
}
PICKLES = ("pytorch_model.bin", "pytorch_model.bin.index.json")
TOKENIZER_FILES = ("tokenizer.json", "vocab.json", "tokenizer_config.json")
AUDIO_SUFFIXES = (".wav", ".mp3", ".flac", ".ogg", ".opus", ".m4a", ".parquet")
ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z")
SHOWN = 5


def kind_of_file(path: Path) -> str:
    """What a file is that was given as a model folder, and what to do."""
    suffix, source = path.suffix.lower(), str(path)
    first = b""
    if path.is_file():
        with path.open("rb") as file:
            first = file.read(4)
    if suffix == ".gguf" or first in (b"GGUF", b"lmgg", b"ggml"):
        return f"it is a model for whisper.cpp (ggml), and {ONE_WAY}"
    if suffix == ".onnx":
        return f"it is an ONNX graph, and {ONE_WAY}"
    if suffix in (".pt", ".pth"):
        return f"it is a PyTorch checkpoint, likely {OPENAI.format(source=source)}"
    if suffix in (".ckpt", ".nemo"):
        return f"it is a checkpoint of another program ({suffix}); export it from there to a Hugging Face folder"
    if suffix in ARCHIVES:
        return "it is an archive; unpack it, and give the folder"
    if suffix in (".yaml", ".yml"):
        return f"it is a YAML file; settings are given by --config {source}"
    if path.name in ("config.json", "model.safetensors") or suffix in (".safetensors", ".json"):
        return f"it is a file; give the folder that it lies in, {str(path.parent)!r}"
    return "it is a file and not a model's folder; give the folder"


def other_kind(
    names: set[str], config: Mapping[str, Any] | None, *, folder: Path | None, shown: str, read: Callable[[str], Any]
) -> str | None:
    """What a folder is, and what to do, unless it may be a whole Hugging Face Whisper.

    Args:
        names: Files and folders in it.
        config: Its config.json, if any.
        folder: Its path; None on the Hub.
        shown: Its name as the user gave it.
        read: Returns a JSON file's object, None for a missing file.
    """
    is_whole = config is not None and bool(names & {"model.safetensors", "model.safetensors.index.json"})
    # a whole model may have a best/ of its own beside it
    may_be_elsewhere = not is_whole or "state.json" in names
    if folder is not None and may_be_elsewhere and (place := _better_place(folder, names)) is not None:
        return place
    has_weights = any(name.endswith((".safetensors", ".safetensors.index.json")) for name in names)
    if has_weights and config is not None:
        return None
    return _other_format(names, shown, read) or _incomplete(names, config, has_weights=has_weights)


def _better_place(folder: Path, names: set[str]) -> str | None:
    """Where the model is, if it is inside the folder or beside it."""
    if "best" in names and (folder / "best" / "config.json").is_file():
        return f"it is the folder of a run; its model is in {str(folder / 'best')!r}, so give that"
    if "state.json" in names and names & {"optimizer.safetensors", "rng.safetensors"}:
        best = folder.absolute().parent.parent / "best"
        then = f"give {str(best)!r}" if best.is_dir() else "give best/ or last/ of its run"
        return f"it is a checkpoint to resume from, without tokenizer and settings; {then}"
    if "config.json" in names:
        return None
    if "snapshots" in names and names & {"refs", "blobs"}:
        versions = sorted(path for path in (folder / "snapshots").iterdir() if (path / "config.json").is_file())
        if versions:
            return f"it is a folder of the Hub's cache; the model is in {str(versions[-1])!r}, so give that"
    steps = [name for name in names if re.fullmatch(r"(checkpoint|step)-\d+", name)]
    if steps:
        run = folder.absolute().parent / "best"
        if run.is_dir():
            return f"it holds checkpoints to resume from; the model of its run is in {str(run)!r}, so give that"
        latest = max(steps, key=lambda name: int(name.rpartition("-")[2]))
        return f"it holds checkpoints; give one of them, such as {str(folder / latest)!r}"
    inside = sorted(
        name for name in names for file in ("config.json", "adapter_config.json") if (folder / name / file).is_file()
    )
    if inside:
        return f"it holds no model itself; give the folder inside, {str(folder / inside[0])!r}"
    return None


def _other_format(names: set[str], shown: str, read: Callable[[str], Any]) -> str | None:
    """Weights in a format of another program."""
    if "model.bin" in names and names & {"vocabulary.json", "vocabulary.txt"}:
        exported = read("export.json")
        source = exported.get("model") if isinstance(exported, dict) else None
        remedy = f"it was exported from {source!r}, so give that" if source else ONE_WAY
        return f"it is a CTranslate2 model (for faster-whisper): {remedy}"
    if any(name.endswith((".onnx", ".ort")) for name in names):
        return f"it holds ONNX graphs, and {ONE_WAY}"
    if any(name.endswith((".gguf", ".ggml")) or re.match(r"ggml-.*\.bin$", name) for name in names):
        return f"it holds a model for whisper.cpp (ggml), and {ONE_WAY}"
    if any(name.startswith("openvino") for name in names):
        return f"it holds an OpenVINO model, and {ONE_WAY}"
    if any(name.endswith((".mlmodelc", ".mlpackage", ".tflite", ".nemo", ".engine")) for name in names):
        return f"it holds a model for another program ({', '.join(sorted(names)[:SHOWN])}), and {ONE_WAY}"
    if names & {"weights.npz"}:
        return f"it holds a model for MLX, and {ONE_WAY}"
    if names & set(PICKLES) or any(re.match(r"pytorch_model-\d+-of-\d+\.bin$", name) for name in names):
        return (
            "its weights are pickled (pytorch_model.bin), which could run code and is not opened; if you trust them, "
            f"convert them: {RESAVE.format(source=shown, options=', use_safetensors=False')}"
        )
    for name, (framework, option) in OLD_FRAMEWORKS.items():
        if name in names:
            return (
                f"it has weights for {framework} only ({name}); convert them in an environment with "
                f"'transformers<5' and {framework}: {RESAVE.format(source=shown, options=', ' + option)}"
            )
    checkpoints = sorted(name for name in names if name.endswith((".pt", ".pth")))
    if checkpoints:
        return f"it holds {checkpoints[0]}, likely {OPENAI.format(source=f'{shown}/{checkpoints[0]}')}"
    return None


def _incomplete(names: set[str], config: Mapping[str, Any] | None, *, has_weights: bool) -> str | None:
    """Parts of a model."""
    if not names:
        return "it is empty; give a model's folder, such as RUN/best, or a name on the Hub"
    if config is not None:
        return "it has a config.json and no weights; put model.safetensors there, or download the folder again"
    if has_weights:
        return "it has weights and no config.json; copy config.json from the model that they are of"
    if names & set(TOKENIZER_FILES):
        return "it holds a tokenizer and no model; give the folder that has config.json and model.safetensors too"
    if any(name.lower().endswith(AUDIO_SUFFIXES) for name in names):
        return "it holds recordings and no model; they are given by data.name_or_path"
    listed = ", ".join(sorted(names)[:SHOWN])
    return f"it has no config.json and no model.safetensors, but {listed}; give a model's folder, such as RUN/best"
