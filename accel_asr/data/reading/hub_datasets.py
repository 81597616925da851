"""Hub datasets, with their known traps: loading scripts, audio that wants a decoder, unreachable Hubs."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import datasets
from huggingface_hub import HfApi
from huggingface_hub.errors import HTTPError  # of the HTTP client that this huggingface_hub uses

from accel_asr.console.bars import waiting_is_said
from accel_asr.data.reading.saved_datasets import encoded
from accel_asr.errors import UserError
from accel_asr.quickstart import QUICKSTART

CONVERTED_REVISION = "refs/convert/parquet"  # where the Hub keeps a Parquet copy of every dataset


def open_hub_dataset(
    name: str, *, subset: str | None, revision: str | None, split: str, streaming: bool = False
) -> tuple[Any, list[str]]:
    """Download one split of a Hub dataset, or only get ready to stream it, with its audio left encoded.

    A repository that still holds a loading script, which `datasets` refuses, is read from the Parquet copy that the
    Hub made of it, by folder: asked for by name, that copy mixes all subsets without a word.

    Returns:
        The dataset, mapped into memory unless `streaming`, and notices for the user.

    Raises:
        UserError: unreachable, unknown, gated, no such subset or split; with the remedy.
    """
    notices = []
    with explained_hub_errors(name), waiting_is_said(f"getting {name} from the Hub"):
        try:
            dataset = datasets.load_dataset(name, subset, revision=revision, split=split, streaming=streaming)
        except RuntimeError as error:
            if "Dataset scripts are no longer supported" not in str(error):
                raise
            if subset is None:
                raise UserError(
                    f"data.subset: {name!r} holds a loading script, and its Parquet copy mixes all subsets; "
                    "set data.subset to the one you want, such as en-US"
                ) from error
            dataset = datasets.load_dataset(
                name, data_dir=subset, revision=CONVERTED_REVISION, split=split, streaming=streaming
            )
            notices.append(
                f"{name} holds a loading script, which is not run; read its Parquet copy instead "
                f"({CONVERTED_REVISION}, folder {subset})"
            )
        return encoded(dataset), notices


def commit_of(name: str, *, revision: str | None) -> str:
    """The commit that a dataset's branch, or `revision`, is at now.

    Raises:
        UserError: as `open_hub_dataset` raises.
    """
    with explained_hub_errors(name):
        return str(HfApi(endpoint=datasets.config.HF_ENDPOINT).dataset_info(name, revision=revision).sha)


def cache_of_hub() -> Path:
    """Where the clients of the Hub keep what they download."""
    return Path(datasets.config.HF_CACHE_HOME)


@contextmanager
def explained_hub_errors(name: str) -> Iterator[None]:
    """Turn what the clients of the Hub raise into one message.

    Raises:
        UserError: unreachable, unknown, gated, no such subset or split; with the remedy.
    """
    try:
        yield
    except datasets.exceptions.DatasetNotFoundError as error:
        raise UserError(
            f"data.name_or_path: {name!r} is neither a local path nor a dataset that the Hub shows you; check the "
            f"name, or log in with `hf auth login` if it is private or gated ({_first_line(error)})"
        ) from error
    except datasets.exceptions.DatasetGenerationError as error:
        cause = error.__cause__ or error
        raise UserError(
            f"data.name_or_path: {name!r} can't be read as a table ({_first_line(cause)}); if it holds bare "
            f"audio files, download them with `hf download {name} --repo-type dataset --local-dir <folder>`, and give "
            "that folder"
        ) from error
    except ValueError as error:  # no such subset, split or revision: the message lists those there are
        raise UserError(f"data.subset, data.train_split, data.eval_split: {name!r}: {_first_line(error)}") from error
    except (OSError, HTTPError) as error:
        raise UserError(unreachable_hub("data.name_or_path", name, "data", error)) from error


def unreachable_hub(setting: str, name: str, section: str, error: Exception) -> str:
    """One message for a Hub that can't be reached, with the ways on that need no network."""
    return (
        f"{setting}: {name!r} is not a local path, and the Hugging Face Hub could not be reached for it "
        f"({_first_line(error)}); check the network, or give --{section}.name_or_path <folder>, or try the embedded "
        f"{QUICKSTART} (--config {QUICKSTART}), which needs none"
    )


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
