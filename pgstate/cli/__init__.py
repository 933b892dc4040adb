"""The command line, `pgstate`."""

from pgstate.cli._app import app

__all__ = ["app"]
