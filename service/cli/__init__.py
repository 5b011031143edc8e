"""The program `afterimage`: one file for each command."""

from service.cli.application import main

__all__ = ["main"]
