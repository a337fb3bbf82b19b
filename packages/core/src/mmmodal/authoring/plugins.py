"""Hooks: core's, and those of kinds of parts that a package brings."""

from mmmodal.hookspecs import hookimpl, hookspec
from mmmodal.plugins import Family, Registry, registry

__all__ = ["Family", "Registry", "hookimpl", "hookspec", "registry"]
