"""Should this model be fine-tuned, and how: what `accel-asr plan` measures, and the rules of its answer."""
