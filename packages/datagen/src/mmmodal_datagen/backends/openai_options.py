"""The options of an endpoint of OpenAI's protocol."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from mmmodal.authoring.parts import Config

__all__ = ["OpenAIOptions"]


class OpenAIOptions(Config):
    """The endpoint, its limits and its retries."""

    model: str
    base_url: str = "https://api.openai.com/v1"
    endpoint: str | None = None
    """A name that replaces `base_url` in the keys of kept answers, so that they stay valid when the
    server moves to another address."""

    revision: str | None = None
    """The revision of the model, for provenance."""

    api_key_env: str = "OPENAI_API_KEY"
    """The environment variable that contains the key; the key itself is never written to a file."""

    concurrency: int = Field(64, ge=1)
    """The maximum number of open calls."""

    timeout_s: float = Field(600, gt=0)
    """The time limit of one call, including the connection."""

    retries: int = Field(6, ge=0)
    """Retries after a lost connection, a timeout, a server error or a malformed answer."""

    rate_retries: int = Field(30, ge=0)
    """Retries after answers with status 429, too many requests."""

    backoff_s: float = Field(0.5, ge=0)
    """The pause before the first retry; it doubles with each retry, up to a minute."""

    begin_of_text: str = "<s>"
    """The begin-of-text of raw prompts; it is removed, as the server adds it. Empty if the server
    adds none."""

    extra_body: dict[str, Any] = Field({})
    """Further fields of every request, such as `{add_special_tokens: false}`."""

    input_price: float = Field(0, ge=0)
    """The price of a million tokens, for the progress line."""

    output_price: float = Field(0, ge=0)

    @field_validator("base_url")
    @classmethod
    def _has_no_password(cls, url: str) -> str:
        if "@" in urlsplit(url).netloc:
            raise ValueError("it contains a password; put keys into an environment variable")
        return url
