"""The table of settings: whole dotted names, as the command line takes them, and defaults as YAML."""

from dataclasses import dataclass, field

import pytest

from accel_asr.config.command_line import parse_config
from accel_asr.config.settings import Config
from accel_asr.config.settings_table import BEGIN, END, documented_settings, with_settings


@dataclass(frozen=True)
class Inner:
    """Of the second depth."""

    names: dict[str, str] = field(default_factory=dict)
    """What a|b
    means."""


@dataclass(frozen=True)
class Outer:
    """Of the first depth."""

    count: int | None = None
    """How many."""
    inner: Inner = field(default_factory=Inner)
    """A section."""


@dataclass(frozen=True)
class Whole:
    """All."""

    outer: Outer = field(default_factory=Outer)
    """A section."""


def test_sections_in_sections_have_their_whole_dotted_names() -> None:
    assert documented_settings(Whole) == [
        ("outer.count", "null", "How many."),
        ("outer.inner.names", "{}", r"What a\|b means."),
    ]


def test_each_name_is_there_once_and_is_one_that_the_command_line_takes(tmp_path) -> None:
    settings = {name: default for name, default, _ in documented_settings(Config)}
    assert len(settings) == len(documented_settings(Config)) > 50
    assert {"data.text.lowercase", "data.text.replacements", "training.seed", "output_dir"} <= set(settings)
    arguments = [part for name, default in settings.items() if default != "null" for part in (f"--{name}", default)]
    (tmp_path / "empty.yaml").write_text("{}")  # else the settings of a recipe are taken
    given = [
        "--config",
        str(tmp_path / "empty.yaml"),
        "--data.name_or_path",
        "clips.csv",
        "--data.eval_rows",
        "5",
        "--output_dir",
        str(tmp_path),
    ]
    assert parse_config([*given, *arguments]) == parse_config(given)


@pytest.mark.parametrize("before", ["", "an old table"])
def test_the_table_takes_the_place_of_the_old_one_and_the_rest_stays(before: str) -> None:
    readme = f"# Title\n\n{BEGIN}\n{before}\n{END}\n\nmore\n"
    written = with_settings(readme)
    assert written.startswith(f"# Title\n\n{BEGIN}\n| setting | default | meaning |\n")
    assert written.endswith(f" |\n{END}\n\nmore\n")
    assert "an old table" not in written
    assert with_settings(written) == written
