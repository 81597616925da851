"""Upload the best model of a run, with a card made from the run's own records."""

import shlex
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from huggingface_hub import CommitOperationAdd, HfApi, ModelCard
from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError
from huggingface_hub.utils import get_token, validate_repo_id

from accel_asr.console.printing import say as say_line
from accel_asr.errors import UserError
from accel_asr.files.atomic_writes import write_errors_explained, write_text
from accel_asr.publishing.hub_faults import HUB_ERRORS, in_short, remedy_for, status_of, with_retries
from accel_asr.publishing.model_card import make_model_card
from accel_asr.publishing.upload_plan import (
    BEST,
    BEST_ADAPTER,
    CARD_FILE,
    PlannedFile,
    plan_upload,
    require_finished_run,
    size_text,
)

MAIN_BRANCH = "main"
NAME_SETTING, PRIVATE_SETTING, PUSH_SETTING = "--hub.hub_model_id", "--hub.hub_private_repo", "--hub.push_to_hub"
NO_TOKEN = "there is no token for the Hugging Face Hub"
GET_TOKEN = "log in with `hf auth login`, or set HF_TOKEN to a token that may write"


def push_run(
    run_dir: Path,
    *,
    hub_model_id: str,
    private: bool | None = None,
    revision: str | None = None,
    commit_message: str | None = None,
    include_tensorboard: bool = False,
    adapter: bool = False,
    say: Callable[[str], None] = say_line,
    wait: Callable[[float], None] = time.sleep,
) -> str:
    """Upload `run_dir/best`, or `best_adapter`, to the repository `hub_model_id`, created if needed, in one commit.

    The token comes from where huggingface_hub keeps it (`hf auth login`, `HF_TOKEN`). Safe to repeat: files that are
    already there are not sent again. In the run, only the card, `README.md` in the folder that is sent, is written.

    Args:
        private: For a new repository; None is the account's default. An existing one keeps its visibility; a public one
            is refused if True is asked for.
        revision: Branch, created if needed.
        say: Takes a line for each new try, and the Hub's remarks.
        wait: Takes the seconds before a new try.

    Returns:
        The address of the model.

    Raises:
        UserError: no finished run in the folder, no token, refused, or out of reach. The run is left as it was.
    """
    require_finished_run(run_dir, adapter=adapter)
    _check_name(hub_model_id)
    api = _logged_in(NAME_SETTING, hub_model_id, GET_TOKEN)
    again = _command(run_dir, hub_model_id, private, revision, include_tensorboard, adapter=adapter)

    def attempt(action: Callable[[], object]) -> None:
        with_retries(action, doing="push", say=lambda line: say(_without_token(line, api)), wait=wait)

    def commit() -> None:
        # built anew for each try: huggingface_hub then asks again what is there, and a commit whose reply was lost is
        # not repeated
        operations = [CommitOperationAdd(path_in_repo=file.path_in_repo, path_or_fileobj=file.path) for file in planned]
        message = commit_message or f"accel_asr: {run_dir.resolve().name}"
        with warnings.catch_warnings(record=True) as remarks:  # on the card, from the Hub
            warnings.simplefilter("always", UserWarning)
            api.create_commit(hub_model_id, operations, commit_message=message, revision=revision)
        for remark in remarks:
            if issubclass(remark.category, UserWarning):
                say(" ".join(str(remark.message).split()))

    folder = BEST_ADAPTER if adapter else BEST
    card = _write_card(run_dir, folder, hub_model_id=hub_model_id)
    planned = plan_upload(run_dir, include_tensorboard=include_tensorboard, folder=folder)
    then = f"The model is safe in {run_dir / folder}. Then: {again}"
    with _faults_explained("the upload failed", api, hub_model_id, then=then):
        attempt(lambda: _ready_repository(api, hub_model_id, private=private, say=say))
        if revision not in (None, MAIN_BRANCH):
            attempt(lambda: api.create_branch(hub_model_id, branch=str(revision), exist_ok=True))
        attempt(commit)
    if adapter and card.data.base_model is None:
        say("note: the base model is not on the Hub; whoever uses the adapter needs that model too")
    say(f"published   {_summary(planned)}; files that were already there were not sent again")
    return _address(api.endpoint, hub_model_id, revision)


def describe_push(
    run_dir: Path,
    *,
    hub_model_id: str,
    private: bool | None = None,
    revision: str | None = None,
    include_tensorboard: bool = False,
    adapter: bool = False,
) -> str:
    """What `push_run` would send, as text. Asks the Hub nothing and writes nothing.

    Raises:
        UserError: no finished run in the folder, or not a Hub name.
    """
    require_finished_run(run_dir, adapter=adapter)
    _check_name(hub_model_id)
    folder = BEST_ADAPTER if adapter else BEST
    card = str(make_model_card(run_dir, hub_model_id=hub_model_id, adapter=adapter))
    planned_files = plan_upload(run_dir, include_tensorboard=include_tensorboard, folder=folder)
    files = {file.path_in_repo: file for file in planned_files}
    files[CARD_FILE] = PlannedFile(CARD_FILE, run_dir / folder / CARD_FILE, len(card.encode()))
    planned = [files[name] for name in sorted(files)]
    visibility = {None: "as your account's default", True: "private", False: "public"}[private]
    return "\n".join(
        [
            f"would push to {_address(HfApi().endpoint, hub_model_id, revision)} (if it is new: {visibility})",
            *(f"  {size_text(file.size_bytes):>9}  {file.path_in_repo}  <- {file.path}" for file in planned),
            f"in one commit: {_summary(planned)}",
            f"token: {'found' if get_token() else f'none; {GET_TOKEN}'}",
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
    """Find out before training what would refuse the upload after it: the name, the token, the visibility.

    Raises:
        UserError: it would be refused, or the Hub is out of reach.
    """
    _check_name(hub_model_id)
    api = _logged_in(PUSH_SETTING, None, f"{GET_TOKEN}; or train without --hub.push_to_hub and push later")

    def ask() -> None:
        account = api.whoami()
        owners = [account["name"], *(organization["name"] for organization in account.get("orgs", ()))]
        owner, _, name = hub_model_id.partition("/")
        if owner.lower() not in [own.lower() for own in owners]:
            raise UserError(
                f"belongs to someone else: the token is of {', '.join(owners)}",
                setting=NAME_SETTING,
                value=hub_model_id,
                remedy=f"give a name of yours, such as {owners[0]}/{name}",
            )
        _repository_exists(api, hub_model_id, private=private, say=say)

    later = "Or train without --hub.push_to_hub, and push later"
    with _faults_explained("an upload would fail", api, hub_model_id, then=later):
        with_retries(ask, doing=PUSH_SETTING, say=lambda line: say(_without_token(line, api)), wait=wait)


def _ready_repository(api: HfApi, hub_model_id: str, *, private: bool | None, say: Callable[[str], None]) -> None:
    if not _repository_exists(api, hub_model_id, private=private, say=say):
        api.create_repo(hub_model_id, private=private, exist_ok=True)


def _repository_exists(api: HfApi, hub_model_id: str, *, private: bool | None, say: Callable[[str], None]) -> bool:
    """Raises: UserError: it exists and is public, and must be private."""
    try:
        is_private = bool(api.repo_info(hub_model_id).private)
    except RepositoryNotFoundError:
        return False
    settings = f"{api.endpoint}/{hub_model_id}/settings"
    if private and not is_private:
        raise UserError(
            f"{hub_model_id!r} exists and is public; nothing was sent",
            setting=PRIVATE_SETTING,
            value=True,
            remedy=f"make it private at {settings}, give another name, or push with --hub_private_repo false",
        )
    if private is False and is_private:
        say(f"{PRIVATE_SETTING}: {hub_model_id!r} exists and stays private; to change that: {settings}")
    return True


def _write_card(run_dir: Path, folder: str, *, hub_model_id: str) -> ModelCard:
    """Write the card to the folder, complete or not at all; nothing else there is touched."""
    path = run_dir / folder / CARD_FILE
    card = make_model_card(run_dir, hub_model_id=hub_model_id, adapter=folder == BEST_ADAPTER)
    with write_errors_explained(path, setting="RUN_DIR", remedy="push a copy of the folder that you may write to"):
        write_text(path, str(card))
    return card


def _check_name(hub_model_id: str) -> None:
    """Raises: UserError: the Hub has no such names."""
    try:
        validate_repo_id(hub_model_id)
    except HFValidationError as error:
        reason = " ".join(str(error).split())
        raise UserError(
            f"is not a Hub name ({reason})", setting=NAME_SETTING, value=hub_model_id, remedy="give user/name"
        ) from error


@contextmanager
def _faults_explained(problem: str, api: HfApi, hub_model_id: str, *, then: str) -> Iterator[None]:
    """Turn what huggingface_hub raises into a UserError, without the token, whatever the Hub said."""
    try:
        yield
    except HUB_ERRORS as error:
        is_token = status_of(error) == 401
        remedy = remedy_for(error, hub_model_id=hub_model_id, endpoint=api.endpoint)
        raise UserError(
            _without_token(f"{problem} ({in_short(error)})", api),
            setting="HF_TOKEN" if is_token else NAME_SETTING,
            value=None if is_token else hub_model_id,
            remedy=_without_token(f"{remedy}. {then}", api),
        ) from error


def _logged_in(setting: str, value: str | None, remedy: str) -> HfApi:
    """Raises: UserError: there is no token."""
    token = get_token()
    if token is None:
        raise UserError(NO_TOKEN, setting=setting, value=value, remedy=remedy)
    return HfApi(token=token)


def _without_token(text: str, api: HfApi) -> str:
    """A server may repeat what it was sent."""
    return text.replace(str(api.token), "hf_...")


def _summary(planned: list[PlannedFile]) -> str:
    return f"{len(planned)} files, {size_text(sum(file.size_bytes for file in planned))}"


def _address(endpoint: str, hub_model_id: str, revision: str | None) -> str:
    return f"{endpoint}/{hub_model_id}" + ("" if revision in (None, MAIN_BRANCH) else f"/tree/{revision}")


def _command(
    run_dir: Path,
    hub_model_id: str,
    private: bool | None,
    revision: str | None,
    include_tensorboard: bool,
    *,
    adapter: bool,
) -> str:
    """The command that does it again."""
    words = ["accel-asr", "push", str(run_dir), "--hub_model_id", hub_model_id]
    words += [] if private is None else ["--hub_private_repo", str(private).lower()]
    words += [] if revision is None else ["--revision", revision]
    words += ["--include_tensorboard"] if include_tensorboard else []
    words += ["--push_adapter"] if adapter else []
    return shlex.join(words)
