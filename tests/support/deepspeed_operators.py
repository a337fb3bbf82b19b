"""What DeepSpeed compiles when it is first used; `make test` does it before any test's time counts."""

from __future__ import annotations

__all__ = ["compile_operators"]

BUILDERS = ("CPUAdamBuilder", "ShareMemCommBuilder")
"""The optimizer of ZeRO with offload, and what ranks on CPUs talk through."""


def compile_operators() -> None:
    """Compile what has not been compiled yet; took four minutes of one core."""
    from deepspeed.accelerator import get_accelerator

    for name in BUILDERS:
        if builder := get_accelerator().create_op_builder(name):
            builder.load(verbose=False)


if __name__ == "__main__":
    compile_operators()
