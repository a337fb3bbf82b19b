"""Tokenize a rendered conversation so that only the template's own markup becomes special tokens.

A tokenizer matches its added tokens (`</s>`, `<image>`, `<think>`) anywhere in a text, whoever
wrote them, and no flag turns that off for all of them. So text is tokenized with a copy of the
tokenizer that knows none of its added tokens: each is replaced by a sentinel that holds a random
nonce, which is put where the template wrote the token and which nobody can type.
"""

from __future__ import annotations

import bisect
import json
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mmmodal.errors import RenderError

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerBase

__all__ = ["Encoded", "MarkupTokenizer"]


@dataclass(frozen=True)
class Encoded:
    """Token ids with the places in the rendered text they come from."""

    ids: list[int]
    """A medium stands as one `MarkupTokenizer.MEDIUM`."""

    spans: list[tuple[int, int]]
    """Start and end of each token, in characters of the rendered text."""


class MarkupTokenizer:
    """Encode rendered chat text; what was escaped before rendering stays text."""

    MEDIUM = -1

    def __init__(self, tokenizer: PreTrainedTokenizerBase, *, as_token: int | None = None) -> None:
        """Take a tokenizer, and the added token like which a medium meets the text beside it."""
        from tokenizers import AddedToken

        backend = getattr(tokenizer, "backend_tokenizer", None)
        if backend is None:
            raise RenderError(
                f"{type(tokenizer).__name__} has no fast tokenizer (tokenizer.json); convert it "
                "with `AutoTokenizer.from_pretrained(…).save_pretrained(…)` of transformers"
            )
        self._nonce = f"zq{secrets.token_hex(8)}q"
        self._added = dict(tokenizer.added_tokens_decoder)
        self._ids_by_text = {token.content: id_ for id_, token in self._added.items()}
        self._plain = _without_added_tokens(backend)
        self._meaning: dict[int, int] = {}
        like = self._added.get(as_token) if as_token is not None else None
        # One that is matched in normalised text takes in a space that the normaliser writes.
        normalized = like is not None and like.normalized and not like.special
        medium = AddedToken(f"{self._nonce}m", normalized=normalized, special=not normalized)
        sentinels = [
            AddedToken(
                self._sentinel(id_),
                lstrip=token.lstrip,
                rstrip=token.rstrip,
                normalized=token.normalized,
                special=token.special,
            )
            for id_, token in self._added.items()
        ]
        self._plain.add_tokens([*sentinels, medium])  # one by one takes quadratic time
        for id_ in self._added:
            self._meaning[self._id_of(self._sentinel(id_))] = id_
        self._meaning[self._id_of(medium.content)] = self.MEDIUM
        # Longest first, as the tokenizer itself matches: `<|im_end|>` before `<|im`.
        literals = sorted((re.escape(text) for text in self._ids_by_text), key=len, reverse=True)
        self._literal = re.compile("|".join(literals) or r"(?!)")
        self._marks = re.compile(rf"{self._nonce}(?:e(\d+)|m(\d+));|{self._literal.pattern}")

    def escape(self, text: str) -> str:
        """Hide every added token that `text` spells, so that the template's own stand out."""
        return self._literal.sub(lambda m: f"{self._nonce}e{self._ids_by_text[m[0]]};", text)

    def medium(self, index: int) -> str:
        """Return what stands for medium `index` in a message's text."""
        return f"{self._nonce}m{index};"

    def placeholder(self, index: int) -> str:
        """Return an opaque text that stands for assistant turn `index`."""
        return f"{self._nonce}a{index};"

    def split_at_placeholders(self, rendered: str) -> list[str]:
        """Return what the template writes around the placeholders of assistant turns."""
        return re.split(rf"{self._nonce}a\d+;", rendered)

    def media_order(self, rendered: str) -> list[int]:
        """Return the indices of the media in the order in which the template shows them."""
        return [int(index) for index in re.findall(rf"{self._nonce}m(\d+);", rendered)]

    def plain(self, rendered: str, media: Sequence[str]) -> str:
        """Undo `escape`, and put for each medium the text that stands for it."""

        def shown(match: re.Match[str]) -> str:
            if match[2] is not None:
                return media[int(match[2])]
            return match[0] if match[1] is None else self._added[int(match[1])].content

        return self._marks.sub(shown, rendered)

    def find_added_token(self, rendered: str, start: int) -> re.Match[str] | None:
        """Find the first added token that the template wrote at or after `start`."""
        return self._literal.search(rendered, start)

    def encode(self, rendered: str) -> Encoded:
        """Tokenize rendered text, undoing `escape` on the way."""
        pieces, places = self._with_sentinels(rendered)
        encoding = self._plain.encode(pieces, add_special_tokens=False)
        ids = [self._meaning.get(id_, id_) for id_ in encoding.ids]
        for id_, raw in zip(ids, encoding.ids, strict=True):
            if id_ in self._added and raw not in self._meaning:
                raise RenderError(
                    f"the tokenizer forms its special token {self._added[id_].content!r} from "
                    "plain text; remove it from the text"
                )
        return Encoded(ids, [(places.source(a), places.source(b)) for a, b in encoding.offsets])

    def _with_sentinels(self, rendered: str) -> tuple[str, _Places]:
        out: list[str] = []
        places = _Places()
        length = position = 0
        for match in self._marks.finditer(rendered):
            plain = rendered[position : match.start()]
            new = self._replacement(match)
            places.add(length, position)
            places.add(length + len(plain), match.start())
            out += (plain, new)
            length += len(plain) + len(new)
            position = match.end()
        places.add(length, position)
        out.append(rendered[position:])
        return "".join(out), places

    def _replacement(self, match: re.Match[str]) -> str:
        if match[1] is not None:
            return self._added[int(match[1])].content
        if match[2] is not None:
            return f"{self._nonce}m"
        return self._sentinel(self._ids_by_text[match[0]])

    def _id_of(self, token: str) -> int:
        id_ = self._plain.token_to_id(token)
        assert id_ is not None, token
        return id_

    def _sentinel(self, id_: int) -> str:
        return f"{self._nonce}t{id_}t"


class _Places:
    """A map from positions in the text with sentinels to positions in the rendered text."""

    def __init__(self) -> None:
        self._new: list[int] = []
        self._old: list[int] = []

    def add(self, new: int, old: int) -> None:
        self._new.append(new)
        self._old.append(old)

    def source(self, position: int) -> int:
        index = bisect.bisect_right(self._new, position) - 1
        old = self._old[index] + position - self._new[index]
        # Inside a replacement lengths differ: never run past where the next piece begins.
        return min(old, self._old[index + 1]) if index + 1 < len(self._old) else old


def _without_added_tokens(backend: Tokenizer) -> Tokenizer:
    state = json.loads(backend.to_str())
    state["added_tokens"] = []
    plain = type(backend).from_str(json.dumps(state))
    plain.no_padding()
    plain.no_truncation()
    return plain
