"""Compiled decoding: one compiled decoder step for all batches of an evaluation, on transformers' static cache.

transformers compiles the step of a greedy `generate` if its key/value cache is static, and torch compiles again for
every new shape. So all batches are padded to as many rows and have room for as many tokens: only the first batch waits
for the compiler, later batches and evaluations do not, whatever training did to the weights. Where padding
is merged there are up to three compilations: whole windows, the first length, and any length.

`generate` would make a new cache for each batch, and a GPU then records its graphs anew. So the cache is our own, and
stays where it is. Rows that have ended stay in their batch, as the shape is fixed.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from transformers import CompileConfig, EncoderDecoderCache, StaticCache, WhisperForConditionalGeneration

from accel_asr.data.loading.batches import EvaluationBatch
from accel_asr.errors import UserError
from accel_asr.evaluation.decoding_settings import Decoding
from accel_asr.model.whisper_for_training import CACHE_ARGUMENT


@dataclass(frozen=True)
class CompiledDecoding:
    """How many rows each batch is padded to, and the options for `generate`.

    Args:
        longest: Most tokens of a transcript, start tokens included.
    """

    model: WhisperForConditionalGeneration
    rows: int
    longest: int
    compile_config: CompileConfig
    caches: dict[int, EncoderDecoderCache] = field(default_factory=dict)  # by positions of the encoder

    def options(self, positions: int) -> dict[str, object]:
        """The options for a batch with so many positions of the encoder."""
        cache = self.caches.get(positions)
        if cache is None:
            parts = (StaticCache(self.model.config, max_cache_len=length) for length in (self.longest, positions))
            cache = self.caches[positions] = EncoderDecoderCache(*parts)
        cache.reset()
        return {CACHE_ARGUMENT: cache, "compile_config": self.compile_config}

    def filled(self, tensor: torch.Tensor) -> torch.Tensor:
        """Pad a batch to (rows, ...) with copies of its last row, which never take longer than that row."""
        missing = self.rows - len(tensor)
        return torch.cat([tensor, tensor[-1:].expand(missing, *tensor.shape[1:])]) if missing else tensor


@contextmanager
def compiled_decoding(
    model: WhisperForConditionalGeneration, batches: Sequence[EvaluationBatch], decoding: Decoding
) -> Iterator[CompiledDecoding]:
    """Compile decoding for these batches, at least one. Nothing compiled stays on `model` afterwards.

    torch caches the compiled code, and uses it again for the next evaluation, also of another model of that shape.

    Raises:
        UserError: it can't be compiled, such as without a C++ compiler.
    """
    from torch._dynamo.exc import BackendCompilerFailed  # slow to import

    compile_config = CompileConfig()
    compile_config._compile_all_devices = True  # by default transformers compiles on GPUs only
    positions = model.config.max_target_positions
    longest = min(max(batch.start_tokens for batch in batches) + decoding.max_new_tokens, positions)
    try:
        yield CompiledDecoding(
            model, rows=max(len(batch.rows) for batch in batches), longest=longest, compile_config=compile_config
        )
    except BackendCompilerFailed as error:
        reason = " ".join(str(error.inner_exception).split())
        raise UserError(
            f"torch can't compile the decoder here ({reason})",
            setting="--evaluation.compile_decoding",
            value=True,
            remedy="leave it out, or install a C++ compiler such as g++ if that is what is missing",
        ) from error
    finally:
        # it would keep the model alive, and a deep copy of the model would decode with these weights
        vars(model).pop("_compiled_call", None)
