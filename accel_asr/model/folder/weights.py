"""model.safetensors, or its shards: their headers are compared with config.json, without reading the weights."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from accel_asr.model.folder.configuration import ARCHITECTURE, setting
from accel_asr.model.folder.folder_files import LocalFolder, UnfitFileError, read_json, refuse_pointer

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
PROJECTION = "proj_out.weight"  # usually tied to the embeddings, and then not in the file
FLOATS = ("F16", "BF16", "F32", "F64")
SIZES = {  # setting -> the tensor that shows it, and which of its dimensions
    "num_mel_bins": ("model.encoder.conv1.weight", 1),
    "d_model": ("model.encoder.conv1.weight", 0),
    "max_source_positions": ("model.encoder.embed_positions.weight", 0),
    "vocab_size": ("model.decoder.embed_tokens.weight", 0),
    "max_target_positions": ("model.decoder.embed_positions.weight", 0),
    "encoder_ffn_dim": ("model.encoder.layers.0.fc1.weight", 0),
    "decoder_ffn_dim": ("model.decoder.layers.0.fc1.weight", 0),
}
FOREIGN_NAMES = {  # how names of tensors begin -> what that comes from, and what to do
    "base_model.model.": "they are of a LoRA adapter that was not merged; merge it into its base model first",
    "module.": "they were saved from a wrapped model; save accelerator.unwrap_model(model) instead",
    "_orig_mod.": "they were saved from a compiled model; save model._orig_mod instead",
    "encoder.blocks.": "they are OpenAI's or MLX's names; give the Hugging Face folder of the model",
    "decoder.blocks.": "they are OpenAI's or MLX's names; give the Hugging Face folder of the model",
}
SHOWN = 3


@dataclass(frozen=True)
class Tensor:
    """One tensor's entry in a header."""

    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True)
class WeightsExamined:
    """What is wrong, what is ignored, and the sizes of config.json as far as the weights show them."""

    problems: list[str]
    notes: list[str]
    sizes: dict[str, int]


def examine_weights(files: LocalFolder, config: Mapping[str, Any]) -> WeightsExamined:
    """Compare the headers with config.json."""
    try:
        tensors = _read_headers(files)
    except UnfitFileError as error:
        return WeightsExamined([str(error)], [], {})
    for beginning, meaning in FOREIGN_NAMES.items():
        if any(name.startswith(beginning) for name in tensors):
            return WeightsExamined([f"the weights' names begin with {beginning!r}: {meaning}"], [], {})
    if not any(name.startswith("model.") for name in tensors):
        tensors = {name if name == PROJECTION else f"model.{name}": tensor for name, tensor in tensors.items()}
    parts = [part for part in ("encoder", "decoder") if not any(name.startswith(f"model.{part}.") for name in tensors)]
    if parts:
        return WeightsExamined([f"the weights have no {' and no '.join(parts)}; give a whole {ARCHITECTURE}"], [], {})
    sizes = _sizes(tensors)
    problems = [
        f"config.json: {name} is {setting(config, name)!r}{'' if name in config else ' (left out)'}, and the weights "
        f"have {size}; set it to {size}, or take config.json and weights from one model"
        for name, size in sizes.items()
        if setting(config, name) != size
    ]
    if problems:
        return WeightsExamined(problems, [], sizes)
    needed = dict(expected_tensors(config))
    unknown = sorted(set(tensors) - set(needed) - {PROJECTION})
    notes = []
    if unknown:
        notes.append(
            f"{len(unknown)} tensors of the weights belong to no Whisper and are ignored: {', '.join(unknown[:SHOWN])}"
            f"{' ...' if len(unknown) > SHOWN else ''}"
        )
    return WeightsExamined(
        _tensor_problems(tensors, needed, tied=config.get("tie_word_embeddings", True)), notes, sizes
    )


def _read_headers(files: LocalFolder) -> dict[str, Tensor]:
    """Raises: UnfitFileError: weights are missing or torn."""
    single_file = files.path(WEIGHTS)
    if single_file is not None:
        return read_header(single_file)
    index = read_json(files, INDEX)
    if index is None:
        variants = sorted(name for name in files.names() if name.endswith(".safetensors"))
        lie_there = f"; there is {', '.join(variants[:SHOWN])}, which has another name" if variants else ""
        raise UnfitFileError(f"there is no {WEIGHTS}{lie_there}; put the model's own there")
    places = index.get("weight_map")
    if not isinstance(places, dict) or not places or not all(isinstance(name, str) for name in places.values()):
        raise UnfitFileError(f"{INDEX} has no weight_map of tensors and files; get it again")
    shards = sorted(set(places.values()))
    for name in shards:
        if name != Path(name).name or "\\" in name or not name.endswith(".safetensors"):
            raise UnfitFileError(
                f"{INDEX} names {name!r}, and weights are read from .safetensors files of the folder only; get it again"
            )
    missing = [name for name in shards if files.path(name) is None]
    if missing:
        more = f" and {len(missing) - SHOWN} more" if len(missing) > SHOWN else ""
        raise UnfitFileError(
            f"{len(missing)} of {len(shards)} files of the weights are missing: {', '.join(missing[:SHOWN])}{more}; "
            "get them, or download the folder again"
        )
    headers = {name: read_header(path) for name in shards if (path := files.path(name)) is not None}
    lost = [tensor for tensor, name in places.items() if tensor not in headers[name]]
    if lost:
        raise UnfitFileError(
            f"{INDEX} does not fit its files: {lost[0]} is not in {places[lost[0]]}; download the folder again"
        )
    return {tensor: headers[name][tensor] for tensor, name in places.items()}


def read_header(path: Path) -> dict[str, Tensor]:
    """Raises: UnfitFileError: the file is torn, or not safetensors."""
    try:
        with path.open("rb") as file:
            first = file.read(100)
        refuse_pointer(first, path.name)
        if not first:
            raise UnfitFileError(f"{path.name} is empty; download it again")
        with safe_open(path, framework="numpy") as opened:
            slices = {name: opened.get_slice(name) for name in opened.keys()}  # noqa: SIM118 - not a mapping
            return {name: Tensor(tuple(view.get_shape()), view.get_dtype()) for name, view in slices.items()}
    except OSError as error:
        raise UnfitFileError(f"{path.name} can't be read ({error.strerror or error})") from error
    except SafetensorError as error:
        raise UnfitFileError(
            f"{path.name} is torn, or no safetensors file ({error}); download or save it again"
        ) from error


def _sizes(tensors: Mapping[str, Tensor]) -> dict[str, int]:
    """The sizes that the tensors show."""
    sizes = {
        name: tensors[tensor].shape[dimension]
        for name, (tensor, dimension) in SIZES.items()
        if tensor in tensors and len(tensors[tensor].shape) > dimension
    }
    for side in ("encoder", "decoder"):
        start = f"model.{side}.layers."
        numbers = {name.removeprefix(start).split(".")[0] for name in tensors if name.startswith(start)}
        sizes[f"{side}_layers"] = 1 + max((int(number) for number in numbers if number.isdecimal()), default=-1)
    return sizes


def _tensor_problems(tensors: Mapping[str, Tensor], needed: dict[str, tuple[int, ...]], *, tied: bool) -> list[str]:
    problems = []
    embeddings = "model.decoder.embed_tokens.weight"
    if not tied:
        needed = {**needed, PROJECTION: needed[embeddings]}
    elif embeddings not in tensors and PROJECTION in tensors:  # either is enough
        needed = {name: shape for name, shape in needed.items() if name != embeddings}
    missing = [name for name in needed if name not in tensors]
    if missing:
        more = f" and {len(missing) - SHOWN} more" if len(missing) > SHOWN else ""
        problems.append(f"it lacks weights: {', '.join(missing[:SHOWN])}{more}; download or save it again")
    present = {name: tensors[name] for name in needed if name in tensors}
    shaped = [name for name, tensor in present.items() if tensor.shape != needed[name]]
    if shaped:
        name = shaped[0]
        problems.append(
            f"{len(shaped)} tensors have other shapes than config.json asks for: {name} has "
            f"{present[name].shape} and needs {needed[name]}; take config.json and weights from one model"
        )
    kinds = sorted({tensor.dtype for tensor in present.values()} - set(FLOATS))
    if kinds:
        problems.append(
            f"its weights are stored as {', '.join(kinds)}: they are quantised, and only {', '.join(FLOATS)} can be "
            "trained or converted; give the model that it was made from"
        )
    return problems


def expected_tensors(config: Mapping[str, Any]) -> Iterator[tuple[str, tuple[int, ...]]]:
    """(name, shape) of each tensor of a WhisperForConditionalGeneration but the output projection."""
    width, mels = setting(config, "d_model"), setting(config, "num_mel_bins")
    yield "model.encoder.conv1.weight", (width, mels, 3)
    yield "model.encoder.conv1.bias", (width,)
    yield "model.encoder.conv2.weight", (width, width, 3)
    yield "model.encoder.conv2.bias", (width,)
    yield "model.encoder.embed_positions.weight", (setting(config, "max_source_positions"), width)
    yield "model.decoder.embed_tokens.weight", (setting(config, "vocab_size"), width)
    yield "model.decoder.embed_positions.weight", (setting(config, "max_target_positions"), width)
    for side, attentions in (("encoder", ("self_attn",)), ("decoder", ("self_attn", "encoder_attn"))):
        inner = setting(config, f"{side}_ffn_dim")
        norms = [f"model.{side}.layer_norm"]
        for number in range(setting(config, f"{side}_layers")):
            layer = f"model.{side}.layers.{number}"
            for attention in attentions:
                for part in ("k_proj", "v_proj", "q_proj", "out_proj"):
                    yield f"{layer}.{attention}.{part}.weight", (width, width)
                    if part != "k_proj":  # Whisper's keys have none
                        yield f"{layer}.{attention}.{part}.bias", (width,)
                norms.append(f"{layer}.{attention}_layer_norm")
            yield f"{layer}.fc1.weight", (inner, width)
            yield f"{layer}.fc1.bias", (inner,)
            yield f"{layer}.fc2.weight", (width, inner)
            yield f"{layer}.fc2.bias", (width,)
            norms.append(f"{layer}.final_layer_norm")
        for norm in norms:
            yield f"{norm}.weight", (width,)
            yield f"{norm}.bias", (width,)
