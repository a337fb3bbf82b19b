"""Slices of cases: what they have in common."""

from __future__ import annotations

from evaluations import case_result
from mmmodal_eval.statistics.slices import slices_of


def test_cases_are_sliced_by_all_that_is_known_of_them() -> None:
    cases = [
        case_result("a", lang="en", modalities=("image",), media=2, tags=("hue", "count"), turn=0),
        case_result("b", lang="ms", modalities=("audio", "image"), media=10, tags=("hue",), turn=1),
        case_result("c", lang="ms", outcome="empty"),
    ]
    found = [(common, chosen.tolist()) for common, chosen in slices_of(cases)]
    assert found == [
        ({}, [0, 1, 2]),
        ({"lang": "en"}, [0]),
        ({"lang": "ms"}, [1, 2]),
        ({"modality": "audio+image"}, [1]),
        ({"modality": "image"}, [0]),
        ({"modality": "text"}, [2]),
        ({"media": "0"}, [2]),
        ({"media": "2"}, [0]),
        ({"media": "10"}, [1]),
        ({"tag": "count"}, [0]),
        ({"tag": "hue"}, [0, 1]),
        ({"turn": "0"}, [0, 2]),
        ({"turn": "1"}, [1]),
        ({"outcome": "empty"}, [2]),
        ({"outcome": "scored"}, [0, 1]),
    ]


def test_a_slice_of_all_cases_is_no_slice() -> None:
    assert slices_of([case_result("a", lang="en", tags=("hue", "hue"))] * 3)[1:] == []
