"""`accel-asr push RUN_DIR --hub_model_id user/name`: upload the best model of a finished run to the Hub."""

import argparse
from pathlib import Path

from accel_asr.config_checks import is_hub_name
from accel_asr.errors import UserError


def build_parser() -> argparse.ArgumentParser:
    """The command's options."""
    parser = argparse.ArgumentParser(prog="accel-asr push", description=__doc__, allow_abbrev=False)
    parser.add_argument("run_dir", type=Path, metavar="RUN_DIR", help="folder of a run, such as runs/quickstart")
    parser.add_argument("--hub_model_id", required=True, help="name on the Hub: user/name")
    parser.add_argument("--hub_private_repo", action="store_true", help="create the repository private")
    return parser


def main(arguments: list[str]) -> int:
    """Write the model card into `best/`, and upload the folder.

    Raises:
        UserError: not a finished run, or the Hub refuses.
    """
    options = build_parser().parse_args(arguments)
    if not is_hub_name(options.hub_model_id):
        raise UserError(f"--hub_model_id: {options.hub_model_id!r} is not a Hub name; give user/name")
    from accel_asr.publishing.hub import push_run

    print(push_run(options.run_dir, hub_model_id=options.hub_model_id, private=options.hub_private_repo))
    return 0
