"""The examination of a model folder: every command makes it before heavy imports, and loading makes it no other."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from accel_asr.console.printing import say
from accel_asr.console.public_text import visible
from accel_asr.errors import UserError
from accel_asr.model.folder.adapter_folder import (
    ADAPTER_SETTINGS,
    BASE,
    Adapter,
    AdapterFiles,
    Place,
    adapter_weights,
    adapter_weights_problems,
    read_adapter,
)
from accel_asr.model.folder.audio_settings import audio_problems, read_audio_settings
from accel_asr.model.folder.configuration import configuration_notes, configuration_problems, kind_problem
from accel_asr.model.folder.folder_files import HubRepository, LocalFolder, ModelFiles, UnfitFileError, read_json
from accel_asr.model.folder.generation_settings import alignment_notes, generation_problems, read_generation
from accel_asr.model.folder.kinds import kind_of_file, other_kind
from accel_asr.model.folder.token_ids import read_tokens, token_problems
from accel_asr.model.folder.weights import examine_weights

MOST_PROBLEMS = 12
SETTING = "--model.name_or_path"

Part = TypeVar("Part")


@dataclass(frozen=True)
class Examined:
    """A model that fits together: its settings, those of its feature extractor, and notes on what is not used of it.

    Args:
        weights_at, generation_at, tokenizer_at, audio_at: Where each part lies; of an adapter, the first is its base.
        adapter_weights: To be merged into those at `weights_at`; None unless it is an adapter.
    """

    config: dict[str, Any]
    generation: dict[str, Any]
    audio: dict[str, Any]
    notes: list[str]
    weights_at: Place
    generation_at: Place
    tokenizer_at: Place
    audio_at: Place
    adapter_weights: Path | None = None


def refuse_unfit_folder(source: str, *, name: str, setting: str = SETTING) -> None:
    """Examine a model if it is a local folder; a model on the Hub is examined when it is loaded.

    Args:
        source: Where the model is.
        name: As the user gave it.
        setting: Which setting or option gave it.

    Raises:
        UserError: it can't be used; the message says why and what to do.
    """
    if _is_here(source, name=name, setting=setting):
        examine(source, name=name, setting=setting)


def examine(source: str, *, name: str, revision: str | None = None, setting: str = SETTING) -> Examined:
    """Look at a model's JSON files and, in a local folder, at the headers of its weights.

    Args:
        source, name, setting: As for `refuse_unfit_folder`, but the model may be on the Hub.

    Raises:
        UserError: it can't be used, with all reasons; or the Hub can't be reached.
    """
    path, is_here = Path(source), _is_here(source, name=name, setting=setting)
    files: ModelFiles = LocalFolder(path) if is_here else HubRepository(source, revision)
    place = Place(source, revision)
    problems: list[str] = []
    try:
        if is_here and not path.is_dir():
            raise UnfitFileError(kind_of_file(path))
        adapter = read_adapter(files)
        if adapter is None:
            examined = _examined(files, problems, place=place, shown=name)
        else:
            examined = _adapter_examined(adapter, files, problems, place=place, name=name, setting=setting)
    except UnfitFileError as error:
        problems.append(str(error))
    except OSError as error:  # a folder or file that may not be looked at
        problems.append(f"it can't be read ({error.strerror or error}); give one that you may read")
    if problems:
        raise UserError(_reasons(problems), setting=setting, value=name)
    return examined


def require_adapter(folder: Path, *, setting: str) -> None:
    """Refuse to publish what others could not merge. The base model is not looked at: it may be elsewhere.

    Raises:
        UserError: it is no adapter, or can't be used.
    """
    files = LocalFolder(folder)
    try:
        if read_adapter(files, is_installed=bool) is None:
            raise UnfitFileError(f"there is no {ADAPTER_SETTINGS}")
        adapter_weights(files)
    except UnfitFileError as error:
        raise UserError(f"can't be used: {error}", setting=setting, value=folder) from error


def _is_here(source: str, *, name: str, setting: str) -> bool:
    """Raises: UserError: no file can have that name, or you may not look."""
    try:
        return Path(source).exists()
    except OSError as error:
        problem, remedy = (
            f"can't be looked at ({error.strerror})",
            "give a folder that you may read, or a name on the Hub",
        )
        raise UserError(problem, setting=setting, value=name, remedy=remedy) from error


def why_no_weights(name: str, *, revision: str | None, config: Mapping[str, Any]) -> str | None:
    """What a repository on the Hub, which could not be loaded, holds in place of a whole Whisper."""
    files = HubRepository(name, revision)
    return other_kind(files.names(), config, folder=None, shown=name, read=lambda name: read_json(files, name))


def say_notes(notes: list[str], *, name: str) -> None:
    """Print notes for the user on stderr, on the first rank only."""
    if os.environ.get("RANK", "0") == "0":
        for note in notes:
            say(f"note: model {name!r}: {visible(note)}", to_stderr=True)


def _adapter_examined(
    adapter: Adapter, files: ModelFiles, problems: list[str], *, place: Place, name: str, setting: str
) -> Examined:
    """Examine the base model, then the adapter's own files with it.

    Raises:
        UserError: the base can't be used, or is not there.
        UnfitFileError: the adapter's weights are missing.
    """
    base_name = str(adapter.settings[BASE])
    try:
        base = examine(adapter.base.source, name=base_name, revision=adapter.base.revision, setting=setting)
        if base.adapter_weights is not None:
            raise UserError("is itself an adapter", setting=setting, value=base_name)
    except UserError as error:
        raise UserError(
            f"is an adapter ({ADAPTER_SETTINGS}) of the base model {base_name!r}, which {error.problem}",
            setting=setting,
            value=name,
            remedy=f"give a whole Whisper as {BASE} in {ADAPTER_SETTINGS}: its name on the Hub, or its folder here",
        ) from error
    is_here = Path(adapter.base.source).exists()
    base_files: ModelFiles = (
        LocalFolder(Path(adapter.base.source)) if is_here else HubRepository(adapter.base.source, adapter.base.revision)
    )
    together = AdapterFiles(files, base_files)
    examined = _examined(together, problems, place=place, shown=name)
    weights = adapter_weights(files)
    problems += adapter_weights_problems(weights, base.config, base=base_name)
    return replace(
        examined,
        notes=base.notes + [note for note in examined.notes if note not in base.notes],
        weights_at=base.weights_at,
        generation_at=place if together.has_generation else base.generation_at,
        tokenizer_at=place if together.has_tokenizer else base.tokenizer_at,
        audio_at=place if together.has_audio else base.audio_at,
        adapter_weights=weights,
    )


def _examined(files: ModelFiles, problems: list[str], *, place: Place, shown: str) -> Examined:
    """Examine all parts, and add what is wrong to `problems`.

    Raises:
        UnfitFileError: no more can be examined.
    """
    config = read_json(files, "config.json")
    folder = files.folder if isinstance(files, LocalFolder) else None
    if folder is not None or config is None:
        kind = other_kind(files.names(), config, folder=folder, shown=shown, read=lambda name: read_json(files, name))
        if kind is not None:
            raise UnfitFileError(kind)
    if config is None:
        raise UnfitFileError("there is no config.json; give a model's folder, such as RUN/best, or a name on the Hub")
    wrong_kind = kind_problem(config)
    if wrong_kind is not None:
        raise UnfitFileError(wrong_kind)
    notes = configuration_notes(config)
    unbuildable = configuration_problems(config)
    problems += unbuildable
    sized = config
    if folder is not None and not unbuildable:
        weights = examine_weights(LocalFolder(folder), config)
        problems += weights.problems
        notes += weights.notes
        sized = {**config, **weights.sizes}  # the other files have to fit the weights
    audio_file, audio = _part(problems, lambda: read_audio_settings(files)) or ("", None)
    generation = _part(problems, lambda: read_generation(files))
    tokens = _part(problems, lambda: read_tokens(files))
    if not unbuildable:
        if audio is not None:
            problems += audio_problems(audio_file, audio, sized, files)
        if generation is not None:
            problems += generation_problems(generation, sized)
            notes += alignment_notes(generation, sized)
        if tokens is not None:
            problems += token_problems(tokens, sized, generation)
    return Examined(config, generation or {}, audio or {}, notes, place, place, place, place)


def _part(problems: list[str], read: Callable[[], Part]) -> Part | None:
    """A part of the model; None, with the reason in `problems`, where it can't be used."""
    try:
        return read()
    except UnfitFileError as error:
        problems.append(str(error))
        return None


def _reasons(problems: list[str]) -> str:
    if len(problems) == 1:
        return f"can't be used: {problems[0]}"
    shown = [f"  {problem}" for problem in problems[:MOST_PROBLEMS]]
    if len(problems) > MOST_PROBLEMS:
        shown.append(f"  and {len(problems) - MOST_PROBLEMS} more")
    return "\n".join([f"can't be used, for {len(problems)} reasons:", *shown])
