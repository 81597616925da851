"""Files and folders: atomic writes, the run folder, the cache folder, content hashes."""
