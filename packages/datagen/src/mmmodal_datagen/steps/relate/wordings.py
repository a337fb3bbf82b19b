"""The questions and prompts about two media, and those of the paper."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from mmmodal_datagen.prompts.wording import Wording

__all__ = [
    "INSTRUCTIONS",
    "PAPER_INSTRUCTIONS",
    "PAPER_PROMPTS",
    "PROMPTS",
    "TASK",
    "TASK_IN_BOTH",
    "PairKind",
]

PairKind = Annotated[str, Field(pattern=r"^\w+-\w+$")]
"""The modalities of the first and the second medium of a pair: `audio-image`."""

INSTRUCTIONS: dict[PairKind, tuple[Wording, ...]] = {
    "image-image": (
        Wording(
            en="What is related between picture 1 and picture 2?",
            ms="Apakah yang berkaitan antara gambar 1 dan gambar 2?",
        ),
        Wording(
            en="What do these two pictures have to do with each other?",
            ms="Apa kaitan dua gambar ni?",
        ),
        Wording(en="Are the two pictures related?", ms="Ada kaitan ke dua gambar ni?"),
        Wording(
            en="What connects picture 1 with picture 2, if anything?",
            ms="Apa yang menghubungkan gambar 1 dengan gambar 2, kalau ada?",
        ),
    ),
    "audio-audio": (
        Wording(
            en="What is related between audio 1 and audio 2?",
            ms="Apakah yang berkaitan antara audio 1 dan audio 2?",
        ),
        Wording(
            en="Do both recordings speak of the same thing?",
            ms="Adakah kedua-dua rakaman bercakap tentang perkara yang sama?",
        ),
        Wording(en="How are these two recordings related?", ms="Apa kaitan dua rakaman ni?"),
        Wording(
            en="What does audio 1 have to do with audio 2?",
            ms="Apa kaitan audio 1 dengan audio 2?",
        ),
    ),
    "audio-image": (
        Wording(
            en="What is related between audio 1 and picture 1?",
            ms="Apakah yang berkaitan antara audio 1 dan gambar 1?",
        ),
        Wording(
            en="Does the recording have anything to do with the picture?",
            ms="Ada kaitan ke rakaman ni dengan gambar tu?",
        ),
        Wording(
            en="How does picture 1 fit what is said in audio 1?",
            ms="Bagaimanakah gambar 1 sesuai dengan apa yang dikatakan dalam audio 1?",
        ),
    ),
}
"""Formal and informal questions; the numbers of media are the same in both languages."""

PROMPTS: dict[PairKind, str] = {
    "image-image": "Picture 1: {first}\nPicture 2: {second}\n\n{instruction}",
    "audio-audio": "Audio 1: {first}\nAudio 2: {second}\n\n{instruction}",
    "audio-image": "Audio 1: {first}\nPicture 1: {second}\n\n{instruction}",
}

_TASK = (
    "You are asked about two media, of which you know what they show or say. Judge from that alone "
    "whether they are related, unrelated, or whether it is unclear, and answer the question in one "
    "to four sentences that name what each of the media is about. The person sees the pictures and "
    "hears the recordings: speak of them as picture 1, audio 2 and so on, never of captions, "
    "descriptions or transcripts. Answer in English with JSON of this form and nothing else: "
)
TASK = _TASK + '{"relation": "related", "unrelated" or "unclear", "answer": "…"}'
TASK_IN_BOTH = (
    _TASK.replace("Answer in English", "Answer")
    + '{"relation": "related", "unrelated" or "unclear", "answer": "… in English", '
    '"answer_ms": "the same answer in Malay"}'
)

PAPER_INSTRUCTIONS = {kind: wordings[:1] for kind, wordings in INSTRUCTIONS.items()}
"""One instruction for each kind, as in most rows of the paper's set."""

PAPER_PROMPTS = {
    "image-image": (
        "Image 1: {first}. Image 2: {second}.\n\nwhat is related between image 1 and image 2?"
    ),
    "audio-audio": (
        "Audio 1: {first} Audio 2: {second}\n\nwhat is related between audio 1 and audio 2?"
    ),
    "audio-image": (
        "Audio 1: {first} Image 1: {second}.\n\nwhat is related between audio 1 and picture 1?"
    ),
}
"""As printed in sections 4.1 to 4.3, with line breaks of the page as spaces."""
