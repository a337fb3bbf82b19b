"""Tokenize a rendered conversation so that only the template's own markup becomes special tokens.

A tokenizer matches its added tokens (`</s>`, `<image>`, `<think>`) anywhere in a text, whoever
wrote them, and no flag turns that off for all of them. So text is tokenized with a copy of the
tokenizer that knows none of them: each is replaced by a sentinel that holds a random nonce, which
is put where the template wrote the token and which nobody can type. Where the vocabulary itself
holds such a token, as Unigram's does, it bears a name with the nonce in the copy, so that no text
is ever made of it.

An added token that is blank is no markup but a way to write text, such as the line breaks of
Gemma or the runs of spaces of GPT-NeoX: the copy keeps it.
"""

from __future__ import annotations

import bisect
import itertools
import re
import secrets
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from mmmodal.conversation.locating import Anchors, Spans, TokenizedText, tokens_of
from mmmodal.conversation.plain_tokenizer import without_markup
from mmmodal.errors import RenderError

if TYPE_CHECKING:
    from tokenizers import AddedToken
    from transformers import PreTrainedTokenizerBase

__all__ = ["MarkupTokenizer"]


class Places:
    """A map from positions in a rendered text to positions in the text with sentinels."""

    def __init__(self) -> None:
        self._old = [0]
        self._new = [0]
        self.markup: list[int] = []
        """Where each token of markup ends, in the rendered text."""

    def add(self, old: int, new: int) -> None:
        """Note that what is at `old` has moved to `new`."""
        self._old.append(old)
        self._new.append(new)

    def of(self, position: int) -> int:
        """Return where a position in the rendered text has moved to."""
        index = bisect.bisect_right(self._old, position) - 1
        new = self._new[index] + position - self._old[index]
        # Inside a replacement lengths differ: never run past where the next piece begins.
        return min(new, self._new[index + 1]) if index + 1 < len(self._new) else new


class MarkupTokenizer:
    """Encode rendered chat text; what was escaped before rendering stays text."""

    MEDIUM = -1
    """What stands for a medium among the ids."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, *, as_token: int | None = None) -> None:
        """Take a tokenizer, and the added token like which a medium meets the text beside it."""
        backend = getattr(tokenizer, "backend_tokenizer", None)
        if backend is None:
            raise RenderError(
                f"{type(tokenizer).__name__} has no fast tokenizer (tokenizer.json); convert it "
                "with `AutoTokenizer.from_pretrained(…).save_pretrained(…)` of transformers"
            )
        self._nonce = f"zq{secrets.token_hex(8)}q"
        added = dict(tokenizer.added_tokens_decoder)
        self.markup = {id_: token for id_, token in added.items() if not _is_blank(token)}
        """The added tokens that only a template writes, by their ids."""

        self.ids_by_text = {token.content: id_ for id_, token in self.markup.items()}
        """Their ids, by what they read."""

        self._plain = without_markup(backend, {i: f"{self._nonce}v{i}v" for i in self.markup})
        self._meaning = self._add_sentinels(as_token)
        blank = {self._id_of(token.content): i for i, token in added.items() if _is_blank(token)}
        self._meaning |= {raw: id_ for raw, id_ in blank.items() if raw != id_}
        # What text must never give; a sentinel may have the number of what it stands for.
        self._forbidden = self.markup.keys() - self._meaning.keys()
        self._markup_ids = frozenset({*self.markup, self.MEDIUM})
        self._anchors = Anchors(self._markup_ids)
        # Longest first, as the tokenizer itself matches: `<|im_end|>` before `<|im`.
        literals = sorted(map(re.escape, self.ids_by_text), key=len, reverse=True)
        self._literal = re.compile("|".join(literals) or r"(?!)")
        self._marks = re.compile(rf"{self._nonce}(?:e(\d+)|m(\d+));|{self._literal.pattern}")

    def escape(self, text: str, allowed: Collection[str] = ()) -> str:
        """Hide every markup token that `text` spells, so that the template's own stand out.

        Those in `allowed` are taken as tokens.
        """

        def hidden(match: re.Match[str]) -> str:
            literal = match[0]
            if literal in allowed:
                return literal
            return f"{self._nonce}e{self.ids_by_text[literal]};"

        return self._literal.sub(hidden, text)

    def medium(self, index: int) -> str:
        """Return what stands for medium `index` in a message's text."""
        return f"{self._nonce}m{index};"

    def placeholder(self, index: int) -> str:
        """Return an opaque text that stands for what message `index` says."""
        return f"{self._nonce}a{index};"

    def split_at_placeholders(self, rendered: str) -> list[str]:
        """Return what the template writes around the placeholders of messages."""
        return re.split(rf"{self._nonce}a\d+;", rendered)

    def media_order(self, rendered: str) -> list[int]:
        """Return the indices of the media in the order in which the template shows them."""
        return [int(index) for index in re.findall(rf"{self._nonce}m(\d+);", rendered)]

    def plain(self, rendered: str, media: Sequence[str]) -> str:
        """Undo `escape`, and put for each medium the text that stands for it."""

        def shown(match: re.Match[str]) -> str:
            if match[2] is not None:
                return media[int(match[2])]
            return match[0] if match[1] is None else self.markup[int(match[1])].content

        return self._marks.sub(shown, rendered)

    def find_markup(self, rendered: str, start: int, end: int) -> re.Match[str] | None:
        """Find the first markup token that the template wrote between two places."""
        return self._literal.search(rendered, start, end)

    def find_literal(self, literal: str, rendered: str, start: int, end: int) -> int | None:
        """Find where a markup token that the template wrote between two places ends."""
        found = self._literal.finditer(rendered, start, end)
        return next((match.end() for match in found if match[0] == literal), None)

    def encode(
        self, rendered: str, spans: Spans = (), *, anchored: bool = True
    ) -> tuple[list[int], list[slice]]:
        """Tokenize rendered text, undoing `escape` on the way, and find the tokens of its parts.

        Args:
            rendered: what a template wrote; a medium becomes one `MEDIUM`.
            spans: the parts to find, in characters of `rendered`.
            anchored: there is markup not far before each; else looking for it is not worth it.

        Raises:
            RenderError: the vocabulary has no token for a character of the text.
        """
        text, places = self._with_sentinels(rendered)
        if anchored or not spans:
            (encoding,) = self._plain.encode_batch_fast([text], add_special_tokens=False)
            ids = self._meanings(text, encoding.ids)
            if not spans:
                return ids, []
            found = self._anchors.find(rendered, ids, places.markup, spans)
            if found is not None:
                return ids, found
        encoding = self._plain.encode(text, add_special_tokens=False)
        ids, offsets = self._meanings(text, encoding.ids), encoding.offsets
        moved = [(places.of(start), places.of(end)) for start, end in spans]
        slices = [tokens_of(span, ids, offsets, self.markup) for span in moved]
        if anchored:
            known = [
                (tokens, tokens.start < len(offsets) and offsets[tokens.start][0] >= begin)
                for tokens, (begin, _) in zip(slices, moved, strict=True)
            ]
            self._anchors.learn(rendered, ids, places.markup, spans, known)
        return ids, slices

    def encode_after(self, before: TokenizedText, rendered: str) -> TokenizedText:
        """Tokenize rendered text, of which the beginning that it shares with `before` is known.

        What stands on two sides of a token of markup is tokenized apart, so the ids are those that
        `encode` returns: the text is cut in front of the last such token that both have.
        """
        cut, ids = self._known(before, rendered)
        rest, _ = self.encode(rendered[cut:])
        return TokenizedText(rendered, [*ids, *rest])

    def _known(self, before: TokenizedText, rendered: str) -> tuple[int, list[int]]:
        """Return how much of a text need not be tokenized, in characters, and its ids."""
        pairs = zip(before.text, rendered, strict=False)
        same = sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))
        places = [place for place, id_ in enumerate(before.ids) if id_ in self._markup_ids]
        marks = [match for match in self._marks.finditer(before.text) if match[1] is None]
        if len(places) != len(marks):
            return 0, []  # some token of markup was not found
        spans = {match.span() for match in self._marks.finditer(rendered) if match.end() <= same}
        for place, match in reversed(list(zip(places, marks, strict=True))):
            if match.span() in spans and self._divides(before.ids[place]):
                return match.start(), before.ids[:place]
        return 0, []

    def _divides(self, id_: int) -> bool:
        """Return whether a token is matched before any text is normalised."""
        token = self.markup.get(id_)
        return token is not None and not token.normalized and not token.lstrip

    def _meanings(self, text: str, raw: list[int]) -> list[int]:
        if not self._forbidden.isdisjoint(raw):
            self._refuse(text)
        meaning = self._meaning
        return [meaning.get(id_, id_) for id_ in raw]

    def _refuse(self, text: str) -> None:
        encoding = self._plain.encode(text, add_special_tokens=False)
        pairs = zip(encoding.ids, encoding.offsets, strict=True)
        id_, (start, end) = next(pair for pair in pairs if pair[0] in self._forbidden)
        raise RenderError(
            f"the tokenizer has no token for {text[start:end]!r}, only "
            f"{self.markup[id_].content!r}; remove it from the text"
        )

    def _with_sentinels(self, rendered: str) -> tuple[str, Places]:
        out: list[str] = []
        places = Places()
        length = position = 0
        for match in self._marks.finditer(rendered):
            start, end = match.span()
            new = self._replacement(match)
            out += (rendered[position:start], new)
            length += start - position
            places.add(start, length)
            length += len(new)
            places.add(end, length)
            if match[1] is None:
                places.markup.append(end)
            position = end
        out.append(rendered[position:])
        return "".join(out), places

    def _replacement(self, match: re.Match[str]) -> str:
        if match[1] is not None:
            return self.markup[int(match[1])].content
        if match[2] is not None:
            return f"{self._nonce}m"
        return self._sentinel(self.ids_by_text[match[0]])

    def _add_sentinels(self, as_token: int | None) -> dict[int, int]:
        """Add what stands for each markup token and for a medium; return what their ids mean."""
        from tokenizers import AddedToken

        like = self.markup.get(as_token) if as_token is not None else None
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
            for id_, token in self.markup.items()
        ]
        self._plain.add_tokens([*sentinels, medium])  # one by one takes quadratic time
        meaning = {self._id_of(self._sentinel(id_)): id_ for id_ in self.markup}
        return meaning | {self._id_of(medium.content): self.MEDIUM}

    def _id_of(self, token: str) -> int:
        id_ = self._plain.token_to_id(token)
        assert id_ is not None, token
        return id_

    def _sentinel(self, id_: int) -> str:
        return f"{self._nonce}t{id_}t"


def _is_blank(token: AddedToken) -> bool:
    return not token.special and not token.content.replace("▁", " ").strip()
