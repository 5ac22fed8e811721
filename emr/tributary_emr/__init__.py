"""The lake's batch readers: the report (`report`) and the check of every stored object (`validate`)."""
