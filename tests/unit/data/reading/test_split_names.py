"""Which of a source's splits a setting means."""

import pytest

from accel_asr.data.reading.split_names import choose_splits, kind_of, missing_shards, without_shard_number
from tests.refusals import refused

SETTING = "--data.train_split or --data.eval_split"


@pytest.mark.parametrize(
    ("asked", "there", "meant"),
    [
        ("validation", ["train", "validation", "test"], ["validation"]),
        ("validation", ["train", "dev", "test"], ["dev"]),
        ("dev", ["train", "valid"], ["valid"]),
        ("validation", ["train", "eval"], ["eval"]),
        ("validation", ["train", "test"], ["test"]),
        ("dev", ["train", "dev-clean", "dev-other"], ["dev-clean", "dev-other"]),
        ("train", ["train_manifest", "dev_manifest"], ["train_manifest"]),
        ("train", ["train-clean-100", "train-clean-360", "test-clean"], ["train-clean-100", "train-clean-360"]),
        ("train", ["training", "test"], ["training"]),
        ("train", ["clips"], ["clips"]),
        ("train", ["validated"], ["validated"]),
        ("test", ["train", "eval"], ["eval"]),
        ("validated", ["train", "validated"], ["validated"]),
    ],
)
def test_a_split_goes_by_its_usual_names(asked: str, there: list[str], meant: list[str]) -> None:
    chosen, notices = choose_splits(asked, there, where="a folder")
    assert chosen == meant
    assert bool(notices) == (chosen != [asked])
    assert all(name in notices[0] for name in meant if notices)


@pytest.mark.parametrize(
    ("asked", "there"),
    [
        ("validation", ["train", "dev", "valid"]),  # either may be meant
        ("eval", ["train", "dev", "test"]),
        ("test", ["train", "validation"]),  # a test score is of no other set
        ("test", ["train", "dev"]),
        ("train", ["dev"]),
        ("train", ["test"]),
        ("train", ["invalidated"]),
        ("train", ["validated", "invalidated", "other"]),
        ("dev", ["train_dev", "train_nodev"]),  # is it trained on, or validated on?
        ("holdout", ["train", "test"]),
    ],
)
def test_an_ambiguous_split_is_refused(asked: str, there: list[str]) -> None:
    with refused(SETTING, "the folder x", there[-1], value=asked):
        choose_splits(asked, there, where="the folder x", all_without=True)


def test_tables_that_are_no_splits_are_one_set_to_train_on() -> None:
    assert choose_splits("train", ["part-1", "part-2"], where="x", all_without=True) == (["part-1", "part-2"], [])
    with refused(SETTING, value="train", remedy="part-1, part-2"):
        choose_splits("train", ["part-1", "part-2"], where="x")
    with refused(SETTING, value="test"):
        choose_splits("test", ["part-1", "part-2"], where="x", all_without=True)


def test_the_lone_split_of_a_set_to_validate_on() -> None:
    assert choose_splits("validation", ["train"], where="x", any_lone=True)[0] == ["train"]
    with refused(SETTING, value="validation"):
        choose_splits("validation", ["train"], where="x")


@pytest.mark.parametrize(
    ("stem", "name"),
    [
        ("train-00000-of-00002", "train"),
        ("train_1", "train"),
        ("train.part-03", "train"),
        ("train", "train"),
        ("0000", "0000"),
        ("eval2000", "eval"),
    ],
)
def test_a_shard_goes_by_the_name_of_its_set(stem: str, name: str) -> None:
    assert without_shard_number(stem) == name


def test_a_word_within_a_word_says_nothing() -> None:
    assert (kind_of("valentin"), kind_of("latest"), kind_of("Dev_Clean")) == (None, None, "validation")


def test_shards_that_are_missing_are_known_by_the_names_of_the_others() -> None:
    there = ["data/train-00000-of-00003.parquet", "data/train-00002-of-00003.parquet", "data/test-0-of-1.parquet"]
    assert missing_shards(there) == ["train-00001-of-00003.parquet"]
    assert missing_shards([*there, "data/train-00001-of-00003.parquet", "a-1.csv"]) == []
