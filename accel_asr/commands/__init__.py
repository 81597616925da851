"""The console subcommands, one module each."""
