"""Writing by the main process only, whose failure ends every rank."""

from collections.abc import Callable
from pathlib import Path

from accelerate import Accelerator
from accelerate.utils import gather_object

from accel_asr.errors import UserError
from accel_asr.files.run_folder import full_disk_explained


def write_on_main_process(accelerator: Accelerator, output_dir: Path, write: Callable[[], None]) -> None:
    """Call `write` on the main process only. A collective: a full disk there ends all ranks with the same message.

    Raises:
        UserError: no space is left; on every rank.
    """
    refusal = None
    if accelerator.is_main_process:
        try:
            with full_disk_explained(output_dir):
                write()
        except UserError as error:
            refusal = error
    refusal = gather_object([refusal])[0]
    if refusal is not None:
        raise refusal.but(same_on_every_rank=True)
