"""The README.md of a dataset downloaded from the Hub: which files are which split of which subset."""

import glob
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from accel_asr.data.reading.source_table import first_few, source_error
from accel_asr.errors import UserError
from accel_asr.files.regular_files import open_regular

CARD = "README.md"
_MOST_BYTES = 1_000_000  # of a front matter
_FENCE = "---"


def configs_of_card(folder: Path) -> dict[str, dict[str, Any]]:
    """The subsets in the front matter of a folder's README.md, by name; none if it has no such list."""
    try:
        with open_regular(folder / CARD) as file:
            lines = file.read(_MOST_BYTES).decode("utf-8-sig", errors="replace").splitlines()
    except OSError:
        return {}
    if not lines or lines[0].strip() != _FENCE:
        return {}
    end = next((number for number, line in enumerate(lines[1:], start=1) if line.strip() == _FENCE), len(lines))
    try:
        card = yaml.safe_load("\n".join(lines[1:end]))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = str(error).splitlines()[0]
        raise source_error(
            f"its front matter is not YAML ({reason})", folder / CARD, "correct it, or delete it"
        ) from error
    configs = card.get("configs") if isinstance(card, Mapping) else None
    return {
        str(config.get("config_name", "default")): dict(config)
        for config in (configs if isinstance(configs, list) else [])
        if isinstance(config, Mapping) and config.get("data_files")
    }


def choose_config(configs: Mapping[str, dict[str, Any]], subset: str | None, *, folder: Path) -> dict[str, Any]:
    """The subset that was asked for, or the only one, or the default one.

    Raises:
        UserError: no such subset, or none was asked for and there are several.
    """
    names = first_few([repr(name) for name in configs], most=20)
    if subset is not None:
        if subset not in configs:
            raise UserError(
                f"{str(folder)!r} has no such subset",
                setting="--data.subset",
                value=subset,
                remedy=f"give one of: {names}",
            )
        return configs[subset]
    if len(configs) == 1:
        return next(iter(configs.values()))
    defaults = [config for name, config in configs.items() if config.get("default") is True or name == "default"]
    if len(defaults) == 1:
        return defaults[0]
    raise UserError(f"{str(folder)!r} has several subsets", setting="--data.subset", remedy=f"give one of: {names}")


def files_by_split(config: Mapping[str, Any], *, folder: Path) -> dict[str, list[str]]:
    """The files of each split of a subset, relative to `folder`, in order.

    Raises:
        UserError: a pattern leads out of the folder or matches nothing, or `data_files` has no known form.
    """
    within = str(config.get("data_dir") or "")
    files: dict[str, list[str]] = {}
    missing, outside = [], []
    for split, patterns in _patterns(config["data_files"]):
        for pattern in patterns:
            full = os.path.normpath(os.path.join(within, pattern))
            if "://" in pattern or os.path.isabs(full) or full.startswith(".."):
                outside.append(repr(pattern))
                continue
            names = sorted(glob.glob(full, root_dir=folder, recursive=True))
            names = [name for name in names if os.path.isfile(folder / name)]
            files.setdefault(split, []).extend(names)
            if not names:
                missing.append(repr(pattern))
    problem = remedy = ""
    if outside:
        problem, remedy = f"files outside of its folder ({first_few(outside)})", "only files in the folder are read"
    elif missing:
        problem, remedy = f"files that are missing ({first_few(missing)})", "download the whole dataset"
    elif not files:
        problem, remedy = "no files in a known form", "write `data_files` as the Hub's documentation says"
    if problem:
        raise source_error(f"it names {problem}", folder / CARD, remedy)
    return {split: list(dict.fromkeys(names)) for split, names in files.items()}


def _patterns(data_files: Any) -> list[tuple[str, list[str]]]:
    """(split, patterns), in each of the forms that a card may use."""
    if isinstance(data_files, Mapping):
        return [(str(split), _texts(paths)) for split, paths in data_files.items()]
    if isinstance(data_files, list) and all(isinstance(entry, Mapping) for entry in data_files):
        return [(str(entry.get("split", "train")), _texts(entry.get("path"))) for entry in data_files]
    return [("train", _texts(data_files))]


def _texts(paths: Any) -> list[str]:
    return [str(path) for path in (paths if isinstance(paths, list) else [paths]) if path]
