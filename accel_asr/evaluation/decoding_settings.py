"""How the transcripts of an evaluation are made and scored: one value, made once from the settings and handed down."""

from dataclasses import dataclass
from typing import Any

import torch
from transformers import WhisperConfig, WhisperForConditionalGeneration

from accel_asr.config.fallback_settings import WHISPERS_FALLBACK, Fallback
from accel_asr.evaluation.normalizers import Normalizer

BATCH_SIZE, LARGEST_BATCH_SIZE = 32, 128
BATCH_BYTES = 4 * 2**30  # of the decoder's keys and values of the encoder, in fp32, for more than BATCH_SIZE


def evaluation_batch_size(
    config: WhisperConfig, device: torch.device, *, wanted: int | None = None, num_beams: int = 1
) -> int:
    """Utterances in one generation batch: as many as are wanted, or what suits the device.

    A GPU waits for the host in every step of the decoder, however many rows there are. It does not depend on the memory
    that this GPU has: the ranks must make the same batches.
    """
    if wanted is not None:
        return wanted
    if device.type != "cuda":
        return BATCH_SIZE
    bytes_of_row = 2 * config.decoder_layers * config.max_source_positions * config.d_model * 4 * num_beams
    return min(max(BATCH_BYTES // bytes_of_row, BATCH_SIZE), LARGEST_BATCH_SIZE)


@dataclass(frozen=True)
class Decoding:
    """`load_model` makes it; who evaluates passes it on whole, with `dataclasses.replace` where something differs.

    The model's own generation settings have the same language, task, length and beams, so that whoever loads the saved
    folder transcribes as it was scored here.

    Args:
        language: The run's, as the model's code; None for an English-only model and where each row says its own.
        task: None for an English-only model.
        max_new_tokens: Most tokens of a transcript, start tokens not counted.
        num_beams: 1 is greedy.
        normalizer: What both texts go through before the normalised scores.
        batch_size: Utterances in one generation batch of one rank.
        num_workers: Processes of each rank that load the audio; 0 is none.
        is_compiled: Decode by a compiled step of the decoder, see `compiled_decoding`; greedy only.
        fallback: For recordings longer than the window.
        keywords: Words and phrases whose recognition is scored.
        word_confidence: The probability of each word is kept.
        prompt: Previous text for every utterance, in place of the rows' own; who makes the items gives it to them.
    """

    language: str | None
    task: str | None
    max_new_tokens: int
    num_beams: int
    normalizer: Normalizer
    batch_size: int
    num_workers: int = 0
    is_compiled: bool = False
    fallback: Fallback = WHISPERS_FALLBACK
    keywords: tuple[str, ...] = ()
    word_confidence: bool = False
    prompt: str | None = None

    @classmethod
    def of_model(cls, model: WhisperForConditionalGeneration, **others: Any) -> "Decoding":
        """With the language, task, length and beams that `configure_generation` has given to `model`."""
        generation = model.generation_config
        return cls(
            language=getattr(generation, "language", None),
            task=getattr(generation, "task", None),
            max_new_tokens=generation.max_new_tokens,
            num_beams=generation.num_beams,
            **others,
        )
