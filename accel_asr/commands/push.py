"""`accel-asr push RUN_DIR --hub_model_id user/name`: upload the best model of a finished run, or its adapter."""

import argparse
from pathlib import Path
from typing import Any

from accel_asr.config.command_secrets import refuse_secrets
from accel_asr.config.cross_checks import is_hub_name
from accel_asr.console.printing import OptionParser, say
from accel_asr.errors import UserError, setting_shown_as
from accel_asr.model.folder.examination import examine, require_adapter, say_notes
from accel_asr.model.folder.generation_settings import drop_unusable_alignment_heads


def build_parser() -> argparse.ArgumentParser:
    """The command's options."""
    parser = OptionParser(prog="accel-asr push", description=__doc__, allow_abbrev=False)
    parser.add_argument("run_dir", type=Path, metavar="RUN_DIR", help="folder of a run, such as runs/quickstart")
    parser.add_argument("--hub_model_id", required=True, metavar="USER/NAME", help="name on the Hub")
    parser.add_argument(
        "--hub_private_repo",
        nargs="?",
        const="true",
        choices=("true", "false"),
        help="make a new repository private, or not (default: the account's own); an existing one stays as it is, and "
        "a public one is refused if this is true",
    )
    parser.add_argument(
        "--revision", "--hub_revision", metavar="BRANCH", help="branch to push to, made if missing (default main)"
    )
    parser.add_argument("--commit_message", metavar="TEXT", help="default: accel_asr and the name of the run")
    parser.add_argument(
        "--include_tensorboard",
        action="store_true",
        help="push TensorBoard's curves too, to runs/, but not its texts and recordings",
    )
    parser.add_argument(
        "--push_adapter", action="store_true", help="push best_adapter/, the adapter alone, in place of best/"
    )
    parser.add_argument(
        "--dry_run", action="store_true", help="list what would be pushed, and where to; send nothing, write nothing"
    )
    return parser


def main(arguments: list[str]) -> int:
    """Write the model card into `best/` or `best_adapter/`, and upload the folder, if all in it fits together.

    Raises:
        UserError: not a finished run, weights that are not finite, or the Hub refuses.
    """
    refuse_secrets(arguments)
    options = build_parser().parse_args(arguments)
    if not is_hub_name(options.hub_model_id):
        value = options.hub_model_id
        raise UserError("is not a Hub name", setting="--hub_model_id", value=value, remedy="give user/name")
    private = {None: None, "true": True, "false": False}[options.hub_private_repo]
    best, adapter = options.run_dir / "best", options.run_dir / "best_adapter"
    if options.push_adapter:
        if adapter.is_dir():  # else push_run refuses it: no adapter
            require_adapter(adapter, setting="RUN_DIR")
            from accel_asr.model.pretrained import require_finite_folder

            require_finite_folder(adapter)
    elif best.is_dir():  # else push_run refuses it: no finished run
        examined = examine(str(best), name=str(best), setting="RUN_DIR")  # before torch is imported
        from accel_asr.model.pretrained import require_finite_folder

        require_finite_folder(best)
        if not options.dry_run:
            drop_unusable_alignment_heads(best, examined.generation, examined.config)
        say_notes(examined.notes, name=str(best))
    from accel_asr.publishing.hub import NAME_SETTING, PRIVATE_SETTING, describe_push, push_run

    upload: dict[str, Any] = {
        "hub_model_id": options.hub_model_id,
        "private": private,
        "revision": options.revision,
        "include_tensorboard": options.include_tensorboard,
        "adapter": options.push_adapter,
    }
    with (
        setting_shown_as("--hub_model_id", setting=NAME_SETTING),
        setting_shown_as("--hub_private_repo", setting=PRIVATE_SETTING),
    ):
        if options.dry_run:
            say(describe_push(options.run_dir, **upload))
        else:
            say(push_run(options.run_dir, commit_message=options.commit_message, **upload))
    return 0
