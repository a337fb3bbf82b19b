"""Plots of counts."""

from __future__ import annotations

from xml.etree import ElementTree

from mmmodal.reports.counts import bars, histogram


def test_plots_say_what_they_show() -> None:
    drawn = histogram([3] * 98 + [40, 5000], "Answers", "words")
    assert "from 3 to 5,000 words, half of them up to 3" in drawn
    ElementTree.fromstring(drawn.partition("<p")[0])
    assert "there are none" in histogram([], "Turns", "turns")
    counted = bars({f"<reason {n}>": n + 1 for n in range(20)})
    assert "8 others" in counted and "&lt;reason 19&gt;" in counted and "<reason" not in counted
