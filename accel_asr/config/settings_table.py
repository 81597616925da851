"""The page of all settings, from the same field documentation as `--help`.

`python -m accel_asr.config.settings_table docs/settings.md` writes it; a test compares.
"""

import inspect
import sys
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path

import yaml
from docstring_parser import parse_from_object

from accel_asr.config.guard_settings import GuardConfig
from accel_asr.config.settings import Config, SourceConfig

HEAD = """\
<!-- written by `python -m accel_asr.config.settings_table docs/settings.md` from the field documentation -->
# Settings

Set them in a YAML file under their section, or on the command line by their full name; the command line wins.
`--config` names the file, or a recipe. `--print_config` shows all settings, resolved.
"""


def settings_page() -> str:
    """Markdown: a heading and a list for each section. No table: on a telephone its columns would break the names."""
    parts = [HEAD]
    lists = [("data.sources[].", SourceConfig), ("evaluation.guards[].", GuardConfig)]
    for prefix, section in [*sections(Config), *lists]:
        parts.append(f"\n## {prefix.removesuffix('.') or 'The run'}\n\n{inspect.getdoc(section)}\n\n")
        for name, default, meaning in settings_of(section, prefix):
            parts.append(f"- **`{name}`**, default `{default}`<br>\n  {meaning}\n")
    return "".join(parts)


def sections(section: type, prefix: str = "") -> Iterator[tuple[str, type]]:
    """(dotted prefix, class) of a section, and of those inside it."""
    yield prefix, section
    for field in fields(section):
        if isinstance(field.type, type) and is_dataclass(field.type):
            yield from sections(field.type, f"{prefix}{field.name}.")


def settings_of(section: type, prefix: str) -> list[tuple[str, str, str]]:
    """(dotted name, default as YAML, meaning) of each setting of a section itself."""
    meanings = {param.arg_name: param.description or "" for param in parse_from_object(section).params}
    settings = []
    for field in fields(section):
        default = getattr(section(), field.name)
        if not is_dataclass(default):
            shown = yaml.safe_dump(default, default_flow_style=True).removesuffix("...\n").strip()
            settings.append((prefix + field.name, shown, " ".join(meanings[field.name].split())))
    return settings


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(settings_page(), encoding="utf-8")
