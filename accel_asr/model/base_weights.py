"""The weights of a base model, read again from its own files: what training began with."""

from collections.abc import Iterable
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from accel_asr.errors import UserError
from accel_asr.model.folder.examination import SETTING
from accel_asr.model.folder.folder_files import HubRepository, LocalFolder, ModelFiles, read_json
from accel_asr.model.folder.weights import INDEX, PROJECTION, WEIGHTS

_EMBEDDING = "model.decoder.embed_tokens.weight"


class BaseWeights:
    """Finds each weight of a whole model's folder or repository; reads one at a time, and keeps none.

    Args:
        source: The folder, or the name on the Hub of a model that has been loaded.
    """

    def __init__(self, source: str, revision: str | None = None) -> None:
        self._source = source
        self._places: dict[str, tuple[Path, str]] = {}  # name in the model -> file, name there
        for path in _weight_files(source, revision):
            with safe_open(path, framework="pt") as file:
                self._places |= {name: (path, name) for name in file.keys()}  # noqa: SIM118 - not a mapping
        if not any(name.startswith("model.") for name in self._places):  # saved without the output projection
            self._places = {f"model.{name}": place for name, place in self._places.items()}
        if _EMBEDDING not in self._places and PROJECTION in self._places:  # tied, and saved under the other name
            self._places[_EMBEDDING] = self._places[PROJECTION]

    def missing(self, names: Iterable[str]) -> list[str]:
        """Those names that the files don't have."""
        return [name for name in names if name not in self._places]

    def tensor(self, name: str) -> torch.Tensor:
        """A weight by the name that it has in the model, in fp32 on the CPU.

        Raises:
            UserError: the file has gone or changed since training began.
        """
        path, its_name = self._places[name]
        try:
            with safe_open(path, framework="pt") as file:
                tensor: torch.Tensor = file.get_tensor(its_name)
        except (OSError, SafetensorError) as error:
            raise UserError(
                f"can't be read any more ({' '.join(str(error).split())})",
                setting=SETTING,
                value=self._source,
                remedy="put it back and resume, or resume with --checkpoint.interpolate false",
            ) from error
        return tensor.float()


def _weight_files(source: str, revision: str | None) -> list[Path]:
    files: ModelFiles = LocalFolder(Path(source)) if Path(source).exists() else HubRepository(source, revision)
    single = files.path(WEIGHTS)
    if single is not None:
        return [single]
    index = read_json(files, INDEX)
    assert index is not None, "the model has been loaded from these files"
    paths = map(files.path, sorted(set(index["weight_map"].values())))
    return [path for path in paths if path is not None]
