"""Hub datasets and their known traps: loading scripts, audio that needs a decoder, an unreachable Hub."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import datasets
from huggingface_hub import HfApi
from huggingface_hub.errors import HTTPError  # of the HTTP client that this huggingface_hub uses

from accel_asr.console.bars import waiting_is_said
from accel_asr.data.reading.saved_datasets import encoded, first_line
from accel_asr.data.reading.source_table import source_error
from accel_asr.errors import UserError
from accel_asr.quickstart import QUICKSTART

CONVERTED_REVISION = "refs/convert/parquet"  # where the Hub keeps a Parquet copy of every dataset


def open_hub_dataset(
    name: str, *, subset: str | None, revision: str | None, split: str, streaming: bool = False
) -> tuple[Any, list[str]]:
    """Download one split of a Hub dataset, or prepare to stream it, with its audio left encoded.

    A repository with a loading script, which `datasets` refuses, is read from the Parquet copy that the Hub made of it,
    by folder: asked for by name, that copy mixes all subsets silently.

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
                    f"{name!r} holds a loading script, which is not run, and its Parquet copy mixes all subsets",
                    setting="--data.subset",
                    remedy="set data.subset to the one you want, such as en-US",
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
    """The current commit of a dataset's main branch, or of `revision`.

    Raises:
        UserError: as `open_hub_dataset` raises.
    """
    with explained_hub_errors(name):
        return str(HfApi(endpoint=datasets.config.HF_ENDPOINT).dataset_info(name, revision=revision).sha)


def cache_of_hub() -> Path:
    """Where the Hub's clients keep downloads."""
    return Path(datasets.config.HF_CACHE_HOME)


@contextmanager
def explained_hub_errors(name: str) -> Iterator[None]:
    """Turn the errors of the Hub's clients into one message.

    Raises:
        UserError: unreachable, unknown, gated, no such subset or split; with the remedy.
    """
    try:
        yield
    except datasets.exceptions.DatasetNotFoundError as error:
        raise source_error(
            f"is neither a local path nor a dataset that the Hub shows you ({first_line(error)})",
            name,
            "check the name, or log in with `hf auth login` if it is private or gated",
        ) from error
    except datasets.exceptions.DatasetGenerationError as error:
        cause = error.__cause__ or error
        raise source_error(
            f"can't be read as a table ({first_line(cause)})",
            name,
            f"if it holds bare audio files, {download_remedy(name)}",
        ) from error
    except ValueError as error:  # no such subset, split or revision: the message lists those there are
        raise UserError(
            f"{name!r}: {first_line(error)}", setting="--data.subset, --data.train_split, --data.eval_split"
        ) from error
    except (OSError, HTTPError) as error:
        raise source_error(
            f"is not a local path, and the Hugging Face Hub can't be reached for it ({first_line(error)})",
            name,
            "check the network, or give --data.name_or_path <folder>, or try the embedded "
            f"{QUICKSTART} (--config {QUICKSTART}), which needs none",
        ) from error


def download_remedy(name: str) -> str:
    """How to get a dataset of bare audio files."""
    return f"download them with `hf download {name} --repo-type dataset --local-dir <folder>`, and give that folder"
