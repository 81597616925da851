"""An adapter's folder, as peft writes it: settings, base model, the weights' header. Imports neither peft nor torch."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from accel_asr.model.folder.audio_settings import PREPROCESSOR, PROCESSOR
from accel_asr.model.folder.folder_files import LocalFolder, ModelFiles, UnfitFileError, read_json
from accel_asr.model.folder.generation_settings import GENERATION
from accel_asr.model.folder.token_ids import TOKENIZER, VOCABULARY
from accel_asr.model.folder.weights import PROJECTION, expected_tensors, read_header
from accel_asr.quickstart import BASE_MODEL_DIR, model_source

ADAPTER_SETTINGS, ADAPTER_WEIGHTS, ADAPTER_PICKLE = (
    "adapter_config.json",
    "adapter_model.safetensors",
    "adapter_model.bin",
)
PREFIX = "base_model.model."  # of every tensor of a module that peft has wrapped
BASE = "base_model_name_or_path"
NOT_MERGEABLE = (  # they add tokens, layers or a choice at run time; peft.merge_and_unload refuses them
    *("ADAPTION_PROMPT", "CARTRIDGE", "CPT", "LILY", "MULTITASK_PROMPT_TUNING", "POLY", "PREFIX_TUNING"),
    *("PROMPT_TUNING", "P_TUNING", "SHADOW", "XLORA"),
)
TASK = "SEQ_2_SEQ_LM"
TASKS = (None, TASK, "FEATURE_EXTRACTION")  # others have a head that Whisper lacks
WHOLE = ("model.safetensors", "model.safetensors.index.json")
MERGED_OR_NOT = (
    "it has whole weights (model.safetensors) and an adapter (adapter_config.json), which may be merged into them or "
    "not; if it is, take adapter_config.json and the adapter's weights out"
)


@dataclass(frozen=True)
class Place:
    """Where files are: a folder, or a name and revision on the Hub."""

    source: str
    revision: str | None = None


@dataclass(frozen=True)
class Adapter:
    """adapter_config.json, and the base model that it names."""

    settings: Mapping[str, Any]
    base: Place


@dataclass(frozen=True)
class AdapterFiles:
    """The files of the model that an adapter and its base make: of `own` what the adapter has, all else of `base`."""

    own: ModelFiles
    base: ModelFiles

    def names(self) -> set[str]:
        return self.own.names() | self.base.names()

    def path(self, name: str) -> Path | None:
        return self._holder(name).path(name)

    def _holder(self, name: str) -> ModelFiles:
        if name == "config.json":
            return self.base
        if name == GENERATION:
            is_own = self.own.path(GENERATION) is not None
        elif name in (PREPROCESSOR, PROCESSOR):
            is_own = self.has_audio
        else:
            is_own = self.has_tokenizer
        return self.own if is_own else self.base

    @property
    def has_audio(self) -> bool:
        """Whether the adapter has a feature extractor of its own."""
        sections = read_json(self.own, PROCESSOR) or {}  # older ones name classes only
        return self.own.path(PREPROCESSOR) is not None or bool({"feature_extractor", "audio_processor"} & set(sections))

    @property
    def has_tokenizer(self) -> bool:
        """Whether the adapter has a tokenizer of its own."""
        return any(self.own.path(name) is not None for name in (TOKENIZER, VOCABULARY))

    @property
    def has_generation(self) -> bool:
        """Whether the adapter has generation settings of its own."""
        return self.own.path(GENERATION) is not None


def read_adapter(files: ModelFiles, *, is_installed: Callable[[str], object] = find_spec) -> Adapter | None:
    """The adapter of a folder or repository; None where there is none.

    Raises:
        UnfitFileError: there is one that can't be merged into a Whisper.
    """
    folder = files.folder if isinstance(files, LocalFolder) else None
    names = files.names() if folder is not None else set()
    if "state.json" in names:  # a checkpoint of a run
        return None
    settings = read_json(files, ADAPTER_SETTINGS) if folder is None or ADAPTER_SETTINGS in names else None
    if settings is None:
        return None
    names = names or files.names()
    if names & set(WHOLE):
        raise UnfitFileError(MERGED_OR_NOT)
    _require_mergeable(settings)
    base = settings.get(BASE)
    if not isinstance(base, str) or not base:
        raise UnfitFileError(
            f"it is an adapter, and {ADAPTER_SETTINGS} does not say of which model ({BASE}); write its name or folder "
            "there"
        )
    if ADAPTER_WEIGHTS not in names and ADAPTER_PICKLE in names:
        raise UnfitFileError(
            f"the adapter's weights are pickled ({ADAPTER_PICKLE}), which could run code and is not opened; if you "
            f"trust them, load it with peft and save it again (save_pretrained writes {ADAPTER_WEIGHTS})"
        )
    if not is_installed("peft"):
        raise UnfitFileError(
            f"it is an adapter of {base} ({ADAPTER_SETTINGS}), and merging it needs peft, which is not installed: "
            "pip install 'accel-asr[lora]'"
        )
    revision = settings.get("revision")
    return Adapter(settings, Place(_base_source(base, folder), revision if isinstance(revision, str) else None))


def _require_mergeable(settings: Mapping[str, Any]) -> None:
    kind, task = settings.get("peft_type"), settings.get("task_type")
    if not isinstance(kind, str):
        raise UnfitFileError(f"{ADAPTER_SETTINGS} names no peft_type; save the adapter with peft again")
    if kind in NOT_MERGEABLE:
        raise UnfitFileError(
            f"it is an adapter of peft_type {kind}, which can't be merged into its base model; give one that can, such "
            "as LORA"
        )
    if task not in TASKS:
        raise UnfitFileError(
            f"it is an adapter for another task (task_type {task!r} in {ADAPTER_SETTINGS}), and a Whisper's is {TASK}; "
            "if it was trained on a whole Whisper, write that there"
        )
    if settings.get("megatron_config") is not None:  # peft would import the module that it names
        raise UnfitFileError(f"{ADAPTER_SETTINGS}: megatron_config names code, and none is run; take that entry out")


def _base_source(base: str, folder: Path | None) -> str:
    """Where the base is: as peft finds it, or inside or beside the adapter's folder by a relative path."""
    if base.replace("\\", "/").endswith("accel_asr/quickstart/base_model"):  # of this or another machine
        return str(BASE_MODEL_DIR)
    source = model_source(base)
    if folder is not None and not Path(source).exists() and (folder / source).is_dir():
        return str(folder / source)
    return source


def adapter_weights(files: ModelFiles) -> Path:
    """The adapter's weights, downloaded if need be.

    Raises:
        UnfitFileError: there are none.
    """
    path = files.path(ADAPTER_WEIGHTS)
    if path is None:
        raise UnfitFileError(f"it is an adapter without {ADAPTER_WEIGHTS}; get the folder again")
    return path


def adapter_weights_problems(path: Path, config: Mapping[str, Any], *, base: str) -> list[str]:
    """Compare the header with config.json of the base model; what only peft knows is compared when peft loads it."""
    try:
        tensors = read_header(path)
    except UnfitFileError as error:
        return [str(error)]
    needed = dict(expected_tensors(config))
    needed[PROJECTION] = needed["model.decoder.embed_tokens.weight"]
    modules = {name.removesuffix(".weight"): shape for name, shape in needed.items() if name.endswith(".weight")}
    own = {name.removeprefix(PREFIX): tensor.shape for name, tensor in tensors.items() if name.startswith(PREFIX)}
    if not own:
        return [f"{ADAPTER_WEIGHTS} has no tensor whose name begins with {PREFIX!r}; save the adapter with peft again"]
    for name, shape in own.items():
        module = next((module for module in modules if name.startswith(f"{module}.")), None)
        if module is None:
            return [f"its tensor {name} belongs to no part of the base model {base!r}; {_REMEDY}"]
        rest = name.removeprefix(f"{module}.")
        wanted = modules[module]
        is_other = (
            (rest == "lora_A.weight" and shape[1:2] != wanted[1:2])
            or (rest == "lora_B.weight" and shape[:1] != wanted[:1])
            or (name in needed and shape != needed[name])
        )
        if is_other:
            return [f"its tensor {name} {shape} does not fit the base model's {module} {wanted} ({base!r}); {_REMEDY}"]
    return []


_REMEDY = f"write the model that the adapter was made of into {BASE} in {ADAPTER_SETTINGS}"
