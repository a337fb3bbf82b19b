"""Where an answer ends: at an end of turn, at a text, or where it is cut off."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import StoppingCriteria

__all__ = ["Endings"]

BYTES_PER_CHARACTER = 4  # at most; a token holds at least one byte
BEFORE = 8  # tokens in front of a text to search for, as the first ones may be decoded differently


class Endings:
    """The ids and texts that end an answer."""

    def __init__(self, tokenizer: Any, ends: Iterable[int], texts: Sequence[str] = ()) -> None:
        """Take the endings of one model.

        Args:
            tokenizer: its tokenizer.
            ends: the ids that end a turn.
            texts: texts that end an answer, in which they are not contained.
        """
        self.tokenizer, self.texts, self.ends = tokenizer, tuple(texts), set(ends)

    @classmethod
    def of(cls, model: Any, ends: int | list[int] | None, texts: Sequence[str]) -> Endings:
        """Return the endings of answers of a model with its processor; its own ends by default."""
        found: Any = model.generation_config.eos_token_id if ends is None else ends
        return cls(model.processor.tokenizer, [found] if isinstance(found, int) else found, texts)

    def criteria(self, start: int) -> list[StoppingCriteria]:
        """Return what stops `generate` at a text; an answer begins at token `start`."""
        return [_AtText(self, start)] if self.texts else []

    def read(self, ids: Sequence[int]) -> tuple[str, bool]:
        """Return the answer of generated ids, and whether it has an end, rather than is cut off."""
        kept = self.before_end(ids)
        text = self.text(kept)
        shown = text[: self._first(text)]
        if len(shown) == len(text) and self._ends_in_markup(kept):
            return self.text(kept[:-1]).strip(), True
        return shown.strip(), len(shown) < len(text) or len(kept) < len(ids)

    def text(self, ids: Sequence[int]) -> str:
        """Return ids as text without markup."""
        text: str = self.tokenizer.decode(list(ids), skip_special_tokens=True)
        return text

    def before_end(self, ids: Sequence[int]) -> list[int]:
        """Return the ids in front of the first that ends a turn."""
        place = next((at for at, id_ in enumerate(ids) if id_ in self.ends), len(ids))
        return list(ids[:place])

    def certain(self, text: str) -> str:
        """Return the beginning of an unfinished answer that no ending can change."""
        first = self._first(text)
        if first < len(text):
            return text[:first]
        longest = max(map(len, self.texts), default=0)
        for length in range(min(longest, len(text)), 0, -1):
            if any(ending.startswith(text[-length:]) for ending in self.texts):
                return text[:-length]
        return text

    def finished(self, text: str) -> str:
        """Return a finished answer up to the first text that ends it."""
        return text[: self._first(text)]

    def _first(self, text: str) -> int:
        return min(
            (at for ending in self.texts if (at := text.find(ending)) >= 0), default=len(text)
        )

    def _ends_in_markup(self, ids: Sequence[int]) -> bool:
        """Return whether the last token, which is not shown, ends the answer as a text."""
        return bool(self.texts) and self.are_at_a_text(ids)

    def are_at_a_text(self, ids: Sequence[int]) -> bool:
        """Return whether ids end in a text, markup included."""
        longest = max(map(len, self.texts)) * BYTES_PER_CHARACTER + BEFORE
        text = self.tokenizer.decode(list(ids[-longest:]), skip_special_tokens=False)
        return self._first(text) < len(text)


class _AtText(StoppingCriteria):
    """Stop a row once its answer has a text; the prompt is not searched, as transformers does."""

    def __init__(self, endings: Endings, start: int) -> None:
        self._endings, self._start = endings, start

    def __call__(self, input_ids: Tensor, scores: Any, **kwargs: Any) -> Any:
        """Return whether each row of ids [B, S] is finished, [B]."""
        rows = input_ids[:, self._start :].tolist()
        found = [self._endings.are_at_a_text(row) for row in rows]
        return torch.tensor(found, device=input_ids.device)
