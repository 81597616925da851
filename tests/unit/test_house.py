"""The house rules that a linter does not know: which way imports point, names, documentation, no code from data."""

import ast
import re
import sys
import warnings
from collections.abc import Iterator
from importlib.metadata import packages_distributions, requires
from pathlib import Path

import pytest

from accel_asr.settings_table import with_settings

REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGE = REPOSITORY / "accel_asr"
SOURCES = sorted(PACKAGE.rglob("*.py"))

# Imports point one way: each part may import what stands above it, as far as it is named here.
# design.md 5: commands, train -> publishing, evaluation, training -> modeling, data -> config. Of the helper modules,
# public_text, printing, bars, errors and processes are below everything; command_line stands beside config; progress
# shows what evaluation and training hand to it, so it stands above both and below train, and so does verification,
# which compares what both give; job loads what train and verify start from. evaluation and training do not know each
# other.
MAY_IMPORT: dict[str, set[str]] = {
    "public_text": set(),
    "printing": {"public_text"},
    "bars": {"printing", "public_text"},
    "errors": {"printing", "public_text"},
    "processes": set(),
    "config": set(),
    "setting_limits": {"public_text"},
    "config_checks": {"config", "errors", "public_text", "setting_limits"},
    "settings_table": {"config"},
    "command_secrets": {"errors", "public_text"},
    "settings_files": {"errors"},
    "command_line": {"command_secrets", "config", "config_checks", "errors", "public_text", "settings_files"},
    "model_folder": {"errors", "printing", "public_text"},
    "data": {"bars", "config", "errors", "model_folder", "printing", "processes", "public_text"},
    "modeling": {"bars", "config", "data", "errors", "model_folder"},
    "audio_context": set(),
    "token_loss": set(),
    "agreement": {"errors"},
    "training": {"agreement", "config", "data", "errors", "modeling", "printing", "public_text", "token_loss"}
    | {"processes"},
    "evaluation": {"agreement", "audio_context", "config", "data", "errors", "modeling", "printing", "public_text"}
    | {"token_loss"},
    "transcription": {"data", "errors", "modeling"},
    "demonstration": {"data", "errors", "transcription"},
    "publishing": {"config", "data", "errors", "evaluation", "printing", "public_text", "settings_files"},
    "model_settings": {"command_line", "data", "settings_files", "training"},
    "job": {"config", "data", "errors", "evaluation", "modeling", "training"},
    "evaluation_job": {"bars", "config", "data", "errors", "evaluation", "job", "modeling"},
    "evaluation_output": {"errors", "evaluation", "training"},
    "rescoring": {"config", "errors", "evaluation", "printing", "training"},
    "exporting": {"data", "errors", "evaluation", "modeling"},
    "verification": {"data", "evaluation", "progress", "training"},
    "run_forecast": {"data"},
    "progress": {"bars", "evaluation", "printing", "public_text", "run_forecast", "training"},
    "run_evaluations": {"agreement", "audio_context", "data", "evaluation", "job", "progress", "training"},
    "reporting": {"config", "data", "errors", "evaluation", "public_text", "settings_files", "training"},
}
ENTRIES = {"train", "commands", "__main__"}  # may import everything


def part_of(path: Path) -> str:
    """`data` of accel_asr/data/decoding/audio.py, `modeling` of accel_asr/modeling.py."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(tree: ast.Module) -> Iterator[tuple[str, list[str]]]:
    """(module, names taken from it) of each import anywhere in a file."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, []) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "write imports from the package's name on"
            yield str(node.module), [alias.name for alias in node.names]


def parts_imported(path: Path) -> set[str]:
    parts = set()
    for module, names in imported(ast.parse(path.read_text(encoding="utf-8"))):
        if module == "accel_asr":
            parts |= set(names) - {"__version__"}
        elif module.startswith("accel_asr."):
            parts.add(module.split(".")[1])
    return parts


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_one_way(path: Path) -> None:
    part = part_of(path)
    if part not in ENTRIES and path != PACKAGE / "__init__.py":
        assert part in MAY_IMPORT, f"say in {Path(__file__).name} what {part} may import"
        assert parts_imported(path) <= MAY_IMPORT[part] | {part}


def test_nothing_imports_the_entries() -> None:
    importers = {str(path.relative_to(PACKAGE)) for path in SOURCES if parts_imported(path) & ENTRIES}
    assert importers <= {"__main__.py"}


def test_the_map_itself_goes_one_way() -> None:
    done: set[str] = set()
    left = dict(MAY_IMPORT)
    while left:
        free = {part for part, below in left.items() if below <= done}
        assert free, f"these import each other: {sorted(left)}"
        done |= free
        left = {part: below for part, below in left.items() if part not in free}


def test_only_entries_and_the_command_line_see_the_whole_configuration() -> None:
    seers = {
        part_of(path)
        for path in SOURCES
        for module, names in imported(ast.parse(path.read_text(encoding="utf-8")))
        if module == "accel_asr.config" and "Config" in names
    }
    assert seers <= {"train", "commands", "command_line", "config_checks", "settings_table"}


def test_the_scripts_that_made_the_quickstart_are_not_used_by_the_package() -> None:
    users = {
        path.parent.name
        for path in SOURCES
        for module, _ in imported(ast.parse(path.read_text(encoding="utf-8")))
        if "quickstart.making" in module
    }
    assert users <= {"making"}


# -- names


def test_no_file_hides_a_library() -> None:
    # `accelerate launch accel_asr/train.py` puts accel_asr/ first on sys.path: facts.md 1
    beside_train = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or path.is_dir()}
    beside_train -= {"__init__", "__main__", "__pycache__"}
    assert beside_train & set(packages_distributions()) == set()
    assert beside_train & sys.stdlib_module_names == set()


def test_no_deeper_file_is_named_like_a_library_we_use() -> None:
    our_requirements = {re.match(r"[\w.-]+", line)[0].lower().replace("_", "-") for line in requires("accel-asr") or []}  # type: ignore[index]
    used = {
        module
        for module, distributions in packages_distributions().items()
        if {name.lower().replace("_", "-") for name in distributions} & our_requirements
    }
    assert {"torch", "evaluate", "datasets", "tqdm"} <= used
    stems = {path.stem for path in SOURCES} - {"__init__", "__main__"}
    assert stems & (used | sys.stdlib_module_names) == set()


# -- no code from data


def test_nothing_is_unpickled_and_no_remote_code_is_run() -> None:
    forbidden = {"torch.load", "torch.save", "eval", "exec", "os.system"}
    for path in SOURCES:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        assert not {module.split(".")[0] for module, _ in imported(tree)} & {"pickle", "dill", "joblib", "marshal"}, (
            path
        )
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                assert ast.unparse(node.func) not in forbidden, f"{path}:{node.lineno}"
                told = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
                assert "trust_remote_code" not in told, f"{path}:{node.lineno}"
                assert told.get("weights_only") != "False", f"{path}:{node.lineno}"
                assert told.get("shell") != "True", f"{path}:{node.lineno}"


def test_a_scheduler_is_never_prepared() -> None:
    # Accelerate steps a prepared one num_processes times: facts.md 7
    prepared = [
        ast.unparse(node)
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "prepare"
    ]
    assert prepared
    assert not any("schedul" in call for call in prepared)


# -- what is printed


def test_all_that_is_printed_goes_through_one_layer() -> None:
    # where stdout is closed, full, gone or Latin-1, anything else ends the work; and texts could act on the screen
    for path in SOURCES:
        if "making" in path.parts or path.name in ("printing.py", "bars.py"):
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        calls = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
        assert not calls & {"print", "Console", "tqdm", "sys.stdout.write", "sys.stderr.write"}, path
        assert not [module for module, _ in imported(tree) if module.split(".")[0] == "tqdm"], path
        names = {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        assert not names & {"sys.stdout", "sys.stderr"}, path


# -- documentation


def config_fields() -> dict[str, bool]:
    """Section.field -> whether a docstring follows it."""
    tree = ast.parse((PACKAGE / "config.py").read_text(encoding="utf-8"))
    documented = {}
    for section in (node for node in tree.body if isinstance(node, ast.ClassDef)):
        for node, following in zip(section.body, [*section.body[1:], None], strict=True):
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                text = following.value if isinstance(following, ast.Expr) else None
                is_text = isinstance(text, ast.Constant) and isinstance(text.value, str) and len(text.value) > 2
                documented[f"{section.name}.{node.target.id}"] = is_text
    return documented


def test_every_setting_is_documented() -> None:
    documented = config_fields()
    assert len(documented) > 40
    assert [name for name, is_documented in documented.items() if not is_documented] == []


def test_every_setting_is_used() -> None:
    used = {
        node.attr
        for path in SOURCES
        if path.name not in ("config.py", "command_line.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute)
    }
    assert [name for name in config_fields() if name.split(".")[1] not in used] == []


# -- the tests themselves


@pytest.mark.parametrize("module", ["accel_asr.pretended", "tests.pretended"])
def test_a_warning_of_ours_is_an_error(module: str) -> None:
    with pytest.raises(UserWarning, match="careless"):
        exec("import warnings; warnings.warn('careless')", {"__name__": module})


def test_a_warning_of_a_library_is_only_shown() -> None:
    with warnings.catch_warnings(record=True) as shown:
        exec("import warnings; warnings.warn('theirs')", {"__name__": "somelib"})
    assert [str(warning.message) for warning in shown] == ["theirs"]


def test_the_readme_has_the_table_of_settings_as_the_code_has_it() -> None:
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    assert with_settings(readme) == readme, "run: python -m accel_asr.settings_table README.md"
