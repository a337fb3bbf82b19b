"""Sound waves as inline SVG."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["wave"]

PIECES = 44  # of a sound wave


def wave(loudness: Sequence[float]) -> str:
    """Return the loudness of a clip over time."""
    loudest = max(loudness, default=0.0) or 1.0
    drawn = "".join(
        f'<rect x="{5 * index + 1}" y="{20 - 18 * value / loudest - 1:.1f}" width="3" '
        f'height="{36 * value / loudest + 2:.1f}" rx="1.5"/>'
        for index, value in enumerate(loudness)
    )
    return (
        f'<svg class="wave" viewBox="0 0 {5 * len(loudness)} 40" preserveAspectRatio="none" '
        f'aria-hidden="true">{drawn}</svg>'
    )
