"""Useful FLOPs of a training step by formula: its matrix products, without recomputation."""

from dataclasses import dataclass

from transformers import WhisperConfig

CONV_TAPS = 3
CONV_STRIDE = 2  # of the second one: two frames make a position


@dataclass(frozen=True)
class WhisperShape:
    """What the matrix products of a Whisper depend on."""

    mel_bins: int
    width: int
    feed_forward: int
    encoder_layers: int
    decoder_layers: int
    vocabulary: int

    @classmethod
    def of(cls, config: WhisperConfig) -> "WhisperShape":
        """That of a model; encoder and decoder must be equally wide inside."""
        assert config.encoder_ffn_dim == config.decoder_ffn_dim
        return cls(
            mel_bins=config.num_mel_bins,
            width=config.d_model,
            feed_forward=config.encoder_ffn_dim,
            encoder_layers=config.encoder_layers,
            decoder_layers=config.decoder_layers,
            vocabulary=config.vocab_size,
        )


def product_flops(rows: int, inner: int, columns: int) -> int:
    """Of (rows, inner) times (inner, columns): a multiplication and an addition for each."""
    return 2 * rows * inner * columns


def train_step_flops(shape: WhisperShape, *, clips: int, positions: int, tokens: int, targets: int) -> int:
    """FLOPs of forward and backward pass of a batch; all weights are trained.

    The backward pass takes two products for each of the forward pass: the gradients of either factor. The one of the
    log-mel is not needed. Attention's two products count as full squares, causal or not. What is not a matrix product
    (norms, softmax, the loss, the optimizer) is left out, and so is what is computed once more to save memory.

    Args:
        clips: Rows of the batch.
        positions: Of the encoder for each clip, 1,500 in a window of 30 s.
        tokens: That the decoder reads of each clip, padding included.
        targets: Positions of the whole batch that the vocabulary head is asked for.
    """
    width = shape.width
    first_conv = product_flops(CONV_STRIDE * positions, CONV_TAPS * shape.mel_bins, width)
    second_conv = product_flops(positions, CONV_TAPS * width, width)
    encoder_layer = _attention(width, positions, positions) + _feed_forward(shape, positions)
    decoder_layer = _attention(width, tokens, tokens) + _attention(width, tokens, positions)
    decoder_layer += _feed_forward(shape, tokens)
    of_a_clip = first_conv + second_conv
    of_a_clip += shape.encoder_layers * encoder_layer + shape.decoder_layers * decoder_layer
    forward = clips * of_a_clip + product_flops(targets, width, shape.vocabulary)
    return 3 * forward - clips * first_conv


def _attention(width: int, asking: int, heard: int) -> int:
    """Queries and output of those that ask, keys and values of what is heard, and the products QK and AV."""
    projections = 2 * product_flops(asking, width, width) + 2 * product_flops(heard, width, width)
    return projections + 2 * product_flops(asking, width, heard)


def _feed_forward(shape: WhisperShape, rows: int) -> int:
    return 2 * product_flops(rows, shape.width, shape.feed_forward)
