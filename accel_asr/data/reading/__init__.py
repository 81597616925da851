"""From a source's name to rows: folders, manifests, datasets, tar shards; nothing is decoded."""
