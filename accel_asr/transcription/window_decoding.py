"""Windows of several recordings decoded side by side; each is tried at one temperature after the other."""

import math
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from transformers import GenerationMixin, WhisperForConditionalGeneration
from transformers.generation.logits_process import LogitsProcessorList, WhisperTimeStampLogitsProcessor
from transformers.modeling_outputs import BaseModelOutput

from accel_asr.config.fallback_settings import Fallback
from accel_asr.model.decoder_rows import DecoderRows
from accel_asr.transcription.token_rules import TokenRules, Written

TOP_K = 50  # transformers samples from so many
START_TOKENS = 8  # start of the previous text, start, language, task, and room to spare
FAITHFUL_BELOW = 0.5  # temperature, from which on a text is no good as the next window's previous text


@dataclass(frozen=True)
class DecodedWindow:
    """What the decoder wrote for one window.

    Args:
        ids: With times, without the end of the text.
        temperature: Of the attempt that was kept.
        avg_logprob: Mean log-probability of its tokens, in nats, the end of the text among them.
        compression_ratio: Of its token ids, by zlib.
        no_speech_prob: Probability of silence.
        is_silence: Improbable, and silence probable: to be left out.
        has_ended: It wrote the end of the text.
    """

    ids: tuple[int, ...]
    temperature: float
    avg_logprob: float
    compression_ratio: float
    no_speech_prob: float
    is_silence: bool
    has_ended: bool


@dataclass
class _Row:
    """A window that is being decoded."""

    encoded: torch.Tensor
    given: tuple[int, ...]
    first_logits: torch.Tensor  # (1, vocabulary), after what is given
    no_speech_prob: float
    generator: torch.Generator
    temperatures: Iterator[float]
    written: Written
    temperature: float = 0.0
    logprobs: list[float] = field(default_factory=list)


class WindowDecoder:
    """Rows of a batch, each with a window of its own; `begin` gives one a window, `step` decodes.

    Args:
        most: Rows at once, as of `most_rows`.
        num_beams: Of attempts at temperature 0; more than one search by `generate`, each window alone.
    """

    def __init__(
        self, model: WhisperForConditionalGeneration, *, most: int, fallback: Fallback, num_beams: int
    ) -> None:
        self._model, self._fallback, self._num_beams = model, fallback, num_beams
        self._decoder = DecoderRows(model, most)
        self._rules = TokenRules.of_settings(model.generation_config, model.device)
        self._room = most_new_tokens(model)
        self._rows: list[_Row] = []

    def begin(
        self, row: int, encoded: torch.Tensor, given: Sequence[int], *, start: int, generator: torch.Generator
    ) -> DecodedWindow | None:
        """Give a row its window: one whose last window is decoded, or the next; returns what is known at once.

        Args:
            encoded: (1, positions, width).
            given: Previous text, start, language, task.
            start: Where in it the start token is.
            generator: Of the recording, for temperatures above 0.
        """
        logits = self._decoder.fill(row, encoded, given, at=(start, len(given) - 1))
        no_speech = self._rules.first_time - 2  # the token before <|notimestamps|>
        silence = float(logits[0].softmax(dim=0)[no_speech])
        begun = _Row(
            encoded,
            tuple(given),
            logits[1:],
            silence,
            generator,
            iter(self._fallback.temperature),
            Written(given, self._rules.first_time),
        )
        self._rows[row : row + 1] = [begun]
        return self._try(row)

    def step(self) -> list[DecodedWindow | None]:
        """The next token of each row; returns the windows that are decoded, None for those that go on."""
        logits = self._decoder.step([row.written.ids[-1] for row in self._rows])
        chosen = self._choose(logits, self._rows)
        return [self._accept(number, *token) for number, token in enumerate(chosen)]

    def remove(self, row: int) -> None:
        """Take a row away; the last one takes its place."""
        self._decoder.remove(row)
        last = self._rows.pop()
        if row < len(self._rows):
            self._rows[row] = last

    def _try(self, number: int) -> DecodedWindow | None:
        """Begin the next attempt."""
        row = self._rows[number]
        row.temperature = next(row.temperatures)
        row.written = Written(row.given, self._rules.first_time)
        row.logprobs = []
        if row.temperature == 0 and self._num_beams > 1:
            row.written.ids, row.logprobs = self._beam_search(row)
            return self._conclude(number)
        self._decoder.rewind(number, len(row.given))
        ((token, logprob),) = self._choose(row.first_logits.clone(), [row])
        return self._accept(number, token, logprob)

    def _choose(self, logits: torch.Tensor, rows: Sequence[_Row]) -> list[tuple[int, float]]:
        """The next token of each row, and its log-probability."""
        scores = self._rules.apply(logits, [row.written for row in rows])
        # one by one: threads share out the sums of a single row otherwise than those of several
        best, tokens = map(torch.cat, zip(*(row.max(dim=1) for row in scores.split(1)), strict=True))
        logprobs = best - torch.cat([row.logsumexp(dim=1) for row in scores.split(1)])
        for number, row in enumerate(rows):
            if row.temperature > 0:
                own = scores[number] / row.temperature
                own = own.masked_fill(own < own.topk(min(TOP_K, len(own))).values[-1], -torch.inf)
                token = torch.multinomial(own.softmax(dim=0), 1, generator=row.generator)[0]
                tokens[number] = token
                logprobs[number] = (own * row.temperature).log_softmax(dim=0)[token]
        # both by one copy to the host; float32 holds every token id
        pairs = torch.stack([tokens.float(), logprobs], dim=1).tolist()
        return [(int(token), logprob) for token, logprob in pairs]

    def _accept(self, number: int, token: int, logprob: float) -> DecodedWindow | None:
        row = self._rows[number]
        row.written.ids.append(token)
        row.logprobs.append(logprob)
        if token == self._rules.end_of_text or len(row.written.ids) == self._room:
            return self._conclude(number)
        return None

    def _conclude(self, number: int) -> DecodedWindow | None:
        """The attempt is over: the window, or None where the next attempt has begun."""
        row, wanted = self._rows[number], self._fallback
        ids = row.written.ids
        ratio = compression_ratio(ids, self._model.config.vocab_size)
        mean = sum(row.logprobs) / len(row.logprobs)
        is_improbable = wanted.logprob_threshold is not None and mean < wanted.logprob_threshold
        is_repeating = wanted.compression_ratio_threshold is not None and ratio > wanted.compression_ratio_threshold
        is_silence = (
            is_improbable and wanted.no_speech_threshold is not None and row.no_speech_prob > wanted.no_speech_threshold
        )
        is_last = row.temperature == wanted.temperature[-1]
        if (is_improbable or is_repeating) and not is_silence and not is_last:
            return self._try(number)
        has_ended = ids[-1] == self._rules.end_of_text
        kept = tuple(ids[:-1] if has_ended else ids)
        return DecodedWindow(kept, row.temperature, mean, ratio, row.no_speech_prob, is_silence, has_ended)

    def _beam_search(self, row: _Row) -> tuple[list[int], list[float]]:
        """(ids, log-probability of each)."""
        times = WhisperTimeStampLogitsProcessor(self._model.generation_config, begin_index=len(row.given))
        found = GenerationMixin.generate(
            self._model,
            encoder_outputs=BaseModelOutput(last_hidden_state=row.encoded),
            decoder_input_ids=torch.tensor([row.given], device=row.encoded.device),
            max_new_tokens=self._room,
            num_beams=self._num_beams,
            do_sample=False,
            logits_processor=LogitsProcessorList([times]),
            output_scores=True,
            return_dict_in_generate=True,
        )
        ids = found.sequences[0, len(row.given) :].tolist()
        beams = found.beam_indices[0, : len(ids)].tolist()
        logprobs = [
            float(scores[beam].log_softmax(dim=0)[token])
            for scores, beam, token in zip(found.scores, beams, ids, strict=False)
        ]
        return ids, logprobs


def most_new_tokens(model: WhisperForConditionalGeneration) -> int:
    """How many tokens a window may have: half of the positions are for the previous text, as in Whisper."""
    return int(model.config.max_target_positions) // 2 - START_TOKENS


def compression_ratio(ids: Sequence[int], vocabulary: int) -> float:
    """How much zlib shrinks token ids, as transformers' long-form generation asks."""
    bytes_of_token = int(math.log2(vocabulary) / 8) + 1
    content = b"".join(token.to_bytes(bytes_of_token, "little") for token in ids)
    return len(content) / len(zlib.compress(content))
