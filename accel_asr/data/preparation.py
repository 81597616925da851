"""From rows to utterances that can be trained on or scored: decode, tokenise, filter with reasons."""

import math
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from transformers import WhisperTokenizer

from accel_asr.data.audio import AudioError, decode, to_int16
from accel_asr.data.rows import Row
from accel_asr.errors import UserError

MAX_EXAMPLES = 20
TIMESTAMP_STEP_S = 0.02  # Whisper's timestamp tokens are 20 ms apart


@dataclass(frozen=True, slots=True)
class Utterance:
    """One clip, ready for batches.

    `samples` is int16 at the model's rate; `token_ids` are the label from <|startoftranscript|> to <|endoftext|>;
    `group` is what the clips that must stay together share.
    """

    utterance_id: str
    text: str
    duration_s: float
    samples: np.ndarray
    token_ids: tuple[int, ...]
    group: str | None = None


@dataclass
class Drops:
    """What was left out, by reason, each with its utterance id and the particulars."""

    by_reason: dict[str, list[tuple[str, str]]] = field(default_factory=dict)

    def add(self, reason: str, utterance_id: str, detail: str) -> None:
        self.by_reason.setdefault(reason, []).append((utterance_id, detail))

    def merge(self, other: "Drops") -> None:
        for reason, dropped in other.by_reason.items():
            self.by_reason.setdefault(reason, []).extend(dropped)

    def sentence(self) -> str:
        """`dropped 101 (longer than 30 s), 17 (empty text)`, or `dropped none`."""
        counts = [f"{len(dropped):,} ({reason})" for reason, dropped in self.by_reason.items()]
        return "dropped " + (", ".join(counts) or "none")

    def summary(self) -> dict[str, Any]:
        """For data_summary.json: count and the first examples of each reason."""
        return {
            reason: {"count": len(dropped), "examples": [list(example) for example in dropped[:MAX_EXAMPLES]]}
            for reason, dropped in self.by_reason.items()
        }


class LabelEncoder:
    """Text to label ids, with one start-of-transcript, the language, the task, and optionally begin and end times."""

    def __init__(self, tokenizer: WhisperTokenizer) -> None:
        self.tokenizer = tokenizer
        self.no_timestamps_id: int = tokenizer.convert_tokens_to_ids("<|notimestamps|>")
        self.first_timestamp_id = self.no_timestamps_id + 1

    def encode(self, text: str) -> tuple[int, ...]:
        """<|startoftranscript|> [<|language|> <|task|>] <|notimestamps|> text <|endoftext|>."""
        return tuple(self.tokenizer(text, split_special_tokens=True).input_ids)

    def with_timestamps(self, token_ids: Sequence[int], duration_s: float) -> tuple[int, ...]:
        """The same label with <|0.00|> in place of <|notimestamps|> and the clip's end before <|endoftext|>."""
        begin = token_ids.index(self.no_timestamps_id)
        end_id = self.first_timestamp_id + math.floor(round(duration_s / TIMESTAMP_STEP_S, 6))
        return (*token_ids[:begin], self.first_timestamp_id, *token_ids[begin + 1 : -1], end_id, token_ids[-1])


def prepare_utterances(
    rows: Sequence[Row],
    *,
    encoder: LabelEncoder,
    sampling_rate_hz: int,
    max_duration_s: float,
    max_label_tokens: int,
    max_bad_fraction: float,
    channel: int | None = None,
    num_threads: int = 4,
) -> tuple[list[Utterance], Drops]:
    """Decode and check every row now, so that nothing bad ends a run hours later. Order is kept.

    Clips not shorter than `max_duration_s`, rows without text, and labels that the decoder's positions can't hold are
    dropped with their reason. The audio stays in memory as int16: about 115 MB an hour at 16 kHz.

    Raises:
        UserError: more than `max_bad_fraction` of the rows can't be decoded, or none is left.
    """
    drops = Drops()
    utterances = []
    undecodable = []

    def samples_or_reason(row: Row) -> np.ndarray | str:
        try:
            if row.audio is None:
                return "the row holds no audio"
            samples = decode(
                row.audio,
                sampling_rate_hz=sampling_rate_hz,
                channel=channel,
                start_s=row.start_s,
                end_s=row.end_s,
            )
            return to_int16(samples)
        except AudioError as error:
            return str(error)

    with ThreadPoolExecutor(num_threads) as pool:  # soundfile and soxr release the interpreter lock
        for row, samples in zip(rows, pool.map(samples_or_reason, rows), strict=True):
            if isinstance(samples, str):
                undecodable.append((row.utterance_id, samples))
                drops.add("undecodable audio", row.utterance_id, samples)
                continue
            duration_s = len(samples) / sampling_rate_hz
            if row.text is None or not row.text.strip():
                drops.add("no text", row.utterance_id, "null" if row.text is None else "empty")
            elif duration_s >= max_duration_s:
                drops.add(f"not shorter than {max_duration_s:g} s", row.utterance_id, f"{duration_s:.2f} s")
            else:
                text = row.text.strip()
                token_ids = encoder.encode(text)
                # the decoder reads all but the last token; one more place for the end time of a timestamped label
                if len(token_ids) > max_label_tokens:
                    detail = f"{len(token_ids)} tokens"
                    drops.add(f"label longer than {max_label_tokens} tokens", row.utterance_id, detail)
                else:
                    utterances.append(Utterance(row.utterance_id, text, duration_s, samples, token_ids, row.group))
    if len(undecodable) > max_bad_fraction * len(rows):
        named = "\n".join(f"  {utterance_id}: {reason}" for utterance_id, reason in undecodable[:MAX_EXAMPLES])
        more = f"\n  and {len(undecodable) - MAX_EXAMPLES} more" if len(undecodable) > MAX_EXAMPLES else ""
        raise UserError(
            f"data.max_bad_fraction: {len(undecodable)} of {len(rows)} recordings can't be decoded, more than "
            f"the share of {max_bad_fraction:g} that is let pass; mend them or raise --data.max_bad_fraction:\n"
            f"{named}{more}"
        )
    if not utterances:
        raise UserError(f"data.name_or_path: no utterance is left after the filters ({drops.sentence()})")
    return utterances, drops


def fingerprint(utterances: Sequence[Utterance]) -> int:
    """A checksum of the ids, texts and audio, in order: training can only be gone on with on the same data."""
    checksum = 0
    for utterance in utterances:
        checksum = zlib.crc32(f"{utterance.utterance_id}\n{utterance.text}\n".encode(), checksum)
        checksum = zlib.crc32(utterance.samples.tobytes(), checksum)
    return checksum


def hours(utterances: Sequence[Utterance]) -> float:
    """Hours of audio."""
    return sum(utterance.duration_s for utterance in utterances) / 3600
