"""The methods of `State`, by area."""
