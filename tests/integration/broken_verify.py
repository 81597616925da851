"""`accel-asr verify` of a trainer that is broken on purpose: `python -m tests.integration.broken_verify SETTINGS...`.

Its train_step calls the model past DDP's wrapper, so that each rank trains by its own gradient alone.
"""

import sys
from typing import Any

from accel_asr.commands import verify
from accel_asr.training import step

train_step = step.train_step


def unsynchronised_step(model: Any, *arguments: Any, **options: Any) -> Any:
    return train_step(model.module, *arguments, **options)


if __name__ == "__main__":
    step.train_step = unsynchronised_step  # before verify imports it
    sys.exit(verify.main(sys.argv[1:]))
