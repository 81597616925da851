"""How samples are kept. Apart from what decodes them: features are made where no decoder is installed, too."""

INT16_SCALE = 32_768  # one more than the largest int16: soundfile's own convention for float <-> int16
