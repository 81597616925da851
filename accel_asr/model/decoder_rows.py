"""Whisper's decoder, one token a step, for rows that are at different places, each in a window of its own.

transformers' decoder takes rows of one length, and keeps their keys and values by copying them in every step. Here each
row has room for all that it may write, begins when the one before it has ended, and leaves when it has. The operations
are those of `WhisperDecoder.forward`, in the same order.
"""

from collections.abc import Callable, Sequence

import torch
from torch import nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import WhisperForConditionalGeneration

# A CPU reads all weights for each token: a product of four rows costs little more than one of a single row. Rows that
# are not there are computed too: so what a row gives does not depend on the others.
ROWS_ON_CPU = 4
Attention = Callable[[int, torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]


def most_rows(device: torch.device, wanted: int) -> int:
    """How many rows of those wanted are best decoded at once."""
    return min(wanted, ROWS_ON_CPU) if is_cpu(device) else wanted


def is_cpu(device: torch.device) -> bool:
    """Whether it is slower with more rows."""
    return device.type == "cpu"


class DecoderRows:
    """The rows that are being decoded: `fill` begins one, `step` gives each its next token, `remove` ends one.

    Call under `torch.no_grad()`, with a model in evaluation mode.

    Args:
        most: Rows at once, at most `most_rows`.
    """

    def __init__(self, model: WhisperForConditionalGeneration, most: int) -> None:
        config, self._device = model.config, model.device
        self._decoder = model.get_decoder()
        self._project = _ByColumns(model.proj_out) if is_cpu(model.device) else model.proj_out
        self._heads = int(config.decoder_attention_heads)
        self._most = most
        self._room = int(config.max_target_positions)
        self._lengths: list[int] = []  # of each row, in tokens
        # of each layer, (rows, heads, positions, head width)
        self._written: list[tuple[torch.Tensor, torch.Tensor]] = []
        self._heard: list[tuple[torch.Tensor, torch.Tensor]] = []

    def fill(self, row: int, encoded: torch.Tensor, ids: Sequence[int], *, at: Sequence[int]) -> torch.Tensor:
        """Begin a window in a row: an old one, or the next.

        Args:
            encoded: The encoder's states of the window, (1, positions, width).
            ids: What the decoder is given.
            at: Places in it.

        Returns:
            float32 logits of what follows there, (places, vocabulary).
        """
        if row == len(self._lengths):
            self._lengths.append(0)
        self._lengths[row] = len(ids)
        if not self._written:
            self._make_room(encoded)
        for layer, (keys, values) in zip(self._decoder.layers, self._heard, strict=True):
            keys[row] = self._of_heads(layer.encoder_attn.k_proj(encoded[0])).transpose(0, 1)
            values[row] = self._of_heads(layer.encoder_attn.v_proj(encoded[0])).transpose(0, 1)

        def look_back(layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
            query, key, value = (part.transpose(0, 1)[None] for part in (query, key, value))
            for kept, new in zip(self._written[layer], (key, value), strict=True):
                kept[row, :, : len(ids)] = new[0]
            return scaled_dot_product_attention(query, key, value, is_causal=len(ids) > 1, scale=1.0)[0].transpose(0, 1)

        def listen(layer: int, query: torch.Tensor) -> torch.Tensor:
            keys, values = (part[row : row + 1] for part in self._heard[layer])
            return scaled_dot_product_attention(query.transpose(0, 1)[None], keys, values, scale=1.0)[0].transpose(0, 1)

        places = torch.arange(len(ids), device=self._device)
        hidden = self._through_layers(torch.tensor(ids, device=self._device), places, look_back, listen, _all_rows)
        return self._project(hidden[list(at)]).float()

    def step(self, ids: Sequence[int]) -> torch.Tensor:
        """Give each row its next token; float32 logits of what follows, (rows, vocabulary)."""
        count = len(ids)
        on_cpu = is_cpu(self._device)
        spare = ROWS_ON_CPU - count if on_cpu else 0
        lengths = torch.tensor([*self._lengths, *[0] * spare], device=self._device)
        places, longest = lengths[:count], max(self._lengths) + 1
        rows = torch.arange(count, device=self._device)
        # (rows, 1, 1, keys)
        reach = None if on_cpu else (torch.arange(longest, device=self._device) <= places[:, None])[:, None, None]

        def look_back(layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
            keys, values = self._written[layer]
            keys[rows, :, places], values[rows, :, places] = key[:count], value[:count]
            query = query[:, :, None]
            if not on_cpu:
                keys, values = keys[:count, :, :longest], values[:count, :, :longest]
                return scaled_dot_product_attention(query, keys, values, attn_mask=reach, scale=1.0)[:, :, 0]
            attended = torch.zeros_like(query)
            for row, length in enumerate(self._lengths):  # one by one: sums of other lengths are rounded otherwise
                own = slice(row, row + 1)
                attended[own] = scaled_dot_product_attention(
                    query[own], keys[own, :, : length + 1], values[own, :, : length + 1], scale=1.0
                )
            return attended[:, :, 0]

        def listen(layer: int, query: torch.Tensor) -> torch.Tensor:
            keys, values = (part[:count] for part in self._heard[layer])
            attended = scaled_dot_product_attention(query[:count, :, None], keys, values, scale=1.0)[:, :, 0]
            return torch.cat([attended, attended.new_zeros(spare, *attended.shape[1:])]) if spare else attended

        given = torch.tensor([*ids, *[0] * spare], device=self._device)
        product = _few_rows if on_cpu else _all_rows
        hidden = self._through_layers(given, lengths, look_back, listen, product)
        self._lengths = [length + 1 for length in self._lengths]
        return self._project(hidden[:count]).float()

    def rewind(self, row: int, length: int) -> None:
        """Forget what a row was given after its first `length` tokens."""
        self._lengths[row] = length

    def remove(self, row: int) -> None:
        """End a row; the last one takes its place."""
        last = len(self._lengths) - 1
        length = self._lengths.pop()
        if row != last:
            self._lengths[row] = length
            for of_layer in (*self._written, *self._heard):
                for part in of_layer:
                    part[row] = part[last]

    def _through_layers(
        self,
        ids: torch.Tensor,
        places: torch.Tensor,
        look_back: Attention,
        listen: Callable[[int, torch.Tensor], torch.Tensor],
        product: Callable[[nn.Module, torch.Tensor], torch.Tensor],
    ) -> torch.Tensor:
        """The last hidden states, (tokens, width), by attention functions over (tokens, heads, head width)."""
        decoder = self._decoder
        hidden = decoder.embed_tokens(ids) + decoder.embed_positions(ids, position_ids=places)
        for number, layer in enumerate(decoder.layers):
            own, heard = layer.self_attn, layer.encoder_attn
            normed = layer.self_attn_layer_norm(hidden)
            query, key, value = (product(part, normed) for part in (own.q_proj, own.k_proj, own.v_proj))
            attended = look_back(number, *(self._of_heads(part) for part in (query * own.scaling, key, value)))
            hidden = hidden + product(own.out_proj, attended.flatten(1))
            query = product(heard.q_proj, layer.encoder_attn_layer_norm(hidden)) * heard.scaling
            hidden = hidden + product(heard.out_proj, listen(number, self._of_heads(query)).flatten(1))
            inner = layer.activation_fn(product(layer.fc1, layer.final_layer_norm(hidden)))
            hidden = hidden + product(layer.fc2, inner)
        return decoder.layer_norm(hidden)

    def _of_heads(self, states: torch.Tensor) -> torch.Tensor:
        return states.unflatten(-1, (self._heads, -1))

    def _make_room(self, encoded: torch.Tensor) -> None:
        project = self._decoder.layers[0].encoder_attn.k_proj
        states = self._of_heads(project(encoded[0, :1]))  # autocast decides the precision
        _, heads, width = states.shape

        def room(positions: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
            shape = (self._most, heads, positions, width)
            return [(states.new_zeros(shape), states.new_zeros(shape)) for _ in self._decoder.layers]

        self._written, self._heard = room(self._room), room(encoded.shape[1])


def _all_rows(linear: nn.Module, rows: torch.Tensor) -> torch.Tensor:
    """`linear(rows)`, (rows, outputs)."""
    outputs: torch.Tensor = linear(rows)
    return outputs


def _few_rows(linear: nn.Module, rows: torch.Tensor) -> torch.Tensor:
    """`linear(rows)` with the weights as the left factor, which is faster for four rows (MKL)."""
    if type(linear) is not nn.Linear:  # such as an adapter's
        return _all_rows(linear, rows)
    outputs = (linear.weight @ rows.contiguous().t()).t().contiguous()
    return outputs if linear.bias is None else outputs + linear.bias.to(outputs.dtype)  # of autocast's half precision


class _ByColumns:
    """A projection on a CPU, row by row: with weights in columns a row of 51,864 tokens takes 4 ms, not 8 (AVX2)."""

    def __init__(self, linear: nn.Linear) -> None:
        self._columns, self._bias = linear.weight.detach().t().contiguous(), linear.bias

    def __call__(self, rows: torch.Tensor) -> torch.Tensor:
        outputs = torch.cat([row @ self._columns for row in rows.split(1)])
        return outputs if self._bias is None else outputs + self._bias
