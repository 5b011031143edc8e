"""Long work: durable, in parts, resumed after a crash, shared by workers and machines."""
