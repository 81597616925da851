"""A model's files, in a local folder or on the Hub, read as data: regular files only, of a sensible size."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn, Protocol

from accel_asr.errors import UserError

MOST_JSON_BYTES = 64_000_000  # the largest, tokenizer.json, has 4 MB in OpenAI's models
LFS_POINTER = b"version https://git-lfs.github.com/spec/"
ANNEX_POINTER = b"/annex/objects/"


class UnfitFileError(Exception):
    """A file can't be used; the message names it and says why."""


class ModelFiles(Protocol):
    """Where a model's files are."""

    def names(self) -> set[str]:
        """Names at the top level; empty where they can't be listed."""
        ...

    def path(self, name: str) -> Path | None:
        """A file to read, None where there is none.

        Raises:
            UnfitFileError: what has that name can't be read.
        """
        ...


@dataclass(frozen=True)
class LocalFolder:
    """A folder of this machine."""

    folder: Path

    def names(self) -> set[str]:
        try:
            return {path.name for path in self.folder.iterdir()}
        except OSError as error:
            raise UnfitFileError(f"the folder can't be read ({error.strerror}); give one that you may read") from error

    def path(self, name: str) -> Path | None:
        path = self.folder / name
        if path.is_file():
            return path
        if path.is_symlink() and not path.exists():
            raise UnfitFileError(f"{name} is a link to {str(path.readlink())!r}, which is not there; copy it here")
        if path.exists():
            raise UnfitFileError(f"{name} is no regular file; put the model's own there")
        return None


@dataclass
class HubRepository:
    """A repository on the Hub, or its cache. Files are downloaded when they are asked for."""

    name: str
    revision: str | None = None
    _paths: dict[str, Path | None] = field(default_factory=dict)

    def names(self) -> set[str]:
        from huggingface_hub import HfApi

        try:
            return {path.split("/")[0] for path in HfApi().list_repo_files(self.name, revision=self.revision)}
        except (OSError, ValueError):  # the Hub's client raises these; loading will meet them too
            return set()

    def path(self, name: str) -> Path | None:
        """As `ModelFiles.path`.

        Raises:
            UserError: the repository can't be reached.
        """
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import EntryNotFoundError

        if name not in self._paths:
            try:
                self._paths[name] = Path(hf_hub_download(self.name, name, revision=self.revision))
            except EntryNotFoundError as error:
                if name == "config.json" and isinstance(error, FileNotFoundError):  # not in the cache, and no way out
                    raise_hub_problem(self.name, error)
                self._paths[name] = None
            except (OSError, ValueError) as error:
                raise_hub_problem(self.name, error)
        return self._paths[name]


def raise_hub_problem(name: str, error: Exception) -> NoReturn:
    """Say that there is no such folder here, and why the Hub did not give it either.

    Raises:
        UserError: always.
    """
    here = Path(name).expanduser()
    if name.startswith("~") and here.exists():
        remedy = f"write it without ~: {here}"
    else:
        remedy = (
            "check the name and the network, give a folder, or try the embedded quickstart, which needs no network "
            "(train with --config quickstart, other commands with --model quickstart)"
        )
    raise UserError(
        f"is not a local folder, and the Hugging Face Hub did not give it ({' '.join(str(error).split())})",
        setting="--model.name_or_path",
        value=name,
        remedy=remedy,
    ) from error


def read_json(files: ModelFiles, name: str) -> dict[str, Any] | None:
    """The object in a JSON file, None where there is no such file.

    Raises:
        UnfitFileError: it holds anything else, or numbers that are not finite.
    """
    path = files.path(name)
    if path is None:
        return None
    try:
        if path.stat().st_size > MOST_JSON_BYTES:
            raise UnfitFileError(f"{name} has {path.stat().st_size:,} bytes, too many for such a file; get it again")
        content = path.read_bytes()
        refuse_pointer(content[:100], name)
        # as text: given bytes, json also accepts UTF-16 and a byte order mark, which transformers does not
        loaded = json.loads(content.decode("utf-8"), parse_constant=_refuse_constant, parse_float=_finite)
    except OSError as error:
        raise UnfitFileError(f"{name} can't be read ({error.strerror})") from error
    except RecursionError as error:
        raise UnfitFileError(f"{name} nests too deeply for such a file; get it again") from error
    except ValueError as error:  # JSONDecodeError and UnicodeDecodeError are
        raise UnfitFileError(f"{name} is no valid JSON ({error}); get it again, or mend it") from error
    if not isinstance(loaded, dict):
        raise UnfitFileError(f"{name} holds a {type(loaded).__name__} and not an object ({{...}}); get it again")
    return loaded


def refuse_pointer(first_bytes: bytes, name: str) -> None:
    """Raises: UnfitFileError: it is a pointer that Git keeps in place of the file."""
    if first_bytes.startswith(LFS_POINTER):
        raise UnfitFileError(f"{name} is a pointer of Git LFS and not the file; fetch it with `git lfs pull`")
    if first_bytes.startswith(ANNEX_POINTER):
        raise UnfitFileError(f"{name} is a pointer of git-annex and not the file; fetch it with `git annex get`")


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number that JSON has")


def _finite(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise ValueError(f"{text} is too large for a number")
    return number
