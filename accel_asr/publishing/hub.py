"""Upload the best model of a run, with a card made from the run's own records."""

import shlex
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from huggingface_hub import CommitOperationAdd, HfApi
from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError
from huggingface_hub.utils import get_token, validate_repo_id

from accel_asr.console.printing import say as say_line
from accel_asr.errors import UserError
from accel_asr.files.atomic_writes import write_text
from accel_asr.publishing.hub_faults import HUB_ERRORS, in_short, remedy_for, status_of, with_retries
from accel_asr.publishing.model_card import make_model_card
from accel_asr.publishing.upload_plan import CARD_FILE, PlannedFile, plan_upload, require_finished_run, told_size

MAIN_BRANCH = "main"
NO_TOKEN = (
    "no token for the Hugging Face Hub was found; log in with `hf auth login`, or set HF_TOKEN to one that may write"
)


def push_run(
    run_dir: Path,
    *,
    hub_model_id: str,
    private: bool | None = None,
    revision: str | None = None,
    commit_message: str | None = None,
    include_tensorboard: bool = False,
    say: Callable[[str], None] = say_line,
    wait: Callable[[float], None] = time.sleep,
) -> str:
    """Upload `run_dir/best` as the repository `hub_model_id`, which is created if it is not there, in one commit.

    The token comes from where huggingface_hub keeps it (`hf auth login`, `HF_TOKEN`). Safe to repeat: files that are
    there already are not sent again. Of the run, only the card, `best/README.md`, is written.

    Args:
        private: For a new repository; None is the account's default. One that is there keeps what it is; a public one
            is refused when True is asked for.
        revision: Branch, created if it is not there.
        say: Takes a line for each new try, and what else is worth knowing.
        wait: Takes the seconds before a new try.

    Returns:
        The address of the model.

    Raises:
        UserError: no finished run in the folder, no token, refused, or out of reach. The run is left as it was.
    """
    require_finished_run(run_dir)
    _check_name(hub_model_id)
    api = HfApi(token=_token(f"hub.hub_model_id: {NO_TOKEN}"))
    again = _command(run_dir, hub_model_id, private, revision, include_tensorboard)

    def attempt(action: Callable[[], object]) -> None:
        with_retries(action, doing="push", say=lambda line: say(_without_token(line, api)), wait=wait)

    _write_card(run_dir, hub_model_id=hub_model_id)
    planned = plan_upload(run_dir, include_tensorboard=include_tensorboard)
    then = f"The model is safe in {run_dir / 'best'}. Then: {again}"
    with _faults_explained(f"the upload to {hub_model_id!r} failed", api, hub_model_id, then=then):
        attempt(lambda: _ready_repository(api, hub_model_id, private=private, say=say))
        if revision not in (None, MAIN_BRANCH):
            attempt(lambda: api.create_branch(hub_model_id, branch=str(revision), exist_ok=True))
        message = commit_message or f"accel_asr: {run_dir.resolve().name}"
        attempt(lambda: _commit(api, hub_model_id, planned, revision=revision, message=message, say=say))
    size = told_size(sum(file.size_bytes for file in planned))
    say(f"published   {len(planned)} files, {size}; what was there already was not sent again")
    return _address(api.endpoint, hub_model_id, revision)


def describe_push(
    run_dir: Path,
    *,
    hub_model_id: str,
    private: bool | None = None,
    revision: str | None = None,
    include_tensorboard: bool = False,
) -> str:
    """What `push_run` would send, as text. Asks the Hub nothing and writes nothing.

    Raises:
        UserError: no finished run in the folder, or not a name.
    """
    require_finished_run(run_dir)
    _check_name(hub_model_id)
    card = str(make_model_card(run_dir, hub_model_id=hub_model_id))
    files = {file.path_in_repo: file for file in plan_upload(run_dir, include_tensorboard=include_tensorboard)}
    files[CARD_FILE] = PlannedFile(CARD_FILE, run_dir / "best" / CARD_FILE, len(card.encode()))
    planned = [files[name] for name in sorted(files)]
    visibility = {None: "as your account's default", True: "private", False: "public"}[private]
    return "\n".join(
        [
            f"would push to {_address(HfApi().endpoint, hub_model_id, revision)} (if it is new: {visibility})",
            *(f"  {told_size(file.size_bytes):>9}  {file.path_in_repo}  <- {file.path}" for file in planned),
            f"  {told_size(sum(file.size_bytes for file in planned)):>9}  in {len(planned)} files, as one commit",
            f"token: {'found' if get_token() else 'none; ' + NO_TOKEN}",
            "nothing was sent, and nothing written",
        ]
    )


def check_may_push(
    hub_model_id: str,
    *,
    private: bool | None = None,
    say: Callable[[str], None] = say_line,
    wait: Callable[[float], None] = time.sleep,
) -> None:
    """Find out before training what would refuse the upload after it: the name, the token, the repository's visibility.

    Raises:
        UserError: it would be refused, or the Hub is out of reach.
    """
    _check_name(hub_model_id)
    api = HfApi(token=_token(f"hub.push_to_hub: {NO_TOKEN}, or train without hub.push_to_hub and push later"))

    def ask() -> None:
        account = api.whoami()
        owners = [account["name"], *(organization["name"] for organization in account.get("orgs", ()))]
        owner, _, name = hub_model_id.partition("/")
        if owner.lower() not in [one.lower() for one in owners]:
            raise UserError(
                f"hub.hub_model_id: {hub_model_id!r} belongs to someone else: the token is of {', '.join(owners)}; "
                f"give a name of yours, such as {owners[0]}/{name}"
            )
        _is_there(api, hub_model_id, private=private, say=say)

    later = "Or train without hub.push_to_hub, and push later"
    with _faults_explained(f"an upload to {hub_model_id!r} would fail", api, hub_model_id, then=later):
        with_retries(ask, doing="hub.push_to_hub", say=lambda line: say(_without_token(line, api)), wait=wait)


def _ready_repository(api: HfApi, hub_model_id: str, *, private: bool | None, say: Callable[[str], None]) -> None:
    if not _is_there(api, hub_model_id, private=private, say=say):
        api.create_repo(hub_model_id, private=private, exist_ok=True)


def _is_there(api: HfApi, hub_model_id: str, *, private: bool | None, say: Callable[[str], None]) -> bool:
    """Whether the repository exists.

    Raises:
        UserError: it exists and is public, and was to be private.
    """
    try:
        is_private = bool(api.repo_info(hub_model_id).private)
    except RepositoryNotFoundError:
        return False
    settings = f"{api.endpoint}/{hub_model_id}/settings"
    if private and not is_private:
        raise UserError(
            f"hub.hub_private_repo: {hub_model_id!r} is there already and is public; nothing was sent. Make it "
            f"private at {settings}, give another name, or push with --hub_private_repo false"
        )
    if private is False and is_private:
        say(f"hub.hub_private_repo: {hub_model_id!r} is there already and stays private; to change that: {settings}")
    return True


def _commit(
    api: HfApi,
    hub_model_id: str,
    planned: list[PlannedFile],
    *,
    revision: str | None,
    message: str,
    say: Callable[[str], None],
) -> None:
    """Send what is not there yet, as one commit."""
    # made anew for each try: only then is asked again what is there, and a commit whose answer was lost is not repeated
    operations = [CommitOperationAdd(path_in_repo=file.path_in_repo, path_or_fileobj=file.path) for file in planned]
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always", UserWarning)
        api.create_commit(hub_model_id, operations, commit_message=message, revision=revision)
    for warning in warned:
        if issubclass(warning.category, UserWarning):  # what the Hub remarks on the card
            say(" ".join(str(warning.message).split()))


def _write_card(run_dir: Path, *, hub_model_id: str) -> None:
    """Put the card into `best/`, complete or not at all; nothing else there is touched."""
    card = make_model_card(run_dir, hub_model_id=hub_model_id)
    try:
        write_text(run_dir / "best" / CARD_FILE, str(card))
    except OSError as error:
        raise UserError(
            f"RUN_DIR: the card {str(run_dir / 'best' / CARD_FILE)!r} can't be written ({error.strerror}); make room, "
            "or push a copy of the folder that you may write to"
        ) from error


def _check_name(hub_model_id: str) -> None:
    """Raises: UserError: the Hub has no such names."""
    try:
        validate_repo_id(hub_model_id)
    except HFValidationError as error:
        raise UserError(
            f"hub.hub_model_id: {hub_model_id!r} is not a Hub name ({' '.join(str(error).split())}); give user/name"
        ) from error


@contextmanager
def _faults_explained(what_failed: str, api: HfApi, hub_model_id: str, *, then: str) -> Iterator[None]:
    """Turn what huggingface_hub raises into one message.

    Raises:
        UserError: instead of it. The token is not in it, whatever the Hub said.
    """
    try:
        yield
    except HUB_ERRORS as error:
        remedy = remedy_for(error, hub_model_id=hub_model_id, endpoint=api.endpoint)
        setting = "HF_TOKEN" if status_of(error) == 401 else "hub.hub_model_id"
        message = f"{setting}: {what_failed} ({in_short(error)}); {remedy}. {then}"
        raise UserError(_without_token(message, api)) from error


def _token(message_without: str) -> str:
    """Raises: UserError: there is none."""
    token = get_token()
    if token is None:
        raise UserError(message_without)
    return token


def _without_token(text: str, api: HfApi) -> str:
    """A server may repeat what it was sent."""
    return text.replace(str(api.token), "hf_...")


def _address(endpoint: str, hub_model_id: str, revision: str | None) -> str:
    return f"{endpoint}/{hub_model_id}" + ("" if revision in (None, MAIN_BRANCH) else f"/tree/{revision}")


def _command(
    run_dir: Path, hub_model_id: str, private: bool | None, revision: str | None, include_tensorboard: bool
) -> str:
    """The command that does it again."""
    words = ["accel-asr", "push", str(run_dir), "--hub_model_id", hub_model_id]
    words += [] if private is None else ["--hub_private_repo", str(private).lower()]
    words += [] if revision is None else ["--revision", revision]
    words += ["--include_tensorboard"] if include_tensorboard else []
    return shlex.join(words)
