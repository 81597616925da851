"""From an encoded recording to samples, or to the reason why it has none."""
