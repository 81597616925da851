"""The page of settings: whole dotted names, as the command line takes them, and defaults as YAML."""

from dataclasses import dataclass, field
from pathlib import Path

from accel_asr.config.command_line import parse_config
from accel_asr.config.settings import Config
from accel_asr.config.settings_table import sections, settings_of, settings_page


@dataclass(frozen=True)
class Inner:
    """Of the second depth."""

    names: dict[str, str] = field(default_factory=dict)
    """What it
    means."""


@dataclass(frozen=True)
class Outer:
    """Of the first depth."""

    count: int | None = None
    """How many."""
    inner: Inner = field(default_factory=Inner)
    """A section."""


def test_sections_in_sections_have_their_whole_dotted_names() -> None:
    assert list(sections(Outer, "outer.")) == [("outer.", Outer), ("outer.inner.", Inner)]
    assert settings_of(Outer, "outer.") == [("outer.count", "null", "How many.")]
    assert settings_of(Inner, "outer.inner.") == [("outer.inner.names", "{}", "What it means.")]


def test_each_name_is_there_once_and_is_one_that_the_command_line_takes(tmp_path: Path) -> None:
    rows = [row for prefix, section in sections(Config) for row in settings_of(section, prefix)]
    settings = {name: default for name, default, _ in rows}
    assert len(settings) == len(rows) > 50
    assert {"data.text.lowercase", "data.text.replacements", "training.seed", "output_dir"} <= set(settings)
    arguments = [part for name, default in settings.items() if default != "null" for part in (f"--{name}", default)]
    (tmp_path / "empty.yaml").write_text("{}")  # else the settings of a recipe are taken
    given = ["--config", str(tmp_path / "empty.yaml"), "--output_dir", str(tmp_path)]
    given += ["--data.name_or_path", "clips.csv", "--data.eval_rows", "5"]
    assert parse_config([*given, *arguments]) == parse_config(given)


def test_the_page_has_each_setting_in_its_section() -> None:
    page = settings_page()
    for heading in ("The run", "model", "data", "data.text", "training", "hub", "data.sources[]"):
        assert f"\n## {heading}\n\n" in page
    assert "- **`data.text.lowercase`**, default `false`<br>\n" in page
    assert "- **`data.sources[].weight`**, default `null`<br>\n" in page
