"""Columns by which scores are broken down: single ones, and two or more crossed, as `language+gender`."""

from collections.abc import Sequence

CROSS = "+"
UNSET = "unset"


def single_columns(names: Sequence[str]) -> tuple[str, ...]:
    """The columns of the source that are needed, each once: `language`, `gender` and `age` of
    `["language+gender", "age"]`."""
    return tuple(dict.fromkeys(column.strip() for name in names for column in name.split(CROSS)))


def crossed_cells(names: Sequence[str], cells: Sequence[str | None]) -> dict[str, str]:
    """The cell of each name, `de + female` of `language+gender`; none where no column of it has one.

    Args:
        cells: Of `single_columns(names)`; empty if the source holds none.
    """
    by_column = dict(zip(single_columns(names), cells, strict=bool(cells)))
    crossed = {}
    for name in dict.fromkeys(names):
        own = [by_column.get(column.strip()) for column in name.split(CROSS)]
        if any(cell is not None for cell in own):
            crossed[name] = f" {CROSS} ".join(UNSET if cell is None else cell for cell in own)
    return crossed
