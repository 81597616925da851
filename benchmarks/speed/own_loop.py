"""This trainer's own parts, assembled as in accel_asr/train.py."""

import json
import tempfile
import wave
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import torch
from transformers import WhisperForConditionalGeneration

from accel_asr.data.loading.collator import Batch, Collator
from accel_asr.data.loading.items import Item
from accel_asr.model import pretrained as modeling
from accel_asr.model.parts import freeze
from accel_asr.model.silence_merging import SilenceMerging
from accel_asr.training.launch.topology import start_accelerator
from accel_asr.training.optimizers import ADAMW, WHOLE_STATES, build_optimizer
from accel_asr.training.schedule import set_learning_rate
from accel_asr.training.started_step import StartedStep, StepResult
from accel_asr.training.step import start_step, train_step
from benchmarks.speed.hand_written import LEARNING_RATE
from benchmarks.speed.material import RATE_HZ, Material


class Own:
    """Model and optimizer as the loop has them, and what it does with them."""

    def __init__(self, material: Material, *, mixed_precision: str, frozen_encoder: bool = False) -> None:
        self.material = material
        self.accelerator = start_accelerator(mixed_precision=mixed_precision, gradient_accumulation_steps=1, seed=0)
        self.unwrapped = material.model(attention="sdpa")
        modeling.configure_generation(
            self.unwrapped,
            material.processor,
            language="en",
            task="transcribe",
            max_new_tokens=material.size.max_new_tokens,
            num_beams=1,
        )
        if frozen_encoder:
            freeze(self.unwrapped, ["encoder"])
        self.unwrapped.train()
        optimizer = build_optimizer(self.unwrapped, learning_rate=LEARNING_RATE, weight_decay=0.0)
        self.model, self.optimizer = self.accelerator.prepare(self.unwrapped, optimizer)
        self._unread: StartedStep | None = None

    def silence_merging(self) -> SilenceMerging:
        """How padding is merged by `training.audio_context: merged`."""
        return SilenceMerging.of_model(self.unwrapped, window_s=modeling.window_s(self.material.processor))

    def train_step(self, window: Sequence[Batch]) -> StepResult:
        """One update."""
        set_learning_rate(self.optimizer, LEARNING_RATE)
        return train_step(self.model, self.optimizer, window, accelerator=self.accelerator, max_grad_norm=1.0)

    def next_step(self, window: Sequence[Batch]) -> None:
        """One update as the loop makes it on a GPU: only the result of the one before is waited for."""
        set_learning_rate(self.optimizer, LEARNING_RATE)
        before, self._unread = (
            self._unread,
            start_step(
                self.model, self.optimizer, window, accelerator=self.accelerator, max_grad_norm=1.0, before=self._unread
            ),
        )
        if before is not None:
            before.result()

    def evaluate(
        self,
        items: object,
        *,
        batch_size: int,
        is_compiled: bool = False,
        collator: Collator | None = None,
    ) -> tuple[float, list[str]]:
        """Loss of a token, and the transcripts."""
        from accel_asr.evaluation.decoding_settings import Decoding
        from accel_asr.evaluation.generation import transcribe_utterances

        evaluation = transcribe_utterances(
            self.unwrapped,
            items,  # type: ignore[arg-type]
            Decoding.of_model(
                self.unwrapped,
                normalizer=str.strip,
                batch_size=batch_size,
                is_compiled=is_compiled,
            ),
            accelerator=self.accelerator,
            collator=collator or self.material.collator,
        )
        return evaluation.loss, [transcript.hypothesis for transcript in evaluation.transcripts]

    def epoch(
        self,
        train: object,
        validation: object,
        *,
        batch_size: int,
        num_workers: int,
        collator: Collator | None = None,
    ) -> tuple[float, list[str]]:
        """One pass over the training rows, then an evaluation."""
        for window in self.windows(train, batch_size=batch_size, num_workers=num_workers, collator=collator):
            self.next_step(window)
        return self.evaluate(validation, batch_size=batch_size, collator=collator)

    def windows(
        self,
        items: object,
        *,
        batch_size: int,
        num_workers: int,
        pack: bool = False,
        collator: Collator | None = None,
    ) -> Iterator[list[Batch]]:
        """The batches of one epoch."""
        from accel_asr.data.loading.batches import TrainingWindows
        from accel_asr.data.order.epoch_order import WindowPlan
        from accel_asr.data.order.packing import Packing, PackPlan

        utterances = items.utterances  # type: ignore[attr-defined]
        plan = WindowPlan(len(utterances), batch_size, 1, 1, seed=0, drop_last=True)
        if pack:
            packing = Packing.of_utterances(
                utterances,
                encoder=self.material.encoder,
                sampling_rate_hz=RATE_HZ,
                window_s=modeling.window_s(self.material.processor),
            )
            plan = PackPlan(len(utterances), batch_size, 1, 1, seed=0, drop_last=True, packing=packing)
        windows = TrainingWindows(
            items,  # type: ignore[arg-type]
            plan,
            collator=collator or self.material.collator,
            rank=0,
            first_step=1,
            last_step=plan.steps_per_epoch,
            num_workers=num_workers,
        )
        with closing(windows):
            yield from windows


def write_recordings(material: Material, rows: int) -> Path:
    """WAV files of the first rows in a new folder, and a manifest of them, whose path is returned."""
    folder = Path(tempfile.mkdtemp(dir=material.folder, prefix="recordings-"))
    lines = []
    for row in range(rows):
        with wave.open(str(folder / f"{row}.wav"), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(RATE_HZ)
            file.writeframes(material.samples(row).tobytes())
        lines.append(json.dumps({"audio": f"{row}.wav", "text": material.text(row)}))
    manifest = folder / "manifest.jsonl"
    manifest.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return manifest


def indexed_items(material: Material, rows: int, *, validation_rows: int) -> tuple[object, object]:
    """Training and validation items, read from WAV files by a manifest, as in any run on own recordings."""
    from accel_asr.config.settings import DataConfig
    from accel_asr.data.loading.clip_items import ClipItems
    from accel_asr.data.splits import load_train_and_validation

    manifest = write_recordings(material, rows + validation_rows)
    data = load_train_and_validation(
        DataConfig(name_or_path=str(manifest), train_rows=rows, cache_dir=str(manifest.parent / "cache")),
        encoder=material.encoder,
        sampling_rate_hz=RATE_HZ,
        window_s=modeling.window_s(material.processor),
        seed=0,
    )
    assert (len(data.train), len(data.validation)) == (rows, validation_rows)
    parts = [
        ClipItems(part, feature_extractor=material.extractor, encoder=material.encoder)
        for part in (data.train, data.validation)
    ]
    return parts[0], parts[1]


def prepared_items(material: Material, items: Sequence[Item]) -> object:
    """Validation items whose features are in memory."""
    from accel_asr.data.loading.clip_items import ClipItems
    from accel_asr.data.selection.utterances import Utterance

    class PreparedItems(ClipItems):
        """Items with their features already computed."""

        def __getitem__(self, key: tuple[int, int]) -> Item:
            return items[key[1]]

    utterances = [
        Utterance(item.utterance_id, material.text(row), item.duration_s, recording=None)  # type: ignore[arg-type]
        for row, item in enumerate(items)
    ]
    return PreparedItems(utterances, feature_extractor=material.extractor, encoder=material.encoder)


class Checkpoints:
    """Saves checkpoints as the loop does, into a folder."""

    def __init__(self, own: Own, folder: Path) -> None:
        from accel_asr.training.saving.snapshot import Snapshot
        from accel_asr.training.saving.written_behind import WrittenBehind

        self.own, self.folder, self.step = own, folder, 0
        self.written = WrittenBehind(own.accelerator, folder)
        self.snapshot = Snapshot(
            own.unwrapped,
            own.material.processor,
            is_main_process=True,
            written=self.written,
            moments=WHOLE_STATES[ADAMW],
        )

    def save(self) -> None:
        """Save a checkpoint; returns when training may continue."""
        from accel_asr.training.saving.checkpoint_state import Geometry, Progress
        from accel_asr.training.saving.checkpoints import save_checkpoint
        from accel_asr.training.saving.recorded_settings import RecordedSettings

        self.step += 1
        save_checkpoint(
            self.folder,
            accelerator=self.own.accelerator,
            model=self.own.model,
            optimizer=self.own.optimizer,
            progress=Progress(step=self.step),
            geometry=Geometry(1, 1, 0, 1, 1, 1, 1, 1),
            settings=RecordedSettings({}, "", 0, 0, 0),
            save_total_limit=1,
            snapshot=self.snapshot,
            written=self.written,
        )

    def wait(self) -> None:
        """Wait until all is on disk."""
        self.written.wait_for_those_before(self.step + 1)
        assert not self.written.has_failed

    def save_and_wait(self) -> None:
        """Save a checkpoint and wait until it is on disk."""
        self.save()
        self.wait()


def loss_of_hidden_states(own: Own, batch: Batch, hidden: torch.Tensor) -> torch.Tensor:
    """The summed loss of a batch whose decoder has already said `hidden`, (batch, tokens, width)."""
    from accel_asr.training.step import _summed_loss

    with decoder_says(own.unwrapped, hidden):
        return _summed_loss(own.model, batch, label_smoothing=0.0)


class decoder_says:  # noqa: N801  # used as a context manager is: by a name that reads as a sentence
    """Within it, encoder and decoder of a model do nothing, and `hidden` is what came out of them."""

    def __init__(self, model: WhisperForConditionalGeneration, hidden: torch.Tensor) -> None:
        self.body, self.hidden = model.model, hidden

    def __enter__(self) -> None:
        from transformers.modeling_outputs import Seq2SeqModelOutput

        self.body.forward = lambda *_, **__: Seq2SeqModelOutput(last_hidden_state=self.hidden)

    def __exit__(self, *_: object) -> None:
        del self.body.forward
