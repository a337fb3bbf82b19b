"""Hooks of core, and hooks for kinds of parts that a package defines."""

from mmmodal.contracts.family import Family
from mmmodal.hookspecs import hookimpl, hookspec
from mmmodal.plugins import Registry, registry

__all__ = ["Family", "Registry", "hookimpl", "hookspec", "registry"]
