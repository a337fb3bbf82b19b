"""Files that are written whole or not at all, and YAML files that a package contains."""

from mmmodal.byte_sizes import readable
from mmmodal.files import (
    SUFFIXES,
    about,
    cache_folder,
    copy_to_own,
    remove_unfinished,
    replacing,
    sync,
    write_whole,
)

__all__ = [
    "SUFFIXES",
    "about",
    "cache_folder",
    "copy_to_own",
    "readable",
    "remove_unfinished",
    "replacing",
    "sync",
    "write_whole",
]
