"""Compile DeepSpeed's operators; `make test` does this before the time limits of tests apply."""

from __future__ import annotations

__all__ = ["compile_operators"]

BUILDERS = ("CPUAdamBuilder", "ShareMemCommBuilder")
"""The optimizer of ZeRO with offload, and the communication of ranks on CPUs."""


def compile_operators() -> None:
    """Compile the operators that are not compiled yet, which takes four minutes on one core."""
    from deepspeed.accelerator import get_accelerator

    for name in BUILDERS:
        if builder := get_accelerator().create_op_builder(name):
            builder.load(verbose=False)


if __name__ == "__main__":
    compile_operators()
