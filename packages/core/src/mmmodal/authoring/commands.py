"""Output of click commands, which a package adds through entry points of `mmmodal.commands`."""

from mmmodal.cli.output import example, print_json, print_table, talking
from mmmodal.cli.parent import ParentCommand

__all__ = ["ParentCommand", "example", "print_json", "print_table", "talking"]
