"""The house rules that a linter does not know: which way imports point, names, documentation, no code from data."""

import ast
import re
import subprocess
import sys
import warnings
from collections import Counter
from collections.abc import Iterator
from importlib.metadata import packages_distributions, requires
from pathlib import Path

import pytest

from accel_asr.config.settings import Config, SourceConfig
from accel_asr.config.settings_table import sections, settings_page

REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGE = REPOSITORY / "accel_asr"
SOURCES = sorted(PACKAGE.rglob("*.py"))

# From the bottom up: a room may import what stands before it, and never what stands after it.
ORDER = [
    *("console", "errors", "files", "ranks", "config", "quickstart", "audio", "model", "data"),
    *("training", "transcription", "alignment", "evaluation", "run", "planning", "verification", "exporting"),
    *("publishing", "demonstration", "reporting", "run_comparison", "after_training", "commands", "train", "api"),
    "__main__",
]
# The same within `data`, whose own modules are rooms too.
DATA_ORDER = [
    *("labels", "text_processing", "reading", "indexing", "selection", "order", "loading", "streaming"),
    *("run_data", "joined_segments", "stream_splits", "splits", "checking"),
]
STRANGERS = {"training": "evaluation", "evaluation": "training", "demonstration": "publishing"}  # import not at all


def imported(tree: ast.Module) -> Iterator[tuple[str, list[str]]]:
    """(module, names taken from it) of each import anywhere in a file."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, []) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "write imports from the package's name on"
            yield str(node.module), [alias.name for alias in node.names]


def module_name(path: Path) -> str:
    """`audio.decoding` of accel_asr/audio/decoding.py, `audio` of its __init__.py, and nothing of the package's own."""
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix("__init__").removesuffix(".")


def import_graph() -> dict[str, set[str]]:
    """Module -> the modules of the package that it imports, anywhere in its file."""
    modules = {module_name(path) for path in SOURCES}
    graph: dict[str, set[str]] = {}
    for path in SOURCES:
        targets = graph.setdefault(module_name(path), set())
        for module, names in imported(ast.parse(path.read_text(encoding="utf-8"))):
            if module == "accel_asr" or module.startswith("accel_asr."):
                above = module.removeprefix("accel_asr").removeprefix(".")
                deeper = {f"{above}.{name}".removeprefix(".") for name in names} & modules
                targets |= deeper or {above}
    return graph


GRAPH = import_graph()
ROOMS = sorted({"", *(module_name(path) for path in SOURCES if path.name == "__init__.py")})


def arrows_between(folder: str) -> dict[str, set[str]]:
    """Each module and folder that lies in `folder` -> those beside it that it imports."""
    start = f"{folder}." if folder else ""

    def child(module: str) -> str:
        return module.removeprefix(start).split(".")[0] if module.startswith(start) and module != folder else ""

    arrows: dict[str, set[str]] = {}
    for module, targets in GRAPH.items():
        if source := child(module):
            arrows.setdefault(source, set()).update(filter(None, map(child, targets)))
    return {source: targets - {source} for source, targets in arrows.items()}


@pytest.mark.parametrize("folder", ROOMS, ids=lambda folder: folder or "accel_asr")
def test_no_folder_imports_in_a_circle(folder: str) -> None:
    left = arrows_between(folder)
    while left:
        free = {name for name, targets in left.items() if not targets & left.keys()}
        assert free, f"these import each other: {left}"
        left = {name: targets for name, targets in left.items() if name not in free}


@pytest.mark.parametrize(("folder", "order"), [("", ORDER), ("data", DATA_ORDER)], ids=["accel_asr", "data"])
def test_no_import_points_upwards(folder: str, order: list[str]) -> None:
    arrows = arrows_between(folder)
    assert set(arrows) == set(order) - ({"api"} - set(arrows)), "say in ORDER where it stands"
    upward = {
        (source, target) for source in arrows for target in arrows[source] if order.index(target) > order.index(source)
    }
    assert upward == set()


def test_strangers_do_not_import_each_other() -> None:
    arrows = arrows_between("")
    assert [pair for pair in STRANGERS.items() if pair[1] in arrows[pair[0]]] == []


def test_the_package_has_few_modules_at_its_root() -> None:
    assert len(list(PACKAGE.glob("*.py"))) <= 8


def test_no_two_files_have_the_same_name() -> None:
    stems = Counter(path.stem for path in SOURCES if path.stem not in ("__init__", "__main__"))
    assert [stem for stem, count in stems.items() if count > 1] == []


def test_settings_import_nothing_heavy() -> None:
    modules = [module for module in GRAPH if module.split(".")[0] in ("config", "console", "errors")]
    heavy = ["torch", "transformers", "datasets", "accelerate", "pyarrow"]
    program = "".join(f"import accel_asr.{module}\n" for module in modules)
    program += f"import sys; print([name for name in {heavy} if name in sys.modules])"
    child = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert child.stdout.strip() == "[]"


def test_only_entries_and_the_command_line_see_the_whole_configuration() -> None:
    seers = {
        module_name(path)
        for path in SOURCES
        for module, names in imported(ast.parse(path.read_text(encoding="utf-8")))
        if module == "accel_asr.config.settings" and "Config" in names
    }
    assert {
        seer
        for seer in seers
        if seer.split(".")[0] not in ("train", "after_training", "api", "commands", "config", "run", "planning")
    } == set()


# -- names


def test_no_file_hides_a_library() -> None:
    # `accelerate launch accel_asr/train.py` puts accel_asr/ first on sys.path
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


def test_nothing_that_a_run_leaves_is_in_the_repository() -> None:
    if not (REPOSITORY / ".git").exists():
        pytest.skip("not a git checkout")
    tracked = subprocess.run(["git", "ls-files"], cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
    left = [name for name in tracked.split("\n") if name.endswith((".safetensors", ".wav")) or "runs/" in name]
    assert [name for name in left if not name.startswith("accel_asr/quickstart/")] == []


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
                keywords = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
                assert "trust_remote_code" not in keywords, f"{path}:{node.lineno}"
                assert keywords.get("weights_only") != "False", f"{path}:{node.lineno}"
                assert keywords.get("shell") != "True", f"{path}:{node.lineno}"


def test_a_scheduler_is_never_prepared() -> None:
    # Accelerate steps a prepared one num_processes times
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
        if path.name in ("printing.py", "bars.py"):
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
    files = sorted((PACKAGE / "config").glob("*settings.py"))
    nodes = [node for path in files for node in ast.parse(path.read_text(encoding="utf-8")).body]
    documented = {}
    in_use = {SourceConfig.__name__, *(section.__name__ for _, section in sections(Config))}
    for section in (node for node in nodes if isinstance(node, ast.ClassDef) and node.name in in_use):
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
        if not path.name.endswith("settings.py") and path.name != "command_line.py"
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


def test_the_page_of_settings_is_as_the_code_has_them() -> None:
    page = (REPOSITORY / "docs" / "settings.md").read_text(encoding="utf-8")
    assert page == settings_page(), "run: python -m accel_asr.config.settings_table docs/settings.md"
