"""How likely a model finds the text of each row, beside its own transcript of it, and which language it hears."""

from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.functional import cross_entropy
from transformers import WhisperForConditionalGeneration

from accel_asr.data.loading.collator import IGNORED_LABEL
from accel_asr.evaluation.generation import HeardBatch


@dataclass(frozen=True)
class RowLosses:
    """Losses are means over tokens, in nats: of the text, and of the model's own transcript; both with the end token.

    `language` is the code of the language that is heard, with its probability among all languages; None for a model
    without languages. `expected_language` is the code that the label has.
    """

    text_loss: float
    own_loss: float
    language: str | None = None
    language_probability: float | None = None
    expected_language: str | None = None


@torch.no_grad()
def row_losses(model: WhisperForConditionalGeneration, heard: HeardBatch) -> list[RowLosses]:
    """Those of each row of a batch: one more pass of the decoder, and for languages one more token.

    A `closer_look` of `transcribe_utterances`.
    """
    batch, start = heard.batch, heard.start_tokens
    # the target at a position is the token after it: the last start token's is the first of the text
    texts = _mean_losses(model, heard.hidden[:, start - 1 :], batch.labels[:, start - 1 :])
    inputs, labels = _own_transcripts(model, heard)
    hidden = _decoder_states(model, inputs, heard.encoded)
    own = _mean_losses(model, hidden[:, start - 1 :], labels)
    languages = _languages(model, heard)
    return [
        RowLosses(text_loss, own_loss, *language)
        for text_loss, own_loss, language in zip(texts, own, languages, strict=True)
    ]


def _own_transcripts(model: WhisperForConditionalGeneration, heard: HeardBatch) -> tuple[torch.Tensor, torch.Tensor]:
    """(decoder inputs, the targets from the last start token on) of what the model has written, with its end."""
    end = model.generation_config.eos_token_id
    generated = heard.generated
    is_end = (generated == end).int()
    after_end = is_end.cumsum(1) - is_end > 0  # the end token itself is a target
    inputs = torch.cat([heard.batch.decoder_input_ids[:, : heard.start_tokens], generated[:, :-1]], dim=1)
    return inputs, generated.masked_fill(after_end, IGNORED_LABEL)


def _decoder_states(
    model: WhisperForConditionalGeneration, inputs: torch.Tensor, encoded: torch.Tensor
) -> torch.Tensor:
    decoder: Any = model.model.decoder
    states: torch.Tensor = decoder(input_ids=inputs, encoder_hidden_states=encoded, use_cache=False).last_hidden_state
    return states


def _mean_losses(model: WhisperForConditionalGeneration, hidden: torch.Tensor, labels: torch.Tensor) -> list[float]:
    """The mean over the targets of each row; row by row, so that few logits are in memory.

    Args:
        hidden: (rows, tokens, width).
        labels: (rows, tokens), -100 where there is no target.
    """
    losses = []
    for states, targets in zip(hidden, labels, strict=True):
        is_target = targets != IGNORED_LABEL
        losses.append(float(cross_entropy(model.proj_out(states[is_target]).float(), targets[is_target])))
    return losses


def _languages(
    model: WhisperForConditionalGeneration, heard: HeardBatch
) -> list[tuple[str | None, float | None, str | None]]:
    """(language heard, its probability, the label's language) of each row."""
    tokens = getattr(model.generation_config, "lang_to_id", None)
    given = heard.batch.decoder_input_ids
    if not tokens or not getattr(model.generation_config, "is_multilingual", True):
        return [(None, None, None)] * len(given)
    start = torch.full_like(given[:, :1], model.config.decoder_start_token_id)
    logits = model.proj_out(_decoder_states(model, start, heard.encoded)[:, -1]).float()
    codes, ids = [name.strip("<|>") for name in tokens], list(tokens.values())
    probabilities, places = logits[:, ids].softmax(1).max(1)
    code_of = dict(zip(ids, codes, strict=True))
    # the label's language is the token after <|startoftranscript|>; a prompt may stand before both
    labelled = given[:, : heard.start_tokens].tolist()
    return [
        (codes[place], round(probability, 4), next((code_of[token] for token in row if token in code_of), None))
        for place, probability, row in zip(places.tolist(), probabilities.tolist(), labelled, strict=True)
    ]
