"""How a run was launched: environment, topology, sharding."""
