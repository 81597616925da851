"""What must not stand on a command line: everyone on the machine can read it, and the shell keeps it."""

import re
from collections.abc import Sequence

from accel_asr.console.public_text import remember_secrets
from accel_asr.errors import UserError

_SECRET_OPTION = re.compile(r"--(?:[\w.-]*[._-])?(?:token|password|passwd|secret|api[_-]?key)", re.I)


def refuse_secrets(arguments: Sequence[str]) -> None:
    """Refuse a token given as an option, without repeating it; and remember what else of the arguments is a secret.

    Raises:
        UserError: there is such an option; the message says where the token belongs.
    """
    remember_secrets(list(arguments))
    for argument in arguments:
        name = argument.partition("=")[0]
        if _SECRET_OPTION.fullmatch(name):
            raise UserError(
                f"{name}: nothing secret is taken from the command line, where `ps` shows it to everyone on this "
                "machine and the shell keeps it; set HF_TOKEN (or log in with `hf auth login`), or WANDB_API_KEY. What "
                "was given here may be known to others: make a new one",
                same_on_every_rank=True,
            )
