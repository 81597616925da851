"""The README.md of a dataset that was downloaded from the Hub: which of its files are which split of which subset."""

import glob
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from accel_asr.data.reading.audio_paths import named
from accel_asr.errors import UserError
from accel_asr.files.regular_files import open_regular

CARD = "README.md"
_MOST_BYTES = 1_000_000  # of a front matter
_FENCE = "---"


def configs_of_card(folder: Path) -> dict[str, dict[str, Any]]:
    """The subsets that a folder's README.md names in its front matter, by name; none where it says nothing of data."""
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
        raise UserError(
            f"data.name_or_path: the front matter of {str(folder / CARD)!r} is no YAML ({reason}); "
            "mend it, or take it out"
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
    names = named([repr(name) for name in configs], most=20)
    if subset is not None:
        if subset not in configs:
            raise UserError(f"data.subset: {str(folder)!r} has no subset {subset!r}; its {CARD} names: {names}")
        return configs[subset]
    if len(configs) == 1:
        return next(iter(configs.values()))
    defaults = [config for name, config in configs.items() if config.get("default") is True or name == "default"]
    if len(defaults) == 1:
        return defaults[0]
    raise UserError(f"data.subset: {str(folder)!r} has several subsets; set data.subset to one of: {names}")


def files_by_split(config: Mapping[str, Any], *, folder: Path) -> dict[str, list[str]]:
    """The files of each split of a subset, relative to `folder`, in order.

    Raises:
        UserError: a pattern leads out of the folder or matches nothing, or `data_files` is written in no known way.
    """
    within = str(config.get("data_dir") or "")
    files: dict[str, list[str]] = {}
    missing, outside = [], []
    for split, patterns in _patterns(config["data_files"]):
        for pattern in patterns:
            whole = os.path.normpath(os.path.join(within, pattern))
            if "://" in pattern or os.path.isabs(whole) or whole.startswith(".."):
                outside.append(repr(pattern))
                continue
            there = sorted(glob.glob(whole, root_dir=folder, recursive=True))
            there = [name for name in there if os.path.isfile(folder / name)]
            files.setdefault(split, []).extend(there)
            if not there:
                missing.append(repr(pattern))
    problems = []
    if outside:
        problems.append(f"names what lies outside of it ({named(outside)}); only files in the folder are read")
    if missing:
        problems.append(f"names files that are not there ({named(missing)}); download the whole dataset")
    if problems or not files:
        told = "; ".join(problems) or "says in no known way which files hold the data"
        raise UserError(f"data.name_or_path: {CARD} of {str(folder)!r} {told}")
    return {split: list(dict.fromkeys(names)) for split, names in files.items()}


def _patterns(data_files: Any) -> list[tuple[str, list[str]]]:
    """(split, patterns) of each of the ways in which a card may say it."""
    if isinstance(data_files, Mapping):
        return [(str(split), _texts(paths)) for split, paths in data_files.items()]
    if isinstance(data_files, list) and all(isinstance(one, Mapping) for one in data_files):
        return [(str(one.get("split", "train")), _texts(one.get("path"))) for one in data_files]
    return [("train", _texts(data_files))]


def _texts(paths: Any) -> list[str]:
    return [str(path) for path in (paths if isinstance(paths, list) else [paths]) if path]
