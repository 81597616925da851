"""The README's table of settings, from the same field documentation as `--help`.

`python -m accel_asr.config.settings_table README.md` writes it in its place; a test compares.
"""

import sys
from dataclasses import fields, is_dataclass
from pathlib import Path

import yaml
from docstring_parser import parse_from_object

from accel_asr.config.settings import Config

BEGIN = (
    "<!-- settings: written by `python -m accel_asr.config.settings_table README.md` from the field documentation -->"
)
END = "<!-- end of settings -->"


def settings_table() -> str:
    """A Markdown table with a row for each setting: name, default, meaning."""
    rows = ["| setting | default | meaning |", "|---|---|---|"]
    rows += [f"| `{name}` | `{default}` | {meaning} |" for name, default, meaning in documented_settings(Config)]
    return "\n".join(rows)


def documented_settings(section: type, prefix: str = "") -> list[tuple[str, str, str]]:
    """(dotted name, default as YAML, meaning) of every setting of a section, nested sections included."""
    meanings = {param.arg_name: param.description or "" for param in parse_from_object(section).params}
    settings = []
    default = section()
    for field in fields(default):
        value = getattr(default, field.name)
        if is_dataclass(value):
            settings += documented_settings(type(value), prefix=f"{prefix}{field.name}.")
        else:
            shown = yaml.safe_dump(value, default_flow_style=True).removesuffix("...\n").strip()
            settings.append((prefix + field.name, shown, " ".join(meanings[field.name].split()).replace("|", "\\|")))
    return settings


def with_settings(readme: str) -> str:
    """`readme` with the table in its place."""
    before, rest = readme.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n{settings_table()}\n{END}{after}"


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(with_settings(path.read_text(encoding="utf-8")), encoding="utf-8")
