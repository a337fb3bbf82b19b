"""Any decoder-only language model of transformers, by Hub id or folder."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, TypeVar

from pydantic import Field, StringConstraints

from mmmodal.config import Config
from mmmodal.contracts import Backbone
from mmmodal.downloads import hub_files
from mmmodal.errors import PartError, is_debugging
from mmmodal.pretrained import damaged_file
from mmmodal.utf8 import NotUtf8Error, read_text

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

__all__ = ["AutoBackbone", "AutoOptions", "with_variables"]

T = TypeVar("T")

MEDIA_PARTS = ("text_config", "vision_config", "audio_config", "vq_config", "audio_encoder_config")
"""The configs in that of a model with parts that read media."""

WEIGHTS = ("model.safetensors", "model-*.safetensors")


class AutoOptions(Config):
    """The options of a language model: its chat template, and the loss of its experts."""

    chat_template: Path | None = None
    """A Jinja file that replaces the tokenizer's own chat template."""

    template_variables: dict[
        Annotated[str, StringConstraints(pattern=r"^[A-Za-z_]\w*$")], bool | int | float | str
    ] = Field(default_factory=dict)
    """Variables of the chat template, besides the messages: `{enable_thinking: false}`."""

    router_loss: bool | None = None
    """Whether training adds the loss that balances a mixture of experts; None: as its config.json
    says in `output_router_logits`."""


class AutoBackbone(Backbone):
    """A language model loaded with transformers' Auto classes, never with remote code."""

    name: ClassVar[str] = "auto"
    Options: ClassVar[type[Config]] = AutoOptions

    def config(self, source: str) -> PreTrainedConfig:
        """Return the config; raise a PartError if it is not that of a causal language model."""
        from transformers import AutoConfig
        from transformers.models.auto.modeling_auto import (
            MODEL_FOR_CAUSAL_LM_MAPPING,
            MODEL_FOR_MASKED_LM_MAPPING,
        )

        from mmmodal.model.distrust import forget_decisions

        config: PreTrainedConfig = _ask(
            source, lambda: AutoConfig.from_pretrained(source, trust_remote_code=False)
        )
        if getattr(config, "is_encoder_decoder", False):
            raise PartError(f"{source} is an encoder-decoder model; a backbone is decoder-only")
        masked = type(config) in MODEL_FOR_MASKED_LM_MAPPING
        if masked and getattr(config, "is_decoder", None) is False:
            raise PartError(
                f"{source} is a {config.model_type!r} encoder with bidirectional attention; "
                "a backbone needs causal attention"
            )
        if config.model_type == "mmmodal":
            raise PartError(f"{source} is a composed model already; extend it with --from {source}")
        if type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING:
            raise PartError(
                f"{source} is a {config.model_type!r} model; transformers has no causal language "
                "model of that type"
            )
        if _keeps_media(config):
            raise PartError(
                f"{source} is a {config.model_type!r} model, which reads media itself; a backbone "
                "reads text alone, so take the language model of that family"
            )
        if getattr(config, "quantization_config", None) is not None:
            raise PartError(
                f"the weights of {source} are quantized; compose with the original weights, and "
                "quantize the composed model when you load it"
            )
        forget_decisions(config)
        self._set_router_loss(source, config)
        return config

    def _set_router_loss(self, source: str, config: PreTrainedConfig) -> None:
        text: Any = config.get_text_config()
        if self.options.router_loss is None:
            return
        if not hasattr(text, "output_router_logits"):
            raise PartError(f"{source} has no experts to balance; leave out router_loss")
        text.output_router_logits = self.options.router_loss

    def tokenizer(self, source: str) -> PreTrainedTokenizerBase:
        """Return the tokenizer; without a padding token it pads with the end token."""
        from transformers import AutoTokenizer

        tokenizer: PreTrainedTokenizerBase = _ask(
            source, lambda: AutoTokenizer.from_pretrained(source, trust_remote_code=False)
        )
        if tokenizer.eos_token is None:
            raise PartError(
                f"the tokenizer of {source} has no end token, so generation cannot stop; set "
                "eos_token in tokenizer_config.json"
            )
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token
        self._set_template(tokenizer)
        return tokenizer

    def _set_template(self, tokenizer: PreTrainedTokenizerBase) -> None:
        """Apply the options; of several templates, use the default one."""
        options = self.options
        if options.chat_template is not None:
            tokenizer.chat_template = _read_template(options.chat_template)
        elif isinstance(tokenizer.chat_template, dict):
            tokenizer.chat_template = tokenizer.get_chat_template()
        if options.template_variables and tokenizer.chat_template:
            tokenizer.chat_template = with_variables(
                tokenizer.chat_template, options.template_variables
            )

    def load(self, source: str, dtype: Any) -> PreTrainedModel:
        """Return the model with all weights, from safetensors only.

        Raises:
            PartError: weights are missing or damaged.
        """
        from transformers import AutoModelForCausalLM

        from mmmodal.model.restoring import missing_weights

        settings = {
            "config": self.config(source),  # without settings that a source must not decide
            "dtype": dtype,
            "use_safetensors": True,
            "trust_remote_code": False,
            "output_loading_info": True,
        }
        loaded: Any = _ask(source, lambda: AutoModelForCausalLM.from_pretrained(source, **settings))
        model: PreTrainedModel = loaded[0]
        # transformers initialises missing weights at random.
        if missing := missing_weights(loaded[1]):
            others = f" and {len(missing) - 1} others" if len(missing) > 1 else ""
            raise PartError(f"{source}: the weights of {missing[0]!r}{others} are missing")
        return model

    def download_size(self, source: str) -> list[tuple[str, int]] | None:
        """Return the files that would be downloaded, as (file, bytes)."""
        return hub_files(source, (*WEIGHTS, "*.json", "*.jinja", "*.model", "*.txt"))


def _keeps_media(config: PreTrainedConfig) -> bool:
    """Return whether transformers loads the parts of a config that read media.

    Of some such configs (Qwen 3.5) it loads the language model alone.
    """
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

    kind: Any = MODEL_FOR_CAUSAL_LM_MAPPING[type(config)]
    parts = config.sub_configs
    return kind.config_class is not parts.get("text_config") and any(map(parts.get, MEDIA_PARTS))


def with_variables(template: str, values: Mapping[str, bool | int | float | str]) -> str:
    """Return a chat template that sets variables itself, overriding those of a call.

    The values are then part of the checkpoint, for every program that reads it.
    """
    lines = [f"{{% set {name} = {json.dumps(value)} +%}}" for name, value in values.items()]
    return "".join([*lines, template])


def _read_template(path: Path) -> str:
    try:
        return read_text(path)
    except NotUtf8Error as error:
        raise PartError(f"the chat template {path}: {error}; save it as UTF-8") from None
    except OSError as error:
        raise PartError(
            f"the chat template {path} cannot be read ({type(error).__name__})"
        ) from None


def _ask(source: str, call: Callable[[], T]) -> T:
    """Return the result of a call of transformers; an error names the source and its problem."""
    if not source:
        raise PartError("backbone 'auto' needs a source: `auto:FOLDER` or `auto:HUB_ID`")
    try:
        return call()
    except PartError:
        raise
    except Exception as error:  # safetensors and tokenizers have their own error classes
        if is_debugging():
            raise
        if damaged := damaged_file(_files(source)):
            state = "is damaged" if damaged.is_file() else "is missing"
            raise PartError(f"{source}: {damaged} {state}; copy or download it again") from None
        if Path(source).is_dir():
            found = ", ".join(sorted(os.listdir(source))[:8]) or "nothing"
            wanted = "config.json, tokenizer.json and *.safetensors"
            reason = f"it is a folder that holds {found}; expected {wanted}"
        else:
            reason = "there is no such folder, and no such model was found on the Hub"
        line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise PartError(
            f"language model {source!r} cannot be loaded: {reason} ({line[:160]})"
        ) from None


def _files(source: str) -> Path:
    """Return the folder of a source; that of a Hub id is in the cache."""
    from huggingface_hub import try_to_load_from_cache

    if Path(source).is_dir():
        return Path(source)
    cached = try_to_load_from_cache(source, "config.json") if source.count("/") == 1 else None
    return Path(cached).parent if isinstance(cached, str) else Path(source)
