"""The console: `accel-asr COMMAND ...`, also `python -m accel_asr COMMAND ...`. One module for each command."""

import sys
from importlib import import_module

from accel_asr import __version__
from accel_asr.config.command_secrets import refuse_secrets
from accel_asr.console.bars import quiet_library_imports
from accel_asr.console.printing import guard_standard_streams, say
from accel_asr.errors import UserError, user_errors_exit
from accel_asr.ranks.processes import wait_passively

COMMANDS = {  # name -> (module with main(arguments) -> exit code or None, what it does)
    "train": ("accel_asr.train", "fine-tune a model in this one process; `accelerate launch` starts several"),
    "plan": ("accel_asr.commands.plan", "should this model be fine-tuned, and how? measured on your data"),
    "verify": ("accel_asr.commands.verify", "compare this launch with one process: gradients, updates, transcripts"),
    "evaluate": ("accel_asr.commands.evaluate_command", "score a model, also against another, on any data"),
    "compare": ("accel_asr.commands.compare", "runs side by side: scores, settings, seeds, differences beyond chance"),
    "check-data": (
        "accel_asr.commands.check_data",
        "report what training would drop of its data, and what is odd in it",
    ),
    "augment-samples": ("accel_asr.commands.augment_samples", "write clips as training would hear them, to listen to"),
    "transcribe": ("accel_asr.commands.transcribe", "transcribe audio files of any length"),
    "align": ("accel_asr.commands.align", "find where the texts of long recordings are said, as rows to train on"),
    "demo": ("accel_asr.commands.demo", "serve a page that transcribes recordings and uploads"),
    "export": (
        "accel_asr.commands.export",
        "convert a model to CTranslate2, ONNX or ggml, and compare it with the original",
    ),
    "report": ("accel_asr.commands.report", "write report.html of a run: scores, curves, utterances to listen to"),
    "push": ("accel_asr.commands.push", "upload the best model of a run to the Hub"),
}


def usage() -> str:
    """The list of commands."""
    lines = [f"  {name:<15} {purpose}" for name, (_, purpose) in COMMANDS.items()]
    return "usage: accel-asr COMMAND [--help] ...\n\ncommands:\n" + "\n".join(lines)


def main() -> None:
    """Run one command; its exit code is the process's: 0 done, 1 something failed, 2 bad input."""
    guard_standard_streams()
    quiet_library_imports()
    arguments = sys.argv[1:]
    if not arguments or arguments[0] in ("-h", "--help"):
        say(usage())
        return
    if arguments[0] == "--version":
        say(f"accel-asr {__version__}")
        return
    with user_errors_exit():
        refuse_secrets(arguments)
        if arguments[0] not in COMMANDS:
            raise UserError("is not a command", setting="COMMAND", value=arguments[0], remedy=f"give one\n{usage()}")
        module_name, _ = COMMANDS[arguments[0]]
        wait_passively()
        raise SystemExit(import_module(module_name).main(arguments[1:]))


if __name__ == "__main__":
    main()
