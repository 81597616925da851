"""The order of an epoch: windows of the global batch, packing."""
