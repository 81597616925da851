"""When each word of a text is said: the decoder is given the text, and where its heads listen gives the times.

As in Whisper's own word times (openai/whisper, `timing.py`): some heads of the cross-attention follow the speech. Their
weights, normalised and smoothed, are a picture of tokens against time, through which dynamic time warping finds the
path that only goes forward.
"""

import math
import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

import numpy as np
import torch
from librosa.sequence import dtw
from torch import nn
from transformers import WhisperForConditionalGeneration
from transformers.modeling_outputs import BaseModelOutput

from accel_asr.model.spelling import Spelling
from accel_asr.transcription.segments import Word, split_words

_SMOOTHED_FRAMES = 7  # Whisper's own width of the median
_LETTER = re.compile(r"\w")
_LEAST = 1e-30  # of a probability, for its logarithm


def most_text_tokens(model: WhisperForConditionalGeneration, start_ids: Sequence[int]) -> int:
    """How many tokens of text `word_times` has room for."""
    return int(model.config.max_target_positions) - len(start_ids) - 1


@torch.no_grad()
def word_times(
    model: WhisperForConditionalGeneration,
    spelling: Spelling,
    encoded: torch.Tensor,
    text: str,
    *,
    start_ids: Sequence[int],
    audio_s: float,
    position_s: float,
    begin_s: float = 0.0,
) -> tuple[Word, ...]:
    """The words of a text with their times, each with the geometric mean of its tokens' probabilities.

    A word ends where its punctuation or the next word begins; the first of a window may begin too early, at the
    window's begin, and the last end too late.

    Args:
        encoded: The encoder's states of one window that is not merged, (1, positions, width).
        text: What is said in it, of at most `most_text_tokens` tokens. Words are split at spaces, and in scripts
            without spaces into characters.
        start_ids: What the decoder begins with: `<|startoftranscript|>`, language, task, `<|notimestamps|>`.
        audio_s: Length of the audio in the window; no time is later.
        position_s: Seconds of one encoder position: 0.02 for OpenAI's models.
        begin_s: Where the window begins in the recording; times are those of the recording.
    """
    spaced = f" {text}"
    ids = spelling.ids(spaced)
    words = _word_tokens(spelling, ids, spaced)
    if not words:
        return ()
    with _listening(model) as listened:
        hidden = model.model(
            encoder_outputs=BaseModelOutput(last_hidden_state=encoded),
            decoder_input_ids=torch.tensor([[*start_ids, *ids]], device=encoded.device),
            use_cache=False,
        ).last_hidden_state[0, len(start_ids) - 1 :]
    positions = min(max(1, math.ceil(audio_s / position_s)), encoded.shape[1])
    matrix = _attention_picture(listened, positions, heads=model.config.decoder_attention_heads)[
        len(start_ids) - 1 :
    ]  # row i is where token i is predicted
    _, path = dtw(C=-matrix)
    begins = np.full(len(ids) + 1, positions)
    np.minimum.at(begins, path[:, 0], path[:, 1])
    times_s = np.minimum(begins * position_s, audio_s)
    log_probabilities = model.proj_out(hidden[:-1]).float().log_softmax(dim=-1)
    of_tokens = log_probabilities.gather(1, torch.tensor(ids, device=encoded.device)[:, None])[:, 0].cpu().numpy()
    return tuple(
        Word(
            start_s=round(float(begin_s + times_s[said.start]), 3),
            end_s=round(float(begin_s + times_s[said.stop]), 3),
            text=word,
            probability=round(math.exp(float(np.mean(of_tokens[tokens.start : tokens.stop]))), 4),
        )
        for word, tokens, said in words
    )


def _word_tokens(spelling: Spelling, ids: Sequence[int], text: str) -> list[tuple[str, range, range]]:
    """(word, its tokens, those of its letters) of each word of `text`: a token that two words share is the first's."""
    ends = np.cumsum([spelling.byte_length(number) for number in ids])
    tokens: list[tuple[str, range, range]] = []
    place = first = 0
    for word in split_words(text):
        at = text.index(word, place)
        place = at + len(word)
        letters = [match.start() for match in _LETTER.finditer(word)]
        said = word[letters[0] : letters[-1] + 1] if letters else word
        said_at = at + word.index(said)
        spans = [
            (len(text[:begin].encode()), len(text[:stop].encode()))
            for begin, stop in ((at, place), (said_at, said_at + len(said)))
        ]
        # token number i covers bytes ends[i - 1] to ends[i]
        (start, stop), (said_start, said_stop) = [
            (int(np.searchsorted(ends, begin, side="right")), int(np.searchsorted(ends, stop)) + 1)
            for begin, stop in spans
        ]
        start, stop = max(start, first), min(stop, len(ids))
        said_start, said_stop = max(said_start, start), min(max(said_stop, said_start + 1), stop)
        if start >= stop:  # all of its tokens are the word's before
            start = said_start = min(first, len(ids)) - 1
            stop = said_stop = start + 1
        tokens.append((word, range(start, stop), range(said_start, max(said_stop, said_start))))
        first = stop
    return tokens


class _Listened:
    """Queries and keys of one layer's cross-attention, and which of its heads count."""

    def __init__(self, heads: Sequence[int]) -> None:
        self.heads = list(heads)
        self.queries: torch.Tensor | None = None  # (1, tokens, width)
        self.keys: torch.Tensor | None = None  # (1, positions, width)


@contextmanager
def _listening(model: WhisperForConditionalGeneration) -> Iterator[list[_Listened]]:
    """Collect what the next forward pass computes: fused kernels of attention return no weights."""
    listened: list[_Listened] = []
    layers = model.get_decoder().layers
    with ExitStack() as hooks:
        for layer, heads in alignment_heads(model).items():
            attention = layers[layer].encoder_attn
            entry = _Listened(heads)
            listened.append(entry)

            def keep_queries(_: nn.Module, __: object, output: torch.Tensor, entry: _Listened = entry) -> None:
                entry.queries = output

            def keep_keys(_: nn.Module, __: object, output: torch.Tensor, entry: _Listened = entry) -> None:
                entry.keys = output

            hooks.callback(attention.q_proj.register_forward_hook(keep_queries).remove)
            hooks.callback(attention.k_proj.register_forward_hook(keep_keys).remove)
        yield listened


def alignment_heads(model: WhisperForConditionalGeneration) -> dict[int, list[int]]:
    """Layer -> the heads of its cross-attention that follow the speech, by the generation settings.

    Where these name none that the model has, all heads of the upper half of the layers, as in Whisper.
    """
    layers, heads = model.config.decoder_layers, model.config.decoder_attention_heads
    chosen: dict[int, list[int]] = {}
    for layer, head in getattr(model.generation_config, "alignment_heads", None) or ():
        if layer < layers and head < heads:
            chosen.setdefault(layer, []).append(head)
    return chosen or {layer: list(range(heads)) for layer in range(layers // 2, layers)}


def _attention_picture(listened: Sequence[_Listened], positions: int, *, heads: int) -> np.ndarray:
    """(tokens, positions): how much each token listens to each position, beyond what all tokens do."""
    weights = []
    for entry in listened:
        assert entry.queries is not None
        assert entry.keys is not None
        queries, keys = (
            states[0].float().unflatten(-1, (heads, -1)).transpose(0, 1)[entry.heads]
            for states in (entry.queries, entry.keys[:, :positions])
        )
        queries = queries / math.sqrt(queries.shape[-1])
        weights.append((queries @ keys.transpose(1, 2)).softmax(dim=-1))
    of_heads = torch.cat(weights)  # (heads, tokens, positions)
    deviation, mean = torch.std_mean(of_heads, dim=1, keepdim=True, correction=0)
    normal = (of_heads - mean) / deviation.clamp(min=1e-12)
    beside = _SMOOTHED_FRAMES // 2
    if positions > beside:
        padded = nn.functional.pad(normal, (beside, beside), mode="reflect")
        normal = padded.unfold(-1, _SMOOTHED_FRAMES, 1).median(dim=-1).values
    picture: np.ndarray = normal.mean(dim=0).cpu().numpy()
    return picture
