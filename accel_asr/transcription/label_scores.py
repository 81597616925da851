"""How probable a text is as the label of a clip, by the model that wrote it: one more pass of encoder and decoder."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from transformers.modeling_outputs import BaseModelOutput

from accel_asr.model.folder.token_ids import NO_SPEECH
from accel_asr.model.silence_merging import KeyBias
from accel_asr.transcription.half_precision import half_precision
from accel_asr.transcription.transcriber import Transcriber


@dataclass(frozen=True)
class LabelScores:
    """Of one clip and its text.

    Args:
        avg_logprob: Mean log-probability of the tokens of the text and of <|endoftext|>, in nats; as Whisper has it,
            but of the row's own audio and without the text before it: as training will see it.
        no_speech_prob: Probability of <|nospeech|> after <|startoftranscript|>; None for a model without that token.
    """

    avg_logprob: float
    no_speech_prob: float | None


@torch.no_grad()
def score_labels(
    transcriber: Transcriber, clips: Sequence[np.ndarray], texts: Sequence[str], languages: Sequence[str | None]
) -> list[LabelScores]:
    """Score the text of each clip.

    Args:
        clips: float32, mono, at the model's rate, each of shape (samples,) and no longer than the window.
        languages: Of each text; None where the model has no languages.
    """
    model, tokenizer, spelling = transcriber.model, transcriber.processor.tokenizer, transcriber.spelling
    vocabulary: dict[str, int] = tokenizer.get_vocab()
    silence = next((vocabulary[name] for name in NO_SPEECH if name in vocabulary), None)
    with half_precision(model.device):
        encoded = BaseModelOutput(last_hidden_state=transcriber.encode_batch(clips))
    starts = [transcriber.start_ids(code) for code in languages]
    room = model.config.max_target_positions - len(starts[0])
    labels = []
    for text, start, beginning in zip(texts, starts, _log_probabilities(transcriber, encoded, starts), strict=True):
        # OpenAI's models begin with a space, and those that were tuned on labels without it do not
        spelled = max(
            (spelling.ids(begun) for begun in (text, f" {text}")), key=lambda ids: float(beginning[-1, ids[0]])
        )
        labels.append([*start, *spelled[:room], tokenizer.eos_token_id])
    scores = []
    of_labels = _log_probabilities(transcriber, encoded, [ids[:-1] for ids in labels])
    for ids, start, log_probabilities in zip(labels, starts, of_labels, strict=True):
        of_text = log_probabilities[len(start) - 1 :].gather(1, torch.tensor(ids[len(start) :])[:, None])
        scores.append(
            LabelScores(float(of_text.mean()), None if silence is None else float(log_probabilities[0, silence].exp()))
        )
    KeyBias.of_model(model).of_batch = None
    return scores


def _log_probabilities(
    transcriber: Transcriber, encoded: BaseModelOutput, given: Sequence[Sequence[int]]
) -> Iterator[torch.Tensor]:
    """Of every token after each of those given, (tokens, vocabulary), on the CPU: one row at a time, since those of a
    batch would be gigabytes."""
    model = transcriber.model
    padded = torch.full((len(given), max(map(len, given))), transcriber.processor.tokenizer.eos_token_id)
    for row, ids in enumerate(given):
        padded[row, : len(ids)] = torch.tensor(ids)
    with half_precision(model.device):
        hidden = model.model(
            encoder_outputs=encoded, decoder_input_ids=padded.to(model.device), use_cache=False
        ).last_hidden_state
        for row, ids in enumerate(given):
            yield model.proj_out(hidden[row, : len(ids)]).float().log_softmax(dim=-1).cpu()
