"""The rows of a source on disk, with what their recordings are like."""
