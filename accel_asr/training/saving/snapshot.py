"""Model and optimizer as they were at one step, for a thread that writes while training goes on."""

import copy
import mmap
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn
from transformers import WhisperForConditionalGeneration, WhisperProcessor

from accel_asr.model import pretrained as modeling
from accel_asr.model.adapter_layers import has_adapters, without_weights
from accel_asr.model.frozen_weights import originals
from accel_asr.training.launch.sharding import whole_tensors
from accel_asr.training.saving.written_behind import WrittenBehind


class Snapshot:
    """Copies in CPU memory of the main process; nothing in them is shared with what trains.

    They take the memory of the weights and the optimizer's state once more, 12 bytes a parameter trained by AdamW (4 of
    one that is not), from the start to the end: asking the system for new memory takes several times as long as
    copying. Of a state that is not in `moments` it is asked for at the first copy. Of a model with adapters only these
    are copied; what they were added to is copied once, and on a CPU never. Of frozen weights in bf16, `originals` are
    written.

    What is to be written is copied while training waits, so `written` must be what writes it: nothing is copied over
    before the writes of earlier steps have ended. From a GPU it is copied into pinned memory, at once for all tensors.
    """

    def __init__(
        self,
        model: WhisperForConditionalGeneration,
        processor: WhisperProcessor,
        *,
        is_main_process: bool,
        written: WrittenBehind,
        moments: Sequence[str] = (),
    ) -> None:
        """Get the memory. A collective if `model` is sharded."""
        self.step = -1
        self.optimizer: dict[str, torch.Tensor] = {}
        self.average: dict[str, torch.Tensor] = {}
        self._is_main_process = is_main_process
        self._written = written
        exact = originals(model)
        copied = {name: tensor for name, tensor in saved_tensors(model).items() if name not in exact}
        constant = {name: exact.get(name, t) for name, t in distinct_tensors(model).items() if name not in copied}
        weights = {name: tensor.cpu() for name, tensor in whole_tensors(constant) if is_main_process}
        if not is_main_process:
            return
        self._copied = list(copied)
        self._model = without_weights(model)
        weights |= {name: memory_like(tensor) for name, tensor in copied.items()}
        self._model.load_state_dict(weights, strict=False, assign=True)  # without second names of the same tensor
        self._model.tie_weights()
        # a tokenizer that is used while another thread writes it fails: "Already borrowed"
        self._processor = copy.deepcopy(processor)
        self._memory = {
            f"{name}/{moment}": memory_like(parameter)
            for name, parameter in model.named_parameters()
            if parameter.requires_grad
            for moment in moments
        }
        written.start(self._touch)

    @property
    def model_tensors(self) -> dict[str, torch.Tensor]:
        """The weights, by name; of a model with adapters only what is trained."""
        return saved_tensors(self._model)

    @property
    def _copied_tensors(self) -> dict[str, torch.Tensor]:
        return {name: tensor for name, tensor in self.model_tensors.items() if name in self._copied}

    @property
    def has_adapters(self) -> bool:
        """Whether there is an adapter folder to save."""
        return self._is_main_process and has_adapters(self._model)

    def take_weights(self, model: nn.Module, *, step: int) -> None:
        """Copy the weights, unless those of `step` are here. A collective if `model` is sharded; any model else."""
        wanted = self._is_main_process and step != self.step
        if wanted:
            self._written.wait_for_those_before(step)
        own = self._copied_tensors if wanted else {}
        with copies_awaited() as copy_:
            for name, tensor in whole_tensors(saved_tensors(model)):
                if name in own:
                    copy_(own[name], tensor)
        self.step = step

    def take_optimizer(self, tensors: Mapping[str, torch.Tensor], *, step: int) -> None:
        """Copy its state, named `parameter/state`; after the weights of that step. A collective if it is sharded."""
        self.optimizer = self._copies(tensors, step=step)

    def take_average(self, tensors: Mapping[str, torch.Tensor], *, step: int) -> None:
        """Copy the moving average, another 4 bytes a trained parameter; like `take_optimizer`."""
        self.average = self._copies(tensors, step=step)

    def _copies(self, tensors: Mapping[str, torch.Tensor], *, step: int) -> dict[str, torch.Tensor]:
        assert self.step == step, "the wait for earlier writes is that of the weights"
        copies = {}
        with copies_awaited() as copy_:
            for name, tensor in whole_tensors(tensors):
                if self._is_main_process:
                    memory = self._memory.get(name)
                    if memory is None:
                        memory = self._memory[name] = memory_like(tensor)
                    copy_(memory, tensor)
                    copies[name] = memory
        return copies

    def save_model_folder(self, folder: Path) -> None:
        """Write the weights as a Hugging Face model folder. For the thread: main process, no collective."""
        modeling.save_model_folder(self._model, self._processor, folder)

    def save_adapter_folder(self, folder: Path) -> None:
        """Write the adapters as a peft folder. For the thread: main process, no collective."""
        modeling.save_adapter_folder(self._model, self._processor, folder)

    def _touch(self) -> None:
        """Have the system give the memory now, while the run is still getting ready, and not at the first copy."""
        for tensor in (*self._copied_tensors.values(), *self._memory.values()):
            # by NumPy: torch would start threads of its own for it, beside those that train
            tensor.view(torch.uint8).numpy().fill(0)


def memory_like(tensor: torch.Tensor) -> torch.Tensor:
    """Memory on the CPU for such a tensor, not filled, and not handed on to forked processes.

    What data workers inherit has to be copied page by page before it can be written again: with workers
    running, a snapshot took ten times as long. For a tensor on CUDA it is pinned.
    """
    if is_on_cuda(tensor):
        return torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
    if sys.platform != "linux":
        return torch.empty(tensor.shape, dtype=tensor.dtype)
    pages = mmap.mmap(-1, tensor.nbytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    pages.madvise(mmap.MADV_DONTFORK)
    return torch.frombuffer(pages, dtype=tensor.dtype).view(tensor.shape)


@contextmanager
def copies_awaited() -> Iterator[Callable[[torch.Tensor, torch.Tensor], None]]:
    """Gives a function that copies (memory on the CPU, tensor). All copies are there when the context ends.

    Those from CUDA are queued, and the host waits for them once.
    """
    streams = set()

    def copy_(memory: torch.Tensor, tensor: torch.Tensor) -> None:
        memory.copy_(tensor, non_blocking=is_on_cuda(tensor))
        if is_on_cuda(tensor):
            streams.add(torch.cuda.current_stream(tensor.device))

    yield copy_
    for stream in streams:
        stream.synchronize()


def is_on_cuda(tensor: torch.Tensor) -> bool:
    """Whether a copy of it into pinned memory need not be waited for. Other accelerators are not trusted with that."""
    return tensor.is_cuda


def saved_tensors(model: nn.Module) -> dict[str, torch.Tensor]:
    """What a checkpoint holds of a model: its distinct tensors, or what is trained of a model with adapters."""
    tensors = distinct_tensors(model)
    if not has_adapters(model):
        return tensors
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    return {name: tensor for name, tensor in tensors.items() if name in trained}


def distinct_tensors(model: nn.Module) -> dict[str, torch.Tensor]:
    """The state without second names of the same tensor: whisper's `proj_out.weight` is its embedding."""
    distinct, seen = {}, set()
    for name, tensor in model.state_dict(keep_vars=True).items():
        if id(tensor) not in seen:
            seen.add(id(tensor))
            distinct[name] = tensor.detach()
    return distinct
