"""Tokenize a rendered conversation so that only the template's own markup becomes special tokens.

A tokenizer matches its added tokens (`</s>`, `<image>`, `<think>`) anywhere in a text, including
text that a user typed, and no flag turns that off for all of them. Text is therefore tokenized with
a copy of the tokenizer without these tokens. The copy has a sentinel for each of them instead: a
token with a random nonce, which cannot be typed. Sentinels are inserted where the template wrote
the tokens. If the vocabulary itself contains such a token, as that of Unigram does, the copy
renames it with the nonce, so that no text becomes this token.

A blank added token is text, not markup, such as the line breaks of Gemma or the runs of spaces of
GPT-NeoX: the copy keeps it.
"""

from __future__ import annotations

import bisect
import functools
import itertools
import re
import secrets
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from mmmodal.conversation.locating import Anchors, FoundSpan, Spans, TokenizedText, tokens_of
from mmmodal.conversation.plain_tokenizer import without_markup
from mmmodal.errors import RenderError

if TYPE_CHECKING:
    from tokenizers import AddedToken
    from transformers import PreTrainedTokenizerBase

__all__ = ["MarkupTokenizer"]


class Places:
    """A map from positions in a rendered text to those in the text with sentinels."""

    def __init__(self) -> None:
        self._old = [0]
        self._new = [0]
        self.markup: list[int] = []
        """The ends of the markup tokens in the rendered text."""

    def add(self, old: int, new: int) -> None:
        """Store that position `old` of the rendered text is `new` in the text with sentinels."""
        self._old.append(old)
        self._new.append(new)

    def of(self, position: int) -> int:
        """Return the position in the text with sentinels of one in the rendered text."""
        index = bisect.bisect_right(self._old, position) - 1
        new = self._new[index] + position - self._old[index]
        # Inside a replacement lengths differ: do not exceed the beginning of the next piece.
        return min(new, self._new[index + 1]) if index + 1 < len(self._new) else new


class MarkupTokenizer:
    """Encode the text of a chat template; text that was escaped before rendering stays text."""

    MEDIUM = -1
    """The id of a medium."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, *, as_token: int | None = None) -> None:
        """Copy a tokenizer; text beside a medium is tokenized as beside the token `as_token`."""
        backend = getattr(tokenizer, "backend_tokenizer", None)
        if backend is None:
            raise RenderError(
                f"{type(tokenizer).__name__} has no fast tokenizer (tokenizer.json); convert it "
                "with `AutoTokenizer.from_pretrained(…).save_pretrained(…)` of transformers"
            )
        self._nonce = f"zq{secrets.token_hex(8)}q"
        added = dict(tokenizer.added_tokens_decoder)
        self.markup = {id_: token for id_, token in added.items() if not _is_blank(token)}
        """The added tokens that only a template may write, by id."""

        self.ids_by_text = {token.content: id_ for id_, token in self.markup.items()}
        """The ids of the markup tokens, by their text."""

        self._plain = without_markup(backend, {i: f"{self._nonce}v{i}v" for i in self.markup})
        self._meaning = self._add_sentinels(as_token)
        blank = {self._id_of(token.content): i for i, token in added.items() if _is_blank(token)}
        self._meaning |= {raw: id_ for raw, id_ in blank.items() if raw != id_}
        # Ids that text must never get; a sentinel may have the same id as its markup token.
        self._forbidden = self.markup.keys() - self._meaning.keys()
        self._markup_ids = frozenset({*self.markup, self.MEDIUM})
        self._anchors = Anchors(self._markup_ids)
        # Longest first, as the tokenizer itself matches: `<|im_end|>` before `<|im`.
        literals = sorted(map(re.escape, self.ids_by_text), key=len, reverse=True)
        self._literal = re.compile("|".join(literals) or r"(?!)")
        self._marks = re.compile(rf"{self._nonce}(?:e(\d+)|m(\d+));|{self._literal.pattern}")

    def escape(self, text: str, allowed: Collection[str] = ()) -> str:
        """Return `text` with every markup token that it spells escaped, except those in `allowed`.

        After rendering, the remaining markup tokens are those that the template wrote.
        """

        def hidden(match: re.Match[str]) -> str:
            literal = match[0]
            if literal in allowed:
                return literal
            return f"{self._nonce}e{self.ids_by_text[literal]};"

        return self._literal.sub(hidden, text)

    def medium(self, index: int) -> str:
        """Return the placeholder of medium `index` in a message's text."""
        return f"{self._nonce}m{index};"

    def placeholder(self, index: int) -> str:
        """Return the placeholder of the text of message `index`."""
        return f"{self._nonce}a{index};"

    def split_at_placeholders(self, rendered: str) -> list[str]:
        """Return the texts that the template writes around the placeholders of messages."""
        return re.split(rf"{self._nonce}a\d+;", rendered)

    def media_order(self, rendered: str) -> list[int]:
        """Return the indices of the media in the order in which the template writes them."""
        return [int(index) for index in re.findall(rf"{self._nonce}m(\d+);", rendered)]

    def plain(self, rendered: str, media: Sequence[str] | Mapping[int, str]) -> str:
        """Return a rendered text with `escape` undone and each medium replaced by its text."""

        def shown(match: re.Match[str]) -> str:
            if match[2] is not None:
                return media[int(match[2])]
            return match[0] if match[1] is None else self.markup[int(match[1])].content

        return self._marks.sub(shown, rendered)

    def find_markup(self, rendered: str, start: int, end: int) -> re.Match[str] | None:
        """Return the first markup token between two positions, or None."""
        return self._literal.search(rendered, start, end)

    def find_literal(self, literal: str, rendered: str, start: int, end: int) -> int | None:
        """Return the end of the first markup token `literal` between two positions, or None."""
        found = self._literal.finditer(rendered, start, end)
        return next((match.end() for match in found if match[0] == literal), None)

    def encode(
        self, rendered: str, spans: Spans = (), *, anchored: bool = True
    ) -> tuple[list[int], list[FoundSpan]]:
        """Return the ids of a rendered text with `escape` undone, and the tokens of its spans.

        Args:
            rendered: the text that a template wrote; a medium becomes one `MEDIUM`.
            spans: the parts to find, in characters of `rendered`.
            anchored: whether each span has markup close before it; else it is not searched for.

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
                return ids, [FoundSpan(tokens, True) for tokens in found]
        encoding = self._plain.encode(text, add_special_tokens=False)
        ids, offsets = self._meanings(text, encoding.ids), encoding.offsets
        moved = [(places.of(start), places.of(end)) for start, end in spans]
        slices = [tokens_of(span, ids, offsets, self.markup) for span in moved]
        spoken = [
            FoundSpan(tokens, tokens.start < len(offsets) and offsets[tokens.start][0] >= begin)
            for tokens, (begin, _) in zip(slices, moved, strict=True)
        ]
        if anchored:
            self._anchors.learn(rendered, ids, places.markup, spans, spoken)
        return ids, spoken

    def encode_on(self, rendered: str) -> list[int]:
        """Return the ids of a text that continues another one whose ids are fixed."""
        before = f"{self._nonce}m0;{self._guard}"
        head, ids = self.encode(before)[0], self.encode(before + rendered)[0]
        return ids[len(head) :]

    @functools.cached_property
    def _guard(self) -> str:
        """The text in front of which a tokenizer adds the space that it adds in front of a text."""
        mark = f"{self._nonce}m0;"
        alone, line = self.encode(f"{mark}x")[0], self.encode(f"{mark}\n")[0]
        return "" if self.encode(f"{mark}\nx")[0] == [*line, *alone[1:]] else "\n"

    def encode_after(self, before: TokenizedText, rendered: str) -> TokenizedText:
        """Return the ids of a rendered text, reusing those of its common beginning with `before`.

        Texts on both sides of a markup token are tokenized separately. The text is therefore cut in
        front of the last common markup token, and the ids equal those of `encode`.
        """
        cut, ids = self._known(before, rendered)
        rest, _ = self.encode(rendered[cut:])
        return TokenizedText(rendered, [*ids, *rest])

    def _known(self, before: TokenizedText, rendered: str) -> tuple[int, list[int]]:
        """Return the length of the text with known ids, in characters, and these ids."""
        pairs = zip(before.text, rendered, strict=False)
        same = sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))
        places = [place for place, id_ in enumerate(before.ids) if id_ in self._markup_ids]
        marks = [match for match in self._marks.finditer(before.text) if match[1] is None]
        if len(places) != len(marks):
            return 0, []  # a markup token was not found
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
        """Add sentinels for markup tokens and media; return the meaning of the sentinels' ids."""
        from tokenizers import AddedToken

        like = self.markup.get(as_token) if as_token is not None else None
        # A token matched in normalised text includes the space that the normaliser inserts.
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
