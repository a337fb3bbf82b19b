"""Which language models have a name of their own, and where they are."""

from __future__ import annotations

from mmmodal.backbones.auto import AutoBackbone
from mmmodal.contracts import Backbone

__all__ = ["BACKBONES", "SOURCES"]

SOURCES = {
    # The paper's own models (§5.3), trained to 16k and 32k positions.
    "malaysian-mistral-7b-32k": "mesolitica/malaysian-mistral-7b-32k-instructions-v4",
    "malaysian-qwen1.5-0.5b-16k": "mesolitica/malaysian-Qwen1.5-0.5B-16k-instructions",
    "malaysian-tinyllama-1.1b-16k": "mesolitica/malaysian-tinyllama-1.1b-16k-instructions-v3",
    # The models they were made from.
    "mistral-7b": "mistralai/Mistral-7B-Instruct-v0.2",
    "qwen1.5-0.5b": "Qwen/Qwen1.5-0.5B-Chat",
    "tinyllama-1.1b": "TinyLlama/TinyLlama-1.1B-Chat-v1.0",
}
"""Names and their Hub repositories; any other model is `auto:HUB_ID`."""


def _preset(name: str, source: str) -> type[Backbone]:
    title = "".join(word.capitalize() for word in name.replace(".", "_").split("-"))
    return type(title, (AutoBackbone,), {"name": name, "source": source, "__doc__": f"{source}."})


BACKBONES: list[type[Backbone]] = [_preset(*item) for item in SOURCES.items()]
