"""Which tests run by default, and what they share: a tiny random Whisper, clips of tones, and no network.

Heavy imports are inside the fixtures, so that a test which needs no model waits for none.
"""

import copy
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from accelerate import Accelerator
    from transformers import WhisperForConditionalGeneration, WhisperProcessor

    from accel_asr.data.labels import LabelEncoder
    from accel_asr.data.loading.clip_items import ClipItems
    from accel_asr.data.loading.collator import Collator
    from accel_asr.data.selection.utterances import Utterances

# Set before torch is imported. The models are tiny: a second thread costs more than it gains, and two processes of
# tests want a core each.
os.environ.setdefault("OMP_NUM_THREADS", "1")

WINDOW_S = 2
FIGURE = "figure"  # the name of a property of a test's report
MAX_NEW_TOKENS = 12  # an untrained model never stops by itself
INTEGRATION, UNIT = (Path(__file__).with_name(name) for name in ("integration", "unit"))
MODEL_FIXTURES = {"tiny_folder", "tiny_english_folder", "accelerator"}  # others with a model build on these
SLOW_NAMES = {"subprocess", "multiprocessing", "watched_page", "browser", "make_tiny_whisper", "console", "given"}
QUICK = "not slow and not integration and not realmodel"
SAMPLE_RATE_HZ = 16_000

ModelAndProcessor = tuple["WhisperForConditionalGeneration", "WhisperProcessor"]


def pytest_configure(config: pytest.Config) -> None:
    """Without `-m`: `pytest` alone runs the quick tests, `pytest PATH` everything there but the slow ones.

    Tests of a GPU are run where `-m` names them.
    """
    if not config.option.markexpr:
        is_path_given = config.args_source is config.ArgsSource.ARGS
        config.option.markexpr = "not slow" if is_path_given else QUICK
    if "gpu" not in config.option.markexpr:
        config.option.markexpr = f"({config.option.markexpr}) and not gpu"


@pytest.hookimpl(tryfirst=True)  # before `-m` selects
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests by where they are and what they use."""
    for item in items:
        if INTEGRATION in item.path.parents:
            item.add_marker("integration")
        elif UNIT in item.path.parents and is_fast(item):
            item.add_marker("fast")
    items.sort(key=lambda item: not item.get_closest_marker("slow"))  # the longest first: no core idles at the end


def is_fast(item: pytest.Item) -> bool:
    """Neither uses a model nor belongs to a module that starts processes, makes models or is marked otherwise."""
    fixtures, names = set(getattr(item, "fixturenames", ())), set(vars(getattr(item, "module", None)))
    is_marked = any(item.get_closest_marker(name) for name in ("integration", "realmodel", "slow"))
    return not (is_marked or fixtures & MODEL_FIXTURES or names & SLOW_NAMES)


@pytest.fixture(scope="session", autouse=True)
def no_network() -> Iterator[None]:
    """Allow only loopback: a test that would quietly depend on the network fails at once."""
    connect = socket.socket.connect

    def connect_to_loopback(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in ("127.0.0.1", "::1", "localhost"):
            raise OSError(f"a test tried to connect to {address}")
        connect(self, address)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", connect_to_loopback)
        yield


@pytest.fixture(scope="session", autouse=True)
def cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Keep indexes and downloads in a temporary folder, also those of processes that a test starts."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ACCEL_ASR_CACHE", str(folder))
        yield folder


@pytest.fixture(autouse=True)
def no_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start each test without the variables that a launcher sets."""
    for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "ACCELERATE_USE_CPU"):
        monkeypatch.delenv(name, raising=False)
    for name in ("ACCELERATE_MIXED_PRECISION", "ACCELERATE_GRADIENT_ACCUMULATION_STEPS"):
        monkeypatch.setenv(name, "")  # so that monkeypatch restores what `start_accelerator` removes
        monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Multilingual, two-second window."""
    from tests.tiny_models import make_tiny_whisper

    return make_tiny_whisper(tmp_path_factory.mktemp("tiny"), max_source_positions=50 * WINDOW_S)


@pytest.fixture(scope="session")
def tiny_english_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Like `whisper-tiny.en`: takes neither language nor task."""
    from tests.tiny_models import make_tiny_whisper

    folder = tmp_path_factory.mktemp("tiny-en")
    return make_tiny_whisper(folder, max_source_positions=50 * WINDOW_S, multilingual=False)


@pytest.fixture(scope="session")
def _loaded(tiny_folder: Path) -> ModelAndProcessor:
    import torch

    from accel_asr.model import pretrained as modeling

    torch.set_num_threads(1)
    modeling.quiet_libraries()
    model, processor = modeling.load_model_and_processor(str(tiny_folder))
    modeling.configure_generation(
        model, processor, language="en", task="transcribe", max_new_tokens=MAX_NEW_TOKENS, num_beams=1
    )
    return model, processor


@pytest.fixture
def model_and_processor(_loaded: ModelAndProcessor) -> ModelAndProcessor:
    """A copy of the tiny model, set to transcribe English in few tokens; a test may change it."""
    return copy.deepcopy(_loaded)


@pytest.fixture
def accelerator() -> Iterator["Accelerator"]:
    """One process on the CPU; Accelerate's process-wide state is reset before and after."""
    from accelerate import Accelerator

    forget_accelerate()
    yield Accelerator(cpu=True)
    forget_accelerate()


def forget_accelerate() -> None:
    """Let the next `Accelerator` start as the first of a process does."""
    from accelerate.state import AcceleratorState, GradientState, PartialState

    AcceleratorState._reset_state()
    PartialState._reset_state()
    GradientState._reset_state()


@pytest.fixture(scope="session")
def utterances(tmp_path_factory: pytest.TempPathFactory) -> "Utterances":
    """Seven tone clips, `clip-0` to `clip-6`, 0.5 to 1.2 s in no order, with labels of 11 to 19 tokens."""
    from accel_asr.data.reading.rows import Row
    from tests.tiny_datasets import tone_utterances, wav_bytes
    from tests.unit.data.local_sources import utterances_of

    rows = [
        Row(f"clip-{index}", wav_bytes(clip), " ".join(words)) for index, (words, clip) in enumerate(tone_utterances(7))
    ]
    return utterances_of(rows, tmp_path_factory.mktemp("clips"))


@pytest.fixture
def encoder(model_and_processor: ModelAndProcessor) -> "LabelEncoder":
    """Encodes labels for the tiny model, in English."""
    from accel_asr.data.labels import LabelEncoder

    return LabelEncoder(model_and_processor[1].tokenizer)


@pytest.fixture
def clip_items(
    utterances: "Utterances", model_and_processor: ModelAndProcessor, encoder: "LabelEncoder"
) -> "ClipItems":
    """The seven clips as training and evaluation read them, with untimed labels."""
    from accel_asr.data.loading.clip_items import ClipItems

    return ClipItems(utterances, feature_extractor=model_and_processor[1].feature_extractor, encoder=encoder)


@pytest.fixture
def clip_files(
    model_and_processor: ModelAndProcessor, encoder: "LabelEncoder", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> "ClipItems":
    """The seven clips as files `clip-0.wav` to `clip-6.wav` in `tmp_path`, indexed by their headers only."""
    from accel_asr.data.indexing import index_building
    from accel_asr.data.loading.clip_items import ClipItems
    from accel_asr.data.reading.rows import Row
    from tests.tiny_datasets import tone_utterances, wav_bytes
    from tests.unit.data.local_sources import utterances_of

    rows = []
    for index, (words, clip) in enumerate(tone_utterances(7)):
        path = tmp_path / f"clip-{index}.wav"
        path.write_bytes(wav_bytes(clip))
        rows.append(Row(path.name, path, " ".join(words)))
    monkeypatch.setattr(index_building, "DECODED_UP_FRONT_S", 0.0)
    utterances = utterances_of(rows, tmp_path)
    assert all(utterance.duration_s > 0 for utterance in utterances)  # not nan: all are readable
    return ClipItems(utterances, feature_extractor=model_and_processor[1].feature_extractor, encoder=encoder)


@pytest.fixture(scope="session")
def collator(_loaded: ModelAndProcessor) -> "Collator":
    """Collates batches for the tiny model."""
    from accel_asr.data.loading.collator import Collator

    model, processor = _loaded
    return Collator(
        feature_extractor=processor.feature_extractor,
        start_token_id=model.config.decoder_start_token_id,
        pad_token_id=model.config.pad_token_id,
    )


@pytest.fixture(scope="session")
def realdata() -> Path:
    """The folder of real recordings, see `tests.real_material`."""
    from tests.real_material import realdata_folder

    return realdata_folder()


@pytest.fixture(scope="session")
def whisper_tiny_en() -> Path:
    """OpenAI's whisper-tiny.en with its real weights; only for tests marked `realmodel`."""
    from tests.real_material import realmodel_folder

    return realmodel_folder("whisper-tiny.en")


@pytest.fixture(scope="session")
def whisper_base() -> Path:
    """OpenAI's multilingual whisper-base with its real weights; only for tests marked `realmodel`."""
    from tests.real_material import realmodel_folder

    return realmodel_folder("whisper-base")


@pytest.fixture
def print_figure(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Print a measured figure at the end of the session, also from a pytest-xdist worker."""
    return lambda line: record_property(FIGURE, line)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = [report for outcome in ("passed", "failed") for report in terminalreporter.getreports(outcome)]
    lines = [value for report in reports for name, value in report.user_properties if name == FIGURE]
    if lines:
        terminalreporter.section("measured on real weights")
        for line in lines:
            terminalreporter.write_line(str(line))
