"""The parameters of calls that an endpoint takes: what it refuses is left out or renamed."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any
from urllib.parse import urlsplit

from mmmodal_datagen.backends.openai_refusals import Refusal

__all__ = ["Parameters"]

OPENAI = "api.openai.com"
OPENAI_TAKES: dict[str, str | None] = {"top_k": None, "max_tokens": "max_completion_tokens"}
"""OpenAI's own endpoint has no `top_k`, and its newer models no `max_tokens`."""

RENAMED = {"max_tokens": "max_completion_tokens"}
"""The other name of a parameter, of which endpoints know one or both."""

LEFT_OUT = ("top_k", "top_p", "temperature", "seed", "stop")
"""What can be left out: how an answer is drawn. Stop texts are cut off here as well; without any
other parameter the answer would be one to another request."""

NEUTRAL = {"top_p": 1.0, "temperature": 1.0}
"""Values that change nothing, and that some endpoints refuse: TGI takes no `top_p` of 1."""


class Parameters:
    """What an endpoint was found to refuse, for as long as a run takes."""

    def __init__(self, base_url: str) -> None:
        self._is_openai = urlsplit(base_url).hostname == OPENAI
        self._changes: dict[str, dict[str, str | None]] = {}

    def accepted(self, path: str, drawn: Mapping[str, Any]) -> dict[str, Any]:
        """Return the parameters to send: without those that are refused, or under other names."""
        changes = self._of(path)
        named = {changes.get(name, name): value for name, value in drawn.items()}
        return {name: value for name, value in named.items() if name is not None}

    def left_out(self, path: str, drawn: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the names of the parameters that are not sent under any name."""
        changes = self._of(path)
        return tuple(sorted(name for name in drawn if changes.get(name, name) is None))

    def learn(
        self, path: str, sent: Mapping[str, Any], refusal: Refusal, kept: Collection[str]
    ) -> str | None:
        """Return the parameter to go on without or under another name; None if there is none.

        Args:
            path: of the call.
            sent: its parameters.
            refusal: what the endpoint answered.
            kept: names of parameters that the user asks for by these names.
        """
        name = refusal.parameter(sent)
        if name is None or name in kept:
            return None
        other = RENAMED.get(name)
        if other and other not in sent and refusal.is_unsupported:
            self._of(path)[name] = other
            return name
        if name in LEFT_OUT and (refusal.is_unsupported or sent[name] == NEUTRAL.get(name)):
            self._of(path)[name] = None
            return name
        return None

    def _of(self, path: str) -> dict[str, str | None]:
        known = OPENAI_TAKES if self._is_openai else {}
        if path != "/chat/completions":
            known = {name: other for name, other in known.items() if other is None}
        return self._changes.setdefault(path, dict(known))
