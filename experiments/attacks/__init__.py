"""What a bad client does, for experiments and tests; nothing of it is part of the package."""
