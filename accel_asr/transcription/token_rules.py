"""Which token may come next in a window of a long recording: Whisper's rules for times, and tokens never written.

As transformers' `WhisperTimeStampLogitsProcessor` and `SuppressTokensLogitsProcessor`, which took a third of the time
of whisper-tiny's decoder on a CPU.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from transformers import (
    GenerationConfig,
    LogitsProcessor,
    NoRepeatNGramLogitsProcessor,
    RepetitionPenaltyLogitsProcessor,
)


@dataclass(frozen=True)
class TokenRules:
    """The rules of a model's generation settings.

    Args:
        never: Tokens that are never written.
        never_first: Tokens that do not begin a window.
        first_time: The token of 0.00 s: this one and all after it are times.
        most_first_time: The latest time at the beginning of a window, as its number of steps; None allows any.
        others: What else the settings ask for, such as a penalty of repetitions.
    """

    never: torch.Tensor
    never_first: torch.Tensor
    first_time: int
    end_of_text: int
    most_first_time: int | None
    others: tuple[LogitsProcessor, ...] = ()

    @classmethod
    def of_settings(cls, settings: GenerationConfig, device: torch.device) -> "TokenRules":
        """By transformers' names."""
        others: list[LogitsProcessor] = []
        if (settings.repetition_penalty or 1.0) != 1.0:
            others.append(RepetitionPenaltyLogitsProcessor(settings.repetition_penalty))
        if settings.no_repeat_ngram_size:
            others.append(NoRepeatNGramLogitsProcessor(settings.no_repeat_ngram_size))
        first_time = first_time_of(settings)

        def tensor(ids: Sequence[int] | None) -> torch.Tensor:
            return torch.tensor(list(ids or ()), dtype=torch.int64, device=device)

        return cls(
            never=tensor([*(settings.suppress_tokens or ()), first_time - 1]),
            never_first=tensor(settings.begin_suppress_tokens),
            first_time=first_time,
            end_of_text=int(settings.eos_token_id),
            most_first_time=getattr(settings, "max_initial_timestamp_index", None),
            others=tuple(others),
        )

    def apply(self, logits: torch.Tensor, written: Sequence["Written"]) -> torch.Tensor:
        """Set the logits of what may not come next to -inf, in place.

        Args:
            logits: (rows, vocabulary).
            written: What each of the rows has.
        """
        for row, own in enumerate(written):
            for processor in self.others:
                ids = torch.tensor([[*own.given, *own.ids]], device=logits.device)
                logits[row : row + 1] = processor(ids, logits[row : row + 1])
        logits.index_fill_(1, self.never, -torch.inf)
        for scores, own in zip(logits, written, strict=True):
            if not own.ids:
                scores[self.never_first] = -torch.inf
                scores[: self.first_time] = -torch.inf
                if self.most_first_time is not None:
                    scores[self.first_time + self.most_first_time + 1 :] = -torch.inf
                continue
            if own.ids[-1] >= self.first_time:  # times come in pairs, except at the beginning and the end
                if len(own.ids) < 2 or own.ids[-2] >= self.first_time:
                    scores[self.first_time :] = -torch.inf
                else:
                    scores[: self.end_of_text] = -torch.inf
                    scores[self.first_time : own.latest] = -torch.inf
                    continue
            scores[self.first_time : own.latest + 1] = -torch.inf
        # a time, where times together are likelier than any word
        words, times = logits[:, : self.first_time], logits[:, self.first_time :]
        is_time = times.logsumexp(dim=1) > words.amax(dim=1)
        words.masked_fill_(is_time[:, None], -torch.inf)
        return logits


@dataclass
class Written:
    """What a row has been given and has written; `latest` is its latest time, as a token."""

    given: Sequence[int]
    first_time: int
    ids: list[int] = field(default_factory=list)

    @property
    def latest(self) -> int:
        """The last time written; before the first one, the token before 0.00 s."""
        return next((token for token in reversed(self.ids) if token >= self.first_time), self.first_time - 1)


def first_time_of(settings: GenerationConfig) -> int:
    """The token of 0.00 s, which follows `<|notimestamps|>`."""
    return int(settings.no_timestamps_token_id) + 1
