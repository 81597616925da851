"""No secrets on the command line: everyone on the machine can read it, and the shell keeps it."""

import re
from collections.abc import Sequence

from accel_asr.console.public_text import remember_secrets
from accel_asr.errors import UserError

_SECRET_OPTION = re.compile(r"--(?:[\w.-]*[._-])?(?:token|password|passwd|secret|api[_-]?key)", re.I)


def refuse_secrets(arguments: Sequence[str]) -> None:
    """Refuse a token given as an option, without repeating it; remember secrets in the other arguments, to hide them.

    Raises:
        UserError: there is such an option; the remedy says where the token belongs.
    """
    remember_secrets(list(arguments))
    for argument in arguments:
        name = argument.partition("=")[0]
        if _SECRET_OPTION.fullmatch(name):
            raise UserError(
                "no secret is taken from the command line, where `ps` shows it to everyone on this machine and the "
                "shell keeps it",
                setting=name,
                remedy="set HF_TOKEN (or log in with `hf auth login`), or WANDB_API_KEY. Others may know the secret "
                "that was given here: make a new one",
                same_on_every_rank=True,
            )
