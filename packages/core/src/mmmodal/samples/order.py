"""The order of samples: a pure function of a seed and an epoch.

It uses whole numbers only, so it is the same on every machine and with every version of the
installed packages, and does not depend on the number of processes that read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["epoch_order", "salted", "scattered"]

STEP = 0x9E3779B97F4A7C15
FACTORS = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB))


def epoch_order(number: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """Return the numbers from 0 to `number` - 1 in the order of one epoch."""
    import numpy as np

    keys = scattered(np.arange(number, dtype=np.uint64), seed, epoch)
    order: NDArray[np.int64] = np.argsort(keys, kind="stable")
    return order


def salted(seed: int, salt: int) -> int:
    """Return another seed, which is the same for the same seed and salt."""
    import numpy as np

    return int(scattered(np.array([salt], np.uint64), seed)[0] >> np.uint64(1))


def scattered(values: NDArray[np.uint64], *salts: int) -> NDArray[np.uint64]:
    """Return pseudo-random whole numbers for whole numbers and salts.

    The mixing is that of SplitMix64 (Steele, Lea and Flood 2014), once per salt and once more.
    """
    import numpy as np

    mixed = values
    for salt in (*salts, 0):
        mixed = mixed + np.uint64((salt * STEP + STEP) % 2**64)
        for shift, factor in FACTORS:
            mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
        mixed = mixed ^ (mixed >> np.uint64(31))
    return mixed
