"""How an answer ended: one word for what backends call by many."""

from __future__ import annotations

import re
from typing import Literal

__all__ = ["THOUGHT", "Ending", "ending_of"]

Ending = Literal["whole", "cut", "filtered", "tool", "broken", "thought", "other"]
"""whole: the model was done. cut: a limit of tokens. filtered: a filter of the provider. tool: the
model called a tool. broken: the server gave up. thought: within a thought. other: not known."""

THOUGHT = "thought"
"""The finish reason of an answer that ended within a thought."""

REASONS: dict[Ending, tuple[str, ...]] = {
    "whole": (
        *("stop", "stopped", "stop_sequence", "stop_token", "stop_string", "stop_word"),
        *("eos", "eos_token", "eot", "end", "end_turn", "end_of_text", "end_of_sequence"),
        *("complete", "completed", "done", "finish", "finished", "success"),
        *("unknown", "null", "none", ""),  # as of servers that give none
    ),
    "cut": (
        *("length", "max_length", "max_tokens", "max_new_tokens", "max_output_tokens"),
        *("max_completion_tokens", "model_length", "token_limit", "context_length"),
        *("context_length_exceeded", "model_context_window_exceeded", "incomplete", "truncated"),
    ),
    "filtered": (
        *("content_filter", "content_filtered", "filter", "safety", "image_safety", "recitation"),
        *("refusal", "blocklist", "prohibited_content", "spii", "language", "sensitive"),
        *("moderation", "guardrail_intervened", "error_toxic"),
    ),
    "tool": ("tool_call", "tool_calls", "tool_use", "function_call", "malformed_function_call"),
    "broken": (
        *("error", "abort", "aborted", "cancelled", "canceled", "timeout", "network_error"),
        *("server_error", "insufficient_system_resource", "error_limit"),
    ),
    "thought": (THOUGHT,),
}
"""The finish reasons of OpenAI, Azure, Anthropic, Gemini, Mistral, Cohere, Bedrock, DeepSeek,
Zhipu, Together, vLLM, TGI and llama.cpp, in lower case with underscores."""

ENDINGS = {reason: ending for ending, reasons in REASONS.items() for reason in reasons}


def ending_of(reason: str) -> Ending:
    """Return how an answer ended, by its finish reason in any spelling: `MAX_TOKENS`."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", reason)
    plain = re.sub(r"[^a-z0-9]+", "_", apart.lower()).strip("_")
    plain = re.sub(r"^(?:finish|stop)_reason_", "", plain)
    return ENDINGS.get(plain, "other")
