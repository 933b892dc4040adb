"""What agent frameworks keep their state in, on pgstate. Each is imported by itself, with its framework."""
