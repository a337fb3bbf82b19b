"""Register the composed model with transformers' Auto classes. Importing this loads torch.

`python -m mmmodal.auto ARGUMENTS` is the command `transformers ARGUMENTS` with this registration:
`python -m mmmodal.auto serve` serves composed models.
"""

from __future__ import annotations

import sys

from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoModelForMultimodalLM,
    AutoProcessor,
)
from transformers.models.auto import modeling_auto

from mmmodal.model.configuration import MMModalConfig, MMModalEncoderConfig
from mmmodal.model.modeling import MMModalForConditionalGeneration, MMModalModel
from mmmodal.model.processing import MMModalProcessor

__all__ = [
    "MMModalConfig",
    "MMModalEncoderConfig",
    "MMModalForConditionalGeneration",
    "MMModalModel",
    "MMModalProcessor",
]

AutoConfig.register("mmmodal", MMModalConfig, exist_ok=True)
AutoConfig.register("mmmodal_encoder", MMModalEncoderConfig, exist_ok=True)
AutoModel.register(MMModalConfig, MMModalModel, exist_ok=True)
AutoModelForCausalLM.register(MMModalConfig, MMModalForConditionalGeneration, exist_ok=True)
AutoModelForMultimodalLM.register(MMModalConfig, MMModalForConditionalGeneration, exist_ok=True)
AutoModelForImageTextToText.register(MMModalConfig, MMModalForConditionalGeneration, exist_ok=True)
AutoProcessor.register(MMModalConfig, MMModalProcessor, exist_ok=True)
# TRL looks up the class that config.json names on the module transformers. That module is replaced
# while it is imported, and others may hold the first one: the attribute is of the type of both.
setattr(  # noqa: B010 - unknown to the type
    type(sys.modules["transformers"]),
    "MMModalForConditionalGeneration",
    MMModalForConditionalGeneration,
)
# Pipelines and `transformers serve` find the class by name in this static list.
modeling_auto.MODEL_FOR_MULTIMODAL_LM_MAPPING_NAMES["mmmodal"] = "MMModalForConditionalGeneration"
# The Trainer shifts the labels of label smoothing for the classes in this one only.
modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES["mmmodal"] = "MMModalForConditionalGeneration"

if __name__ == "__main__":
    from transformers.cli.transformers import main

    main()
