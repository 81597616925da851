"""TensorBoard, trackio and Weights & Biases, by Accelerate: below the run folder, on this machine unless asked."""

import json
import netrc
import os
import secrets
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from accelerate import Accelerator
from accelerate.tracking import GeneralTracker, TensorBoardTracker, TrackioTracker, WandBTracker

from accel_asr.console.printing import say as say_line
from accel_asr.console.public_text import public_values
from accel_asr.errors import UserError
from accel_asr.ranks.main_process import write_on_main_process

TENSORBOARD_DIR, TRACKIO_DIR, WANDB_DIR = "tensorboard", "trackio", "wandb"
WANDB_RUN_FILE = "run_id"
WANDB_HOST = "https://api.wandb.ai"


def start_trackers(
    accelerator: Accelerator,
    *,
    report_to: Sequence[str],
    project_name: str,
    output_dir: Path,
    first_step: int,
    configuration: Mapping[str, Any],
    say: Callable[[str], None] = say_line,
) -> None:
    """Start each tracker of `report_to`, and give it the configuration. Every rank must call this; the main one tracks.

    TensorBoard hides what a killed run wrote for `first_step` and later steps; trackio and Weights & Biases continue
    the same run. Nothing is asked of the user, and nothing leaves the machine without a login of the
    user's (Weights & Biases) or a variable of trackio's own (`TRACKIO_SPACE_ID`).

    Args:
        configuration: Nested, as `Config.to_dict` gives it.
        say: Takes lines worth knowing.

    Raises:
        UserError: one of them does not start; on every rank.
    """
    shown = public_values(configuration)  # it may be sent elsewhere, and be published
    make = {name: partial(_MAKERS[name], project_name, output_dir, first_step, shown, say) for name in report_to}

    def start() -> None:
        for name in report_to:
            accelerator.trackers.append(_started(name, make[name], shown))

    write_on_main_process(accelerator, output_dir, start)


def _started(name: str, make: Callable[[], GeneralTracker], configuration: Mapping[str, Any]) -> GeneralTracker:
    try:
        with _public_arguments():
            tracker = make()
            tracker.start()
        if name == "tensorboard":
            _log_hyperparameters(tracker, configuration)
    except UserError:
        raise
    except Exception as error:  # anything: this is other people's code, and it is the first minute
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise UserError(
            f"does not start ({reason})",
            setting="--tracking.report_to",
            value=name,
            remedy=f"{_REMEDIES[name]}, or leave it out",
        ) from error
    return tracker


@contextmanager
def _public_arguments() -> Iterator[None]:
    """Weights & Biases records the command line: let it see no secrets."""
    arguments = sys.argv
    sys.argv = public_values(arguments)
    try:
        yield
    finally:
        sys.argv = arguments


def flat(configuration: Mapping[str, Any], prefix: str = "") -> dict[str, bool | int | float | str]:
    """Nested sections as dotted names; lists and dictionaries as JSON; unset values are dropped."""
    values: dict[str, bool | int | float | str] = {}
    for name, value in configuration.items():
        if isinstance(value, Mapping) and value and not prefix:
            values |= flat(value, prefix=f"{name}.")
        elif isinstance(value, bool | int | float | str):
            values[prefix + name] = value
        elif value is not None:
            values[prefix + name] = json.dumps(value, ensure_ascii=False)
    return values


def _tensorboard(
    project_name: str, output_dir: Path, first_step: int, configuration: Mapping[str, Any], say: Callable[[str], None]
) -> GeneralTracker:
    return TensorBoardTracker(TENSORBOARD_DIR, output_dir, purge_step=first_step)


def _log_hyperparameters(tracker: TensorBoardTracker, configuration: Mapping[str, Any]) -> None:
    """The configuration beside the curves, under HPARAMS.

    Not Accelerate's `store_init_configuration`: that makes two more folders, named by the time, at every start.
    """
    from torch.utils.tensorboard.summary import hparams

    for summary in hparams(flat(configuration), {"eval/wer": 0.0}):  # which metric to list, not its value
        tracker.writer.file_writer.add_summary(summary)
    tracker.writer.flush()


def _trackio(
    project_name: str, output_dir: Path, first_step: int, configuration: Mapping[str, Any], say: Callable[[str], None]
) -> GeneralTracker:
    # read when trackio is imported
    folder = os.environ.setdefault("TRACKIO_DIR", str((output_dir / TRACKIO_DIR).resolve()))
    elsewhere = [name for name in ("TRACKIO_SPACE_ID", "TRACKIO_SERVER_URL") if os.environ.get(name)]
    if elsewhere:
        say(f"trackio: sends this run to {os.environ[elsewhere[0]].partition('?')[0]}, as {elsewhere[0]} says")
    else:
        show = shlex.join([f"TRACKIO_DIR={folder}", "trackio", "show", "--project", project_name])
        say(f"trackio: on this machine only; look at it with: {show}")
    return TrackioTracker(
        project_name,
        name=output_dir.resolve().name,
        config=flat(configuration),
        resume="allow" if first_step > 1 else "never",
        embed=False,
    )


def _wandb(
    project_name: str, output_dir: Path, first_step: int, configuration: Mapping[str, Any], say: Callable[[str], None]
) -> GeneralTracker:
    import wandb

    folder = (output_dir / WANDB_DIR).resolve()
    folder.mkdir(exist_ok=True)
    for variable, name in (("WANDB_CACHE_DIR", "cache"), ("WANDB_DATA_DIR", "data")):
        os.environ.setdefault(variable, str(folder / name))
    mode = os.environ.get("WANDB_MODE")  # the user's own choice
    if not wandb_login_found():
        if mode in ("online", "shared"):
            raise UserError(
                "needs a login to Weights & Biases, and there is none",
                setting="WANDB_MODE",
                value=mode,
                remedy="run `wandb login` or set WANDB_API_KEY; or unset WANDB_MODE to keep the run on this machine",
            )
        mode = mode or "offline"  # else it would ask, or fail
    if mode == "offline":
        say(f"wandb: on this machine only; send it later with: wandb sync {shlex.quote(str(folder))}/offline-run-*")
    return WandBTracker(
        project_name,
        name=output_dir.resolve().name,
        id=_wandb_run_id(folder / WANDB_RUN_FILE),
        resume="allow",
        dir=str(output_dir.resolve()),
        mode=mode,
        config=dict(configuration),
        # its console would wrap ours; our own line says where an offline run is
        settings=wandb.Settings(console="off", quiet=mode == "offline"),
    )


def wandb_login_found() -> bool:
    """Whether Weights & Biases would find a key in the usual places, without asking anybody."""
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    host = urlsplit(os.environ.get("WANDB_BASE_URL") or WANDB_HOST).netloc
    own = os.environ.get("NETRC")
    for path in [Path(own)] if own else [Path("~/.netrc"), Path("~/_netrc")]:
        try:
            login = netrc.netrc(path.expanduser()).authenticators(host)
        except (OSError, netrc.NetrcParseError):
            continue
        if login and login[2]:
            return True
    return False


def _wandb_run_id(path: Path) -> str:
    """The id of this run folder's run, so that a resumed run continues its curves."""
    if not path.exists():
        path.write_text(os.environ.get("WANDB_RUN_ID") or secrets.token_hex(4), encoding="utf-8")
    return path.read_text(encoding="utf-8").strip()


_MAKERS: dict[str, Callable[..., GeneralTracker]] = {
    "tensorboard": _tensorboard,
    "trackio": _trackio,
    "wandb": _wandb,
}
_REMEDIES = {
    "tensorboard": "look at the folder tensorboard/ in output_dir",
    "trackio": "look at TRACKIO_SPACE_ID and TRACKIO_SERVER_URL if you set them",
    "wandb": "log in with `wandb login`, or set WANDB_MODE=offline",
}
