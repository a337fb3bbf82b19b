"""The settings of answers: which of transformers' generation settings act, and why others cannot.

`answer_settings` is the one place that turns what a user gives, in Python or on the command line,
into arguments of `generate`. A setting acts, or is refused by its name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, field_validator, model_validator
from transformers import GenerationConfig, SequenceBiasLogitsProcessor, WatermarkingConfig

from mmmodal.config import Config, validate
from mmmodal.errors import ConfigError, one_line

__all__ = ["REFUSED", "AnswerSettings", "answer_settings"]

WHERE = "settings of answers"
SAMPLING = (
    *("temperature", "top_k", "top_p", "min_p", "top_h", "typical_p", "epsilon_cutoff"),
    "eta_cutoff",
)
OF_BEAMS = ("early_stopping", "length_penalty")
OF_SCORES = {
    *("max_new_tokens", "stop_strings", "eos_token_id", "do_sample", *SAMPLING),
    *("repetition_penalty", "bad_words_ids", "suppress_tokens", "sequence_bias"),
    *("renormalize_logits", "remove_invalid_values"),
}
"""The settings that need no more than the scores of the next token and the tokens just before it,
wherever a prompt begins, and however an answer is divided into calls of `generate`."""

OF_A_FOLDER = {
    *("bos_token_id", "pad_token_id", "max_length", "use_cache"),
    *("transformers_version", "_from_model_config"),
}
"""What the generation config of a model's folder may hold besides these."""

NOT_PASSED = {"stop_strings", "stopping_criteria", "max_new_tokens", "do_sample"}

_DETAILS = "an answer is a text; call `model.generate` for more"
_CACHE = "a conversation keeps a cache of its own"
_TOKENS = "the tokenizer of the model has it"
_ENCODER = "it is for models that have an encoder and a decoder"
_ASSISTED = "another model, or a guess, cannot help here; call `model.generate`"
_REMOTE = "transformers would download code for it"
_INPUT = "it is computed from the conversation"
_COMPILE = "nothing is compiled here"

REFUSED: Mapping[str, str] = {
    "max_length": "it would count the prompt; give max_new_tokens",
    "min_length": "it would count the prompt; give min_new_tokens",
    "num_return_sequences": "a turn has one answer; call `model.generate` for several",
    **dict.fromkeys(("output_attentions", "output_hidden_states", "output_scores"), _DETAILS),
    **dict.fromkeys(("output_logits", "return_dict_in_generate"), _DETAILS),
    **dict.fromkeys(("cache_implementation", "cache_config", "max_cache_len"), _CACHE),
    **dict.fromkeys(("past_key_values",), _CACHE),
    **dict.fromkeys(("pad_token_id", "bos_token_id"), _TOKENS),
    **dict.fromkeys(("forced_bos_token_id", "decoder_start_token_id"), _ENCODER),
    "forced_eos_token_id": "an answer that was cut off would look complete",
    "token_healing": "it would change the prompt",
    "guidance_scale": "it would ask the model without the media; call `model.generate`",
    **dict.fromkeys(("is_assistant", "use_mtp", "num_assistant_tokens"), _ASSISTED),
    **dict.fromkeys(("num_assistant_tokens_schedule", "speculation_type"), _ASSISTED),
    **dict.fromkeys(("assistant_confidence_threshold", "assistant_early_exit"), _ASSISTED),
    **dict.fromkeys(("assistant_lookbehind", "target_lookbehind"), _ASSISTED),
    **dict.fromkeys(("assistant_ensemble_weight", "assistant_model"), _ASSISTED),
    **dict.fromkeys(("prompt_lookup_num_tokens", "max_matching_ngram_size"), _ASSISTED),
    **dict.fromkeys(("assistant_tokenizer",), _ASSISTED),
    **dict.fromkeys(("compile_config", "disable_compile"), _COMPILE),
    "continuous_batching_config": "it is for `model.generate_batch`",
    **dict.fromkeys(("low_memory", "penalty_alpha", "dola_layers"), _REMOTE),
    **dict.fromkeys(("diversity_penalty", "num_beam_groups", "constraints"), _REMOTE),
    **dict.fromkeys(("force_words_ids", "custom_generate"), _REMOTE),
    "transformers_version": "it is no setting",
    "streamer": "give `stream=` to `Chat.say`",
    **dict.fromkeys(("negative_prompt_ids", "negative_prompt_attention_mask"), _INPUT),
    **dict.fromkeys(("inputs", "input_ids", "inputs_embeds", "attention_mask"), _INPUT),
    **dict.fromkeys(("position_ids", "mm_encoder_outputs", "logits_to_keep"), _INPUT),
    "use_model_defaults": "the defaults of the model's folder always hold",
    "synced_gpus": "it is found by transformers",
}
"""Why a setting of transformers' `generate` is refused, by its name."""

NEUTRAL = {"num_return_sequences": 1, "num_beam_groups": 1, "guidance_scale": 1}

Id = Annotated[int, Field(ge=0)]
Words = Annotated[list[Id], Field(min_length=1)]


class AnswerSettings(Config):
    """What acts on answers; a setting that is not given is that of the model's folder."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    max_new_tokens: int = Field(512, gt=0)
    min_new_tokens: int | None = Field(None, ge=0)
    max_time: float | None = Field(None, gt=0)
    stop_strings: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    eos_token_id: Id | list[Id] | None = None
    do_sample: bool | None = None
    temperature: float | None = Field(None, ge=0)
    top_k: int | None = Field(None, ge=0)
    top_p: float | None = Field(None, ge=0, le=1)
    min_p: float | None = Field(None, ge=0, le=1)
    top_h: float | None = Field(None, gt=0, le=1)
    typical_p: float | None = Field(None, gt=0, le=1)
    epsilon_cutoff: float | None = Field(None, ge=0, lt=1)
    eta_cutoff: float | None = Field(None, ge=0, lt=1)
    num_beams: int = Field(1, ge=1)
    early_stopping: bool | Literal["never"] | None = None
    length_penalty: float | None = None
    repetition_penalty: float | None = Field(None, gt=0)
    encoder_repetition_penalty: float | None = Field(None, gt=0)
    no_repeat_ngram_size: int | None = Field(None, ge=0)
    encoder_no_repeat_ngram_size: int | None = Field(None, ge=0)
    bad_words_ids: Annotated[list[Words], Field(min_length=1)] | None = None
    suppress_tokens: list[Id] | None = None
    begin_suppress_tokens: list[Id] | None = None
    sequence_bias: Any = None
    exponential_decay_length_penalty: tuple[Id, float] | None = None
    renormalize_logits: bool | None = None
    remove_invalid_values: bool | None = None
    watermarking_config: Any = None
    use_cache: bool | None = None
    prefill_chunk_size: int | None = Field(None, gt=0)
    logits_processor: Sequence[Any] = ()
    stopping_criteria: Sequence[Any] = ()
    prefix_allowed_tokens_fn: Any = None

    @field_validator("stop_strings", mode="before")
    @classmethod
    def _one_or_several(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @field_validator("sequence_bias")
    @classmethod
    def _biases(cls, value: Any) -> Any:
        if value is not None:
            SequenceBiasLogitsProcessor(value)  # raises a ValueError that says what is wrong
        return value

    @field_validator("watermarking_config", mode="before")
    @classmethod
    def _watermark(cls, value: Any) -> Any:
        try:
            found = WatermarkingConfig(**value) if isinstance(value, dict) else value
            if found is not None:
                found.validate()
        except (TypeError, AttributeError) as error:
            raise ValueError(one_line(error)) from None
        return found

    @model_validator(mode="after")
    def _agree(self) -> AnswerSettings:
        given = [name for name in SAMPLING if getattr(self, name) is not None]
        if self.do_sample is False and self.temperature != 0 and given:
            raise ValueError(f"{given[0]} acts on sampling, but do_sample is False; leave out one")
        if self.do_sample and self.temperature == 0:
            raise ValueError("a temperature of 0 is not sampling, but do_sample is True")
        if self.min_new_tokens and self.min_new_tokens > self.max_new_tokens:
            raise ValueError("min_new_tokens is larger than max_new_tokens")
        for name in OF_BEAMS:
            if getattr(self, name) is not None and self.num_beams == 1:
                raise ValueError(f"{name} acts on a beam search; give num_beams above 1 too")
        return self

    @property
    def samples(self) -> bool:
        """Whether tokens are drawn; otherwise the most probable one is selected."""
        if self.do_sample is not None or self.temperature == 0:
            return bool(self.do_sample)
        return any(getattr(self, name) is not None for name in SAMPLING)

    def acts_on_scores(self, defaults: GenerationConfig) -> bool:
        """Return whether these settings, and the model's defaults, act on scores alone."""
        given = {name for name in self.model_fields_set if getattr(self, name) is not None}
        saved = {name for name, value in defaults.to_diff_dict().items() if value}
        harmless = saved - OF_A_FOLDER <= OF_SCORES and defaults.use_cache is not False
        return harmless and given <= OF_SCORES

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of `generate`, except for what stops it."""
        given = {name: getattr(self, name) for name in self.model_fields_set - NOT_PASSED}
        left_out = () if self.samples else SAMPLING
        kept = {name: value for name, value in given.items() if name not in left_out}
        return {**kept, "max_new_tokens": self.max_new_tokens, "do_sample": self.samples}

    def ids(self) -> list[int]:
        """Return the token ids in the settings."""
        ends = self.eos_token_id if isinstance(self.eos_token_id, list) else [self.eos_token_id]
        words = [id_ for word in self.bad_words_ids or [] for id_ in word]
        listed = [*(self.suppress_tokens or []), *(self.begin_suppress_tokens or [])]
        return [id_ for id_ in (*ends, *words, *listed) if id_ is not None]


def answer_settings(given: Mapping[str, Any], model: Any) -> AnswerSettings:
    """Return the settings of answers of a model.

    Args:
        given: transformers' generation settings by name; None stands for one that is not given.
            `generation_config` holds further ones.
        model: the composed model, with its processor.

    Raises:
        ConfigError: a setting is unknown, cannot act, or has an impossible value; lists all.
    """
    values = {**_listed(given.get("generation_config")), **given}
    values = {name: value for name, value in values.items() if value is not None}
    values.pop("generation_config", None)
    # transformers asks for it with stop strings.
    if values.pop("tokenizer", tokenizer := model.processor.tokenizer) is not tokenizer:
        raise ConfigError(WHERE, ["'tokenizer' is another one than the model's"])
    problems = []
    for name in [name for name in values if name not in AnswerSettings.model_fields]:
        if reason := _refusal(name, values[name]):
            problems.append(f"{name!r} cannot act: {reason}")
        if reason is not None:
            del values[name]
    if problems:
        raise ConfigError(WHERE, problems)
    settings = validate(AnswerSettings, values, WHERE)
    size = model.config.text_config.vocab_size
    if beyond := [id_ for id_ in settings.ids() if id_ >= size]:
        raise ConfigError(WHERE, [f"there is no token {beyond[0]}; the vocabulary has {size:,}"])
    return settings


def _listed(config: Any) -> dict[str, Any]:
    """Return the settings of a GenerationConfig that differ from its defaults."""
    if config is None:
        return {}
    if not isinstance(config, GenerationConfig):
        raise ConfigError(WHERE, [f"'generation_config' is no GenerationConfig: {config!r:.80}"])
    changed = config.to_diff_dict()
    return {name: getattr(config, name) for name in changed if name != "transformers_version"}


def _refusal(name: str, value: Any) -> str | None:
    """Return why a setting is refused, "" if its value changes nothing; None if it is unknown."""
    if name in REFUSED:
        return "" if value is False or value == NEUTRAL.get(name, ()) else REFUSED[name]
    if name in vars(GenerationConfig()):
        return "this release does not know it; call `model.generate`"
    return None
