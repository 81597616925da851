"""Out of memory in a run: one message with numbers and remedies, and every rank ends with exit code 2."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import torch
from accelerate import Accelerator

from accel_asr.console.public_text import shortened
from accel_asr.data.loading.collator import Batch
from accel_asr.errors import USAGE_EXIT_CODE, UserError
from accel_asr.files.run_folder import OUT_OF_MEMORY_NOTE
from accel_asr.run.forecast import gigabytes
from accel_asr.training.launch.device_memory import available_bytes, is_out_of_memory, used_bytes

_LESS_FOR_A_STEP = (
    "--training.gradient_checkpointing both",
    "adapters in place of the whole model (--lora.enabled true)",
)


@dataclass(frozen=True)
class MemoryShortage:
    """Explains out-of-memory errors of this rank, and ends it where another rank has had one.

    The other ranks are in a collective, where no message reaches them, and see only that a rank has gone. So a note in
    the run folder says why; the rank that leaves it is the only one that prints anything.
    """

    accelerator: Accelerator
    output_dir: Path

    @contextmanager
    def ends_every_rank(self) -> Iterator[None]:
        """Put it around the whole run.

        Raises:
            UserError: out of memory where nothing else explains it.
            SystemExit: another rank was out of memory; it has said so.
        """
        try:
            yield
        except UserError:
            raise
        except Exception as error:
            if is_out_of_memory(error):
                self._refuse(
                    f"out of memory ({shortened(str(error).splitlines()[0], 300)})",
                    setting=None,
                    value=None,
                    remedies=["use a smaller model", *_LESS_FOR_A_STEP],
                    cause=error,
                )
            if self.accelerator.num_processes > 1 and (self.output_dir / OUT_OF_MEMORY_NOTE).exists():
                raise SystemExit(USAGE_EXIT_CODE) from None
            raise

    def explained_in_step(self, step: int, window: Sequence[Batch]) -> AbstractContextManager[None]:
        """Put it around an optimizer step.

        Args:
            window: This rank's micro-batches, of which the largest is named.

        Raises:
            UserError: out of memory.
        """

        def refuse(error: Exception) -> NoReturn:
            micro = max(len(batch.decoder_input_ids) for batch in window)
            longest = max(batch.decoder_input_ids.shape[1] for batch in window)
            merged = [batch.kept.positions.shape[1] for batch in window if batch.kept is not None]
            audio = f"{max(merged):,} positions of audio" if len(merged) == len(window) else "the whole audio window"
            halved = "halve it and double --training.gradient_accumulation_steps, which is the same update, or let "
            halved += "--training.batch_size auto find what fits"
            self._refuse(
                f"out of memory in step {step}, with micro-batches of {micro} x {len(window)} accumulation steps, "
                f"labels of up to {longest} tokens and {audio}",
                setting="--training.per_device_train_batch_size",
                value=micro,
                remedies=[*([halved] if micro > 1 else []), *_LESS_FOR_A_STEP],
                cause=error,
            )

        return _if_out_of_memory(refuse)

    def explained_in_evaluation(self, step: int, *, batch_size: int, num_beams: int) -> AbstractContextManager[None]:
        """Put it around an evaluation.

        Raises:
            UserError: out of memory.
        """

        def refuse(error: Exception) -> NoReturn:
            beams = f" and {num_beams} beams" if num_beams > 1 else ""
            halved = "halve it, which gives the same transcripts"
            self._refuse(
                f"out of memory in the evaluation at step {step}, with batches of {batch_size} utterances{beams}",
                setting="--evaluation.per_device_eval_batch_size",
                value=batch_size,
                remedies=[halved, *(["lower --evaluation.num_beams"] if beams else [])],
                cause=error,
            )

        return _if_out_of_memory(refuse)

    def _refuse(
        self, problem: str, *, setting: str | None, value: object, remedies: Sequence[str], cause: Exception
    ) -> NoReturn:
        if self.accelerator.num_processes > 1:
            try:
                (self.output_dir / OUT_OF_MEMORY_NOTE).touch(exist_ok=False)
            except FileExistsError:  # another rank was first
                raise SystemExit(USAGE_EXIT_CODE) from None
        device = self.accelerator.device
        memory = f"{gigabytes(used_bytes(device))} in use by this process on {device.type}"
        free = f"{gigabytes(available_bytes(device))} free"
        total = f" of {gigabytes(torch.cuda.mem_get_info(device)[1])}" if device.type == "cuda" else ""
        numbered = [f"{number}. {remedy}" for number, remedy in enumerate(remedies, start=1)]
        raise UserError(
            f"{problem}; {memory}, {free}{total}",
            setting=setting,
            value=value,
            remedy="in this order: " + "; ".join(numbered) + ". Checkpoints are intact: add --checkpoint.resume true",
        ) from cause


@contextmanager
def _if_out_of_memory(refuse: Callable[[Exception], NoReturn]) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if is_out_of_memory(error):
            refuse(error)
        raise
