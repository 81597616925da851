"""One compiled step of the decoder for all batches of an evaluation: transformers' static cache, in shapes that stay.

transformers compiles the step of a greedy `generate` where its key/value cache is static, and torch compiles anew for
every other shape that it is given. So all batches have equally many rows here, and room for equally many tokens: the
first batch waits for the compiler, later ones and later evaluations do not, whatever training did to the weights. Where
the encoder hears a part of its window (`audio_context`), there are two compilations: the second is for any length.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from transformers import CompileConfig, WhisperForConditionalGeneration

from accel_asr.data.loading.batches import EvaluationBatch
from accel_asr.errors import UserError
from accel_asr.evaluation.decoding_settings import Decoding


@dataclass(frozen=True)
class CompiledDecoding:
    """How many rows a batch is filled up to, and the options of `generate`."""

    rows: int
    options: dict[str, object]

    def filled(self, tensor: torch.Tensor) -> torch.Tensor:
        """(rows, ...): the rows of a batch, (at most `rows`, ...), and copies of the last: they never take longer."""
        missing = self.rows - len(tensor)
        return torch.cat([tensor, tensor[-1:].expand(missing, *tensor.shape[1:])]) if missing else tensor


@contextmanager
def compiled_decoding(
    model: WhisperForConditionalGeneration, batches: Sequence[EvaluationBatch], decoding: Decoding
) -> Iterator[CompiledDecoding]:
    """For these batches of an evaluation, at least one. Nothing that was compiled stays on `model` after it.

    What was compiled is torch's, which finds it again for the next evaluation, also of another model of that shape.

    Raises:
        UserError: what is decoded within it can't be compiled, such as where there is no C++ compiler.
    """
    from torch._dynamo.exc import BackendCompilerFailed  # slow to import, for those only who want it

    compile_config = CompileConfig()
    compile_config._compile_all_devices = True  # as it was asked for; else transformers does it on a GPU only
    positions = model.config.max_target_positions
    longest = min(max(batch.start_tokens for batch in batches) + decoding.max_new_tokens, positions)
    try:
        yield CompiledDecoding(
            rows=max(len(batch.rows) for batch in batches),
            options={
                "cache_implementation": "static",
                "max_cache_len": longest,
                "compile_config": compile_config,
            },
        )
    except BackendCompilerFailed as error:
        reason = " ".join(str(error.inner_exception).split())
        raise UserError(
            f"evaluation.compile_decoding: true, and torch can't compile the decoder here ({reason}); leave it out, or "
            "install a C++ compiler such as g++ where that is what is missing"
        ) from error
    finally:
        # it holds the model, which then would outlive its use; and a deep copy would transcribe with these weights
        vars(model).pop("_compiled_call", None)
