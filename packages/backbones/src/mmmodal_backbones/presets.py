"""The language models with a name: a table, and a backbone class for each."""

from __future__ import annotations

from mmmodal.authoring.parts import Backbone, BackboneCard
from mmmodal.authoring.pretrained import AutoBackbone

__all__ = ["BACKBONES", "PRESETS"]

PRESETS = (
    # The paper's own models (§5.3), trained to 16k and 32k positions; licences not confirmed.
    (
        "malaysian-mistral-7b-32k",
        "mesolitica/malaysian-mistral-7b-32k-instructions-v4",
        7_241_732_096,
        32_768,
        None,
    ),
    (
        "malaysian-qwen1.5-0.5b-16k",
        "mesolitica/malaysian-Qwen1.5-0.5B-16k-instructions",
        463_987_712,
        16_384,
        None,
    ),
    (
        "malaysian-tinyllama-1.1b-16k",
        "mesolitica/malaysian-tinyllama-1.1b-16k-instructions-v3",
        1_100_048_384,
        16_384,
        None,
    ),
    # The models from which they were trained.
    ("mistral-7b", "mistralai/Mistral-7B-Instruct-v0.2", 7_241_732_096, 32_768, "Apache-2.0"),
    ("qwen1.5-0.5b", "Qwen/Qwen1.5-0.5B-Chat", 463_987_712, 32_768, "tongyi-qianwen-research"),
    ("tinyllama-1.1b", "TinyLlama/TinyLlama-1.1B-Chat-v1.0", 1_100_048_384, 2_048, "Apache-2.0"),
    # Models in common use.
    ("gemma-2-2b", "google/gemma-2-2b-it", 2_614_341_888, 8_192, "gemma"),
    ("gemma-2-9b", "google/gemma-2-9b-it", 9_241_705_984, 8_192, "gemma"),
    ("gemma-3-1b", "google/gemma-3-1b-it", 999_885_952, 32_768, "gemma"),
    ("granite-3.3-2b", "ibm-granite/granite-3.3-2b-instruct", 2_533_539_840, 131_072, "Apache-2.0"),
    ("granite-3.3-8b", "ibm-granite/granite-3.3-8b-instruct", 8_170_864_640, 131_072, "Apache-2.0"),
    ("llama-3.1-8b", "meta-llama/Llama-3.1-8B-Instruct", 8_030_261_248, 131_072, "llama3.1"),
    ("llama-3.2-1b", "meta-llama/Llama-3.2-1B-Instruct", 1_235_814_400, 131_072, "llama3.2"),
    ("llama-3.2-3b", "meta-llama/Llama-3.2-3B-Instruct", 3_212_749_824, 131_072, "llama3.2"),
    ("mistral-7b-v0.1", "mistralai/Mistral-7B-Instruct-v0.1", 7_241_732_096, 32_768, "Apache-2.0"),
    ("mistral-7b-v0.3", "mistralai/Mistral-7B-Instruct-v0.3", 7_248_023_552, 32_768, "Apache-2.0"),
    ("phi-3.5-mini", "microsoft/Phi-3.5-mini-instruct", 3_821_079_552, 131_072, "MIT"),
    ("phi-4-mini", "microsoft/Phi-4-mini-instruct", 3_836_021_760, 131_072, "MIT"),
    ("qwen2.5-0.5b", "Qwen/Qwen2.5-0.5B-Instruct", 494_032_768, 32_768, "Apache-2.0"),
    ("qwen2.5-1.5b", "Qwen/Qwen2.5-1.5B-Instruct", 1_543_714_304, 32_768, "Apache-2.0"),
    ("qwen2.5-3b", "Qwen/Qwen2.5-3B-Instruct", 3_085_938_688, 32_768, "qwen-research"),
    ("qwen2.5-7b", "Qwen/Qwen2.5-7B-Instruct", 7_615_616_512, 32_768, "Apache-2.0"),
    ("qwen3-0.6b", "Qwen/Qwen3-0.6B", 596_049_920, 40_960, "Apache-2.0"),
    ("qwen3-1.7b", "Qwen/Qwen3-1.7B", 1_720_574_976, 40_960, "Apache-2.0"),
    ("qwen3-4b", "Qwen/Qwen3-4B", 4_022_468_096, 40_960, "Apache-2.0"),
    ("qwen3-8b", "Qwen/Qwen3-8B", 8_190_735_360, 40_960, "Apache-2.0"),
    ("smollm2-135m", "HuggingFaceTB/SmolLM2-135M-Instruct", 134_515_008, 8_192, "Apache-2.0"),
    ("smollm2-360m", "HuggingFaceTB/SmolLM2-360M-Instruct", 361_821_120, 8_192, "Apache-2.0"),
    ("smollm2-1.7b", "HuggingFaceTB/SmolLM2-1.7B-Instruct", 1_711_376_384, 8_192, "Apache-2.0"),
    ("smollm3-3b", "HuggingFaceTB/SmolLM3-3B", 3_075_098_624, 65_536, "Apache-2.0"),
)
"""The name, Hub repository, parameters, positions and licence; other models are `auto:HUB_ID`."""


def _preset(
    name: str, source: str, parameters: int, positions: int, licence: str | None
) -> type[Backbone]:
    title = "".join(word.capitalize() for word in name.replace(".", "_").split("-"))
    members = {
        "name": name,
        "source": source,
        "card": BackboneCard(parameters, positions, licence),
        "__doc__": f"{source}.",
        "__module__": __name__,
    }
    return type(title, (AutoBackbone,), members)


BACKBONES: list[type[Backbone]] = [_preset(*row) for row in PRESETS]
