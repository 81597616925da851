"""Work that only the main process does, and whose failure must end every rank."""

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
    problem = None
    if accelerator.is_main_process:
        try:
            with full_disk_explained(output_dir):
                write()
        except UserError as error:
            problem = str(error)
    problem = gather_object([problem])[0]
    if problem is not None:
        raise UserError(problem, same_on_every_rank=True)
