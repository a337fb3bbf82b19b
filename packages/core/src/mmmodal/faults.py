"""Parts at fault: the error that names the part, its package, the method, and what came instead."""

from __future__ import annotations

from importlib.metadata import entry_points, packages_distributions, version
from typing import Any

from mmmodal.errors import ContractError, MMModalError, is_debugging, one_line

__all__ = ["cause", "described", "named", "provider", "raised", "violation"]

TODO = "its author must correct that; the suites in mmmodal.testing find it"


def violation(part: object, method: str, came: str, contract: str) -> ContractError:
    """Return the error of a part that returned something else than its contract says.

    Args:
        part: the part, or its class.
        method: the method, or `tower` or `module` for a network.
        came: what it did, as in "returned None".
        contract: what the contract says of it.
    """
    return ContractError(f"{named(part)}: `{method}` {came}, but must {contract}; {TODO}")


def raised(part: object, method: str, error: Exception) -> Exception:
    """Return the error of a part whose method raised one that is not meant for users.

    Errors for users, and those of full memory, which no part is to blame for, are returned as they
    are.
    """
    if isinstance(error, MMModalError | MemoryError) or "OutOfMemory" in type(error).__name__:
        return error
    said = one_line(error, 300)
    words = f"{type(error).__name__}: {said}" if said else type(error).__name__
    more = "MMMODAL_DEBUG=1 shows where"
    return ContractError(f"{named(part)}: `{method}` raised {words}; {TODO} ({more})")


def cause(error: Exception) -> Exception | None:
    """Return the cause to chain an error to: itself if the user wants tracebacks, else None."""
    return error if is_debugging() else None


def named(part: object) -> str:
    """Return a part as errors name it: `encoder 'depth' (mmmodal-depth 0.1)`."""
    kind = part if isinstance(part, type) else type(part)
    words = [
        base.__name__.lower()
        for base in kind.__mro__
        if base.__module__.startswith("mmmodal.contracts.")
    ]
    name = getattr(part, "name", None) or kind.__name__
    return f"{words[0] if words else 'part'} {name!r} ({provider(part)})"


def provider(part: object) -> str:
    """Return the package that a part or its class comes from, with its version if it has one."""
    kind = part if isinstance(part, type) else type(part)
    top = kind.__module__.partition(".")[0]
    for entry in entry_points(group="mmmodal"):
        if entry.module.partition(".")[0] == top and entry.dist is not None:
            return f"{entry.dist.name} {entry.dist.version}"
    for name in packages_distributions().get(top, ()):
        return f"{name} {version(name)}"
    return top


def described(value: Any) -> str:
    """Return a value that a part returned as errors show it: its type, its shape, or itself."""
    shape, dtype = getattr(value, "shape", None), getattr(value, "dtype", None)
    kind = type(value).__name__
    if shape is not None and dtype is not None:
        return f"a {kind} {list(shape)} of {dtype}"
    if value is None or isinstance(value, int | float | str) or type(value) is tuple:
        return one_line(repr(value), 60)
    return f"a {kind}"
