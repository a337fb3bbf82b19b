"""What the click commands print that a package names in the group `mmmodal.commands`."""

from mmmodal.cli.output import print_json, print_table, talking

__all__ = ["print_json", "print_table", "talking"]
