"""What a state's type says: its fields, how each is merged, and its values as JSON."""
