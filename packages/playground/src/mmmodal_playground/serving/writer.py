"""The answers of the served model: questions by rules, answers by the Llama part.

The part has learned to answer questions about media, also from their descriptions, but neither to
ask questions nor to write JSON. Questions are therefore those of the world, and whether two media
are related is computed from the things that the part names.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from mmmodal.authoring.media import Audio, Image
from mmmodal_playground.parts import part_folder
from mmmodal_playground.serving.understanding import questions_about, things_in
from mmmodal_playground.things import TALKS
from mmmodal_playground.wording import ANSWERS, QUESTIONS

__all__ = ["Said", "Turn", "Writer", "read_raw"]

ASKS = re.compile(r"\bgenerate questions\b", re.IGNORECASE)
"""A pattern of prompts that request questions."""

DESCRIBED = re.compile(r"^(audio|image|picture) (\d+): (.*)$", re.IGNORECASE | re.MULTILINE)
"""A pattern of the description of a medium, in a prompt about several."""

LONGEST = 64  # maximum tokens of an answer


@dataclass(frozen=True)
class Turn:
    """One turn of a prompt."""

    role: str
    text: str


@dataclass(frozen=True)
class Said:
    """The written text, with the numbers of tokens that were read and written."""

    text: str
    finish_reason: str = "stop"
    read: int = 0
    written: int = 0


def read_raw(prompt: str) -> list[Turn]:
    """Return the turns of a prompt in Mistral's template.

    An empty user turn at the end is to be written. A prompt without the template is a user turn.
    """
    if "[INST]" not in prompt:
        return [Turn("user", prompt)]
    turns = []
    for part in prompt.split("[INST]")[1:]:
        user, ends, assistant = part.partition("[/INST]")
        turns.append(Turn("user", user.strip()))
        if ends and assistant.strip():
            turns.append(Turn("assistant", assistant.strip().removesuffix("</s>")))
    return turns


class Writer:
    """Write the next turn of a conversation; equal conversations give equal turns."""

    def write(self, turns: Sequence[Turn], *, as_json: bool = False) -> Said:
        """Return the next turn.

        Args:
            turns: the turns so far; an empty user turn at the end is to be written.
            as_json: whether JSON was requested.
        """
        dialogue = [turn for turn in turns if turn.role != "system"]
        prompt = "\n".join(turn.text for turn in turns)
        if not dialogue[-1].text:
            return self._question(dialogue[:-1])
        if ASKS.search(dialogue[-1].text):
            return _listed(questions_about(ASKS.split(dialogue[-1].text)[0]))
        if len(DESCRIBED.findall(prompt)) > 1:
            return self._relation(prompt, as_json or '"relation"' in prompt)
        return self._answer(dialogue)

    def _question(self, dialogue: Sequence[Turn]) -> Said:
        """Return a question, not asked yet, about the text at the beginning of a conversation."""
        asked = "\n".join(turn.text for turn in dialogue if turn.role == "user")
        description = asked.partition("\n")[0]
        left = [text for text in questions_about(description) if text not in asked]
        return Said(left[0] if left else "")

    def _relation(self, prompt: str, as_json: bool) -> Said:
        """Return what media have in common, from the things they show or name."""
        english, names, shown = TALKS["en"], [], []
        for kind, number, text in DESCRIBED.findall(prompt)[:2]:
            marks = Audio if kind.casefold() == "audio" else Image
            names.append(ANSWERS["en"][marks.name].format(n=number))
            mentioned = " and ".join(map(english.mention, things_in(text))) or text
            shown.append(f"{marks.begin}{mentioned}{marks.end}")
        question = QUESTIONS["en"]["relate"][0].format(a=names[0], b=names[1])
        answer = self._written([Turn("user", "".join(shown) + question)])
        if not as_json:
            return answer
        _, concluded, verdict = answer.text.partition(": ")
        nothing = verdict.strip() == ANSWERS["en"]["nothing"]
        relation = ("unrelated" if nothing else "related") if concluded else "unclear"
        text = json.dumps({"relation": relation, "answer": answer.text}, ensure_ascii=False)
        return Said(text, answer.finish_reason, answer.read, answer.written)

    def _answer(self, dialogue: Sequence[Turn]) -> Said:
        """Return an answer about a clip, whose words are in front of the first question."""
        words, newline, question = dialogue[0].text.rpartition("\n")
        heard = f"{Audio.begin}{words}{Audio.end}" if newline else ""
        return self._written([Turn("user", heard + question), *dialogue[1:]])

    def _written(self, turns: Sequence[Turn]) -> Said:
        """Return the answer of the Llama part."""
        import torch

        model, tokenizer = self._part
        chat = [{"role": turn.role, "content": turn.text} for turn in turns]
        ids = tokenizer.apply_chat_template(
            chat, add_generation_prompt=True, return_tensors="pt", return_dict=True
        )["input_ids"]  # [1, T]
        with torch.inference_mode():
            made = model.generate(ids, max_new_tokens=LONGEST, do_sample=False)[0, ids.shape[1] :]
        ended = made[-1].item() == tokenizer.eos_token_id
        text = str(tokenizer.decode(made, skip_special_tokens=True)).strip()
        return Said(text, "stop" if ended else "length", ids.shape[1], len(made))

    @cached_property
    def _part(self) -> tuple[Any, Any]:
        from transformers import AutoModelForCausalLM, AutoTokenizer

        folder = part_folder("llama")
        return AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)


def _listed(questions: Sequence[str]) -> Said:
    lines = [f"{number}. {text}" for number, text in enumerate(questions, 1)]
    return Said("\n".join(lines) or "I have no questions.")
