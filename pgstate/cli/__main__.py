"""`python -m pgstate.cli`, for when the script `pgstate` is not on the path."""

from pgstate.cli import app

app(prog_name="pgstate")
