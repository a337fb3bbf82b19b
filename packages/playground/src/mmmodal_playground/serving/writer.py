"""What the served model writes: questions by rule, answers by the Llama part.

The part has learned to answer questions about media, from their descriptions as well; it has not
learned to ask, nor to write JSON. So questions are the world's own, and whether two media are
related is read off what the part says of them.
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
"""What a prompt that wants questions has in it."""

DESCRIBED = re.compile(r"^(audio|image|picture) (\d+): (.*)$", re.IGNORECASE | re.MULTILINE)
"""A medium in words, in a prompt about several."""

LONGEST = 64  # tokens of an answer


@dataclass(frozen=True)
class Turn:
    """One turn of a prompt."""

    role: str
    text: str


@dataclass(frozen=True)
class Said:
    """What was written, and how many tokens were read and written for it."""

    text: str
    finish_reason: str = "stop"
    read: int = 0
    written: int = 0


def read_raw(prompt: str) -> list[Turn]:
    """Read a prompt in Mistral's template; one that ends in a user's turn without words wants them.

    A prompt without template is the user's.
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
    """Writes the next turn of what it is given; the same for the same."""

    def write(self, turns: Sequence[Turn], *, as_json: bool = False) -> Said:
        """Return the next turn.

        Args:
            turns: what was said; an empty one of the user's at the end is to be written.
            as_json: whether JSON was asked for.
        """
        said = [turn for turn in turns if turn.role != "system"]
        told = "\n".join(turn.text for turn in turns)
        if not said[-1].text:
            return self._question(said[:-1])
        if ASKS.search(said[-1].text):
            return _listed(questions_about(ASKS.split(said[-1].text)[0]))
        if len(DESCRIBED.findall(told)) > 1:
            return self._relation(told, as_json or '"relation"' in told)
        return self._answer(said)

    def _question(self, said: Sequence[Turn]) -> Said:
        """Ask what was not asked yet about the text that a conversation begins with."""
        asked = "\n".join(turn.text for turn in said if turn.role == "user")
        description = asked.partition("\n")[0]
        left = [text for text in questions_about(description) if text not in asked]
        return Said(left[0] if left else "")

    def _relation(self, told: str, as_json: bool) -> Said:
        """Say what media have in common, from the things they show or name."""
        english, names, shown = TALKS["en"], [], []
        for kind, number, text in DESCRIBED.findall(told)[:2]:
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

    def _answer(self, said: Sequence[Turn]) -> Said:
        """Answer about a clip, whose words stand above the first question."""
        words, newline, question = said[0].text.rpartition("\n")
        heard = f"{Audio.begin}{words}{Audio.end}" if newline else ""
        return self._written([Turn("user", heard + question), *said[1:]])

    def _written(self, turns: Sequence[Turn]) -> Said:
        """Ask the Llama part."""
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
