"""`accel-asr demo --model FOLDER_OR_NAME`: a page on this machine that transcribes what is recorded or uploaded."""

import argparse
import signal
import threading
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from accel_asr.commands.option_types import at_least_one, port
from accel_asr.console.printing import OptionParser, say
from accel_asr.errors import UserError, setting_shown_as
from accel_asr.model.folder.examination import refuse_unfit_folder
from accel_asr.quickstart import model_source

if TYPE_CHECKING:
    from accel_asr.transcription.transcriber import Transcriber

NONE = "none"


def build_parser() -> argparse.ArgumentParser:
    """The command's options."""
    parser = OptionParser(prog="accel-asr demo", description=__doc__, allow_abbrev=False)
    parser.add_argument(
        "--model",
        required=True,
        help="folder of a model or an adapter, such as runs/quickstart/best, a name on the Hub, or quickstart: the "
        "base model inside",
    )
    parser.add_argument("--revision", help="branch, tag or commit of a model on the Hub")
    parser.add_argument(
        "--base_model",
        metavar="NAME",
        help="a model to compare with, or none; default is the base model of the run, if the model is in a run folder",
    )
    parser.add_argument(
        "--language", help="language spoken, code or name; default is what the model was tuned for, else detected"
    )
    parser.add_argument("--device", help="cpu, cuda, cuda:1, mps ...; default is an accelerator if there is one")
    parser.add_argument("--port", type=port, help="port on 127.0.0.1; default is 7860 or the next free one")
    parser.add_argument(
        "--share",
        action="store_true",
        help="let anyone with the address in, through Gradio's servers and its tunnel program, which is downloaded",
    )
    parser.add_argument(
        "--max_file_mb", type=at_least_one, default=50, metavar="MB", help="largest upload (default 50)"
    )
    parser.add_argument(
        "--max_minutes", type=at_least_one, default=30, metavar="MINUTES", help="longest recording (default 30)"
    )
    return parser


def main(arguments: list[str]) -> int:
    """Serve until Ctrl-C or SIGTERM.

    Raises:
        UserError: Gradio is not installed, a model can't be loaded, the port is taken.
    """
    options = build_parser().parse_args(arguments)
    _require_extra()
    refuse_unfit_folder(model_source(options.model), name=options.model, setting="--model")
    from accel_asr.demonstration.demo_page import Limits, served
    from accel_asr.demonstration.listening import listen
    from accel_asr.transcription.transcriber_loading import load_transcriber

    with setting_shown_as("--model", setting="--model.name_or_path"):
        transcriber = load_transcriber(
            options.model, revision=options.revision, device=options.device, language=options.language
        )
    models = {options.model: transcriber}
    base = _load_base(options.model, options.base_model, beside=transcriber, device=options.device)
    if base is not None:
        models[f"{base[0]} (base model)"] = base[1]
    limits = Limits(options.max_file_mb, max_duration_s=60.0 * options.max_minutes)
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _end)
    try:
        with served(
            lambda path: listen(path, transcribers=list(models.values()), max_duration_s=limits.max_duration_s),
            model_names=list(models),
            limits=limits,
            port=options.port,
            share=options.share,
        ) as address:
            say(f"the demo is at {address}  (Ctrl-C ends it)")
            if options.share:
                say("note: anyone with this address can use it, through Gradio's servers", to_stderr=True)
            threading.Event().wait()
    except KeyboardInterrupt:
        say("\nended")
    return 0


def base_model_of_run(model: str) -> tuple[str, str | None] | None:
    """(name, revision) of the model that a run started from, by the `config.yaml` beside its model folder."""
    from accel_asr.config.settings_files import read_yaml

    settings = Path(model).absolute().parent / "config.yaml"
    if not Path(model).is_dir() or not settings.is_file():
        return None
    try:
        section = (read_yaml(settings) or {}).get("model") or {}
        name, revision = section.get("name_or_path"), section.get("revision")
    except (ValueError, AttributeError):  # some other program's file
        return None
    return (str(name), revision) if name and str(name) != model else None


def _require_extra() -> None:
    """Call before anything heavy is imported.

    Raises:
        UserError: the extra is not installed.
    """
    if find_spec("gradio") is None:
        raise UserError("the demo needs gradio", remedy="pip install 'accel-asr[demo]'")


def _load_base(
    model: str, asked: str | None, *, beside: "Transcriber", device: str | None
) -> "tuple[str, Transcriber] | None":
    """The model to show beside `model`, with its name; None, and a note, where the run's base model can't be loaded.

    Raises:
        UserError: a model that was asked for can't be loaded.
    """
    from accel_asr.transcription.transcriber_loading import load_transcriber

    if asked == NONE or (base := (asked, None) if asked else base_model_of_run(model)) is None:
        return None
    name, revision = base
    try:
        with setting_shown_as("--base_model", setting="--model.name_or_path"):
            return name, load_transcriber(name, revision=revision, device=device, language=beside.language)
    except UserError as error:
        if asked is not None:
            raise
        say(f"note: without the base model that the run started from: {error}", to_stderr=True)
        return None


def _end(signal_number: int, frame: object) -> NoReturn:
    raise KeyboardInterrupt  # so that the visitors' uploads are deleted
