"""What a judge is asked, and its verdict as read from its words."""

from __future__ import annotations

import re
from typing import NamedTuple

from mmmodal_eval.contracts import Expected
from mmmodal_eval.scorers.normalisation import in_language

__all__ = ["question", "verdict"]


class Wording(NamedTuple):
    """The texts of a question to a judge in one language."""

    rubric: str
    asked: str
    reference: str
    answer: str
    end: str


ENGLISH = Wording(
    rubric="The answer is right if it says what a reference says, in any words. More than that is "
    "right too, unless it contradicts the reference. An answer that leaves it open is wrong.",
    asked="Judge an answer to a question about media that you do not see.",
    reference="Reference",
    answer="Answer to judge",
    end="Give your reason in one sentence. Then write, on a line of its own, `Verdict: RIGHT` or "
    "`Verdict: WRONG`.",
)
MALAY = Wording(
    rubric="Jawapan itu betul jika maksudnya sama dengan satu rujukan, walau apa pun "
    "perkataannya. Maklumat tambahan juga betul, kecuali jika ia bercanggah dengan rujukan. "
    "Jawapan yang tidak pasti adalah salah.",
    asked="Nilaikan jawapan bagi soalan tentang media yang anda tidak nampak.",
    reference="Rujukan",
    answer="Jawapan yang dinilai",
    end="Berikan sebab dalam satu ayat. Kemudian tulis, pada baris tersendiri, `Keputusan: BETUL` "
    "atau `Keputusan: SALAH`.",
)

RIGHT = frozenset({"right", "betul"})
VERDICT = re.compile(
    r"\b(?:verdict|keputusan)\b[\s:*_=\"'`-]*(right|wrong|betul|salah)\b", re.IGNORECASE
)
BARE = re.compile(r"[\W_]*(right|wrong|betul|salah)[\W_]*", re.IGNORECASE)


def question(answer: str, expected: Expected, rubric: str | None, swapped: bool) -> str:
    """Return what the judge is asked about an answer, in the language of the conversation.

    Args:
        answer: the answer to judge.
        expected: the references, and the question that was answered.
        rubric: when an answer is right; None: the default one.
        swapped: show the answer in front of the references.
    """
    words = MALAY if in_language(expected.language, "ms") else ENGLISH
    references = [f"<reference>\n{each}\n</reference>" for each in expected.references]
    blocks = [
        f"{words.reference}:\n" + "\n".join(references),
        f"{words.answer}:\n<answer>\n{answer}\n</answer>",
    ]
    shown = f"<question>\n{expected.question}\n</question>"
    parts = [words.asked, rubric or words.rubric, shown, *blocks[:: -1 if swapped else 1]]
    return "\n\n".join([*parts, words.end])


def verdict(said: str) -> bool | None:
    """Return whether a judge says that an answer is right; None if it cannot be read."""
    found = {match[1].lower() in RIGHT for match in VERDICT.finditer(said)}
    if not found and (bare := BARE.fullmatch(said)):
        found = {bare[1].lower() in RIGHT}
    return found.pop() if len(found) == 1 else None
