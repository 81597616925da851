"""Columns crossed for breakdowns."""

import pytest

from accel_asr.data.reading.crossed_columns import crossed_cells, single_columns


def test_each_column_is_read_once() -> None:
    assert single_columns(["language+gender", "age", "gender + age"]) == ("language", "gender", "age")


def test_cells_are_joined() -> None:
    names = ["language+gender", "gender"]
    assert crossed_cells(names, ["de", "female"]) == {"language+gender": "de + female", "gender": "female"}
    assert crossed_cells(names, [None, "female"]) == {"language+gender": "unset + female", "gender": "female"}
    assert crossed_cells(names, ["de", None]) == {"language+gender": "de + unset"}
    assert crossed_cells(names, [None, None]) == crossed_cells(names, []) == crossed_cells([], []) == {}


def test_cells_of_other_columns_are_a_mistake_of_ours() -> None:
    with pytest.raises(ValueError, match="shorter"):
        crossed_cells(["language+gender"], ["de"])
