"""The command line: every command calls one function and computes nothing."""

from sos_plugins.cli.main import main

__all__ = ["main"]
