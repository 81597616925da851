"""Training and validation utterances of a run, with the account of what was kept and what was not."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from accel_asr.config import DataConfig
from accel_asr.data.holdout import count_to_hold_out, split_first, split_groups, split_random
from accel_asr.data.preparation import Drops, LabelEncoder, Utterance, hours, prepare_utterances
from accel_asr.data.sources import load_source
from accel_asr.errors import UserError


@dataclass(frozen=True)
class RunData:
    """`summary` is data_summary.json; `notices` are lines for the user."""

    train: list[Utterance]
    validation: list[Utterance]
    summary: dict[str, Any]
    notices: list[str]


def load_train_and_validation(
    data: DataConfig, *, encoder: LabelEncoder, sampling_rate_hz: int, window_s: float, max_label_tokens: int, seed: int
) -> RunData:
    """Load, decode, filter, and split. Every rank does it for itself, so that none waits for another.

    Args:
        window_s: The most the model hears at once; it caps `data.max_duration_s`.
        max_label_tokens: The decoder's positions.

    Raises:
        UserError: as the parts of it raise.
    """
    assert data.name_or_path is not None
    notices: list[str] = []
    total: dict[str, int] = {}
    all_drops = Drops()

    def prepare(split: str) -> list[Utterance]:
        assert data.name_or_path is not None
        source = load_source(
            data.name_or_path,
            split=split,
            audio_column=data.audio_column,
            text_column=data.text_column,
            subset=data.subset,
            group_column=data.group_column,
            revision=data.revision,
            allow_outside_paths=data.allow_outside_paths,
        )
        utterances, drops = prepare_utterances(
            source.rows,
            encoder=encoder,
            sampling_rate_hz=sampling_rate_hz,
            max_duration_s=min(data.max_duration_s, window_s),
            max_label_tokens=max_label_tokens,
            max_bad_fraction=data.max_bad_fraction,
            channel=data.channel,
        )
        notices.extend(notice for notice in source.notices if notice not in notices)
        notices.append(f"{split}: kept {len(utterances):,} of {len(source.rows):,} utterances; {drops.sentence()}")
        total[split] = len(source.rows)
        all_drops.merge(drops)
        return utterances

    train = prepare(data.train_split)
    if data.eval_split is not None:
        validation = prepare(data.eval_split)
        if [utterance.utterance_id for utterance in validation] == [utterance.utterance_id for utterance in train]:
            raise UserError(
                f"data.eval_split: {data.eval_split!r} holds the very utterances of data.train_split="
                f"{data.train_split}, so the source does not tell them apart; set data.eval_fraction instead"
            )
    elif data.train_rows is not None:
        train, validation = split_first(train, train_rows=data.train_rows)
    else:
        count = count_to_hold_out(len(train), eval_fraction=data.eval_fraction, eval_rows=data.eval_rows)
        if data.group_column is None:
            train, validation = split_random(train, count=count, seed=seed)
        else:
            (train, validation), notice = split_groups(train, count=count, seed=seed, column=data.group_column)
            notices.append(notice)
    summary = {
        "source": {"name_or_path": data.name_or_path, "subset": data.subset, "revision": data.revision},
        "rows": total,
        "train": _part_summary(train),
        "validation": _part_summary(validation),
        "dropped": all_drops.summary(),
        "notices": notices,
    }
    return RunData(train=train, validation=validation, summary=summary, notices=notices)


def _part_summary(utterances: Sequence[Utterance]) -> dict[str, Any]:
    durations_s = [utterance.duration_s for utterance in utterances]
    return {
        "utterances": len(utterances),
        "hours": round(hours(utterances), 4),
        "shortest_s": round(min(durations_s), 3),
        "longest_s": round(max(durations_s), 3),
        "longest_label_tokens": max(len(utterance.token_ids) for utterance in utterances),
    }
