"""What click commands share, which a package adds through entry points of `mmmodal.commands`."""

from mmmodal.cli.generate import loading_options, talking_options
from mmmodal.cli.options import (
    data_argument,
    format_options,
    limit_option,
    read_limits,
)
from mmmodal.cli.output import example, print_json, print_table, talking
from mmmodal.cli.parent import ParentCommand
from mmmodal.cli.scanning import counted, with_progress

__all__ = [
    "ParentCommand",
    "counted",
    "data_argument",
    "example",
    "format_options",
    "limit_option",
    "loading_options",
    "print_json",
    "print_table",
    "read_limits",
    "talking",
    "talking_options",
    "with_progress",
]
