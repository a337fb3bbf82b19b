"""What lmms-eval registers. It drops the models of all packages if one of them fails here."""

from __future__ import annotations

from lmms_eval.models.registry_v2 import ModelManifest

from mmmodal_lmms_eval.arguments import MODEL_ID

__all__ = ["MANIFEST"]

MANIFEST = ModelManifest(
    MODEL_ID,
    chat_class_path="mmmodal_lmms_eval.model.ChatModel",
    simple_class_path="mmmodal_lmms_eval.model.SimpleModel",
)
"""The model `mmmodal`; lmms-eval takes its simple class with `--force_simple`."""
