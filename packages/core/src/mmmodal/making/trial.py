"""Try whether a causal language model can be a backbone, before anything is composed with it.

What a class needs besides embeddings is seen by running it, not by a list of names: transformers
has some 190 of them, and each version adds more. B rows, T tokens, V rows of the vocabulary.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from transformers.models.auto.modeling_auto import MODEL_MAPPING

from mmmodal.errors import MMModalError, PartError, is_debugging, one_line
from mmmodal.model.modeling import MMModalForConditionalGeneration

if TYPE_CHECKING:
    from transformers import PreTrainedModel

__all__ = ["check_decoder", "check_head", "check_rebuilt", "naming_obstacle", "try_backbone"]

READS_IDS = "it reads the ids of tokens besides their embeddings, and media have none"

TOKENS, PADDING = 4, 3
ROUNDING = 16
"""Tolerance between logits that are equal but for rounding, in units of their precision."""

CHANGED = 0.05
"""The relative difference of logits that were computed in another way: padding was read."""


@contextlib.contextmanager
def naming_obstacle(causal: PreTrainedModel, obstacle: str = "it does not run") -> Iterator[None]:
    """Raise errors of a language model's own code inside as one that names its class."""
    try:
        yield
    except MMModalError:
        raise
    except Exception as error:  # any code of any class
        if is_debugging():
            raise
        said = f"{type(error).__name__}: {one_line(error, 120)}"
        raise _refused(causal, f"{obstacle} ({said})") from None


def check_head(causal: PreTrainedModel, decoder: PreTrainedModel) -> None:
    """Check that the head of a language model is one linear layer, with operations without weights.

    Raises:
        PartError: it has other weights, which a composed model has no place for.
    """
    kept = {id(p) for part in (decoder, causal.get_output_embeddings()) for p in part.parameters()}
    for name, parameter in causal.named_parameters():
        if id(parameter) not in kept:
            raise _refused(causal, f"its head has more weights than one linear layer ({name})")


def check_decoder(causal: PreTrainedModel, decoder: PreTrainedModel) -> None:
    """Check that transformers builds the decoder of a language model from its config alone.

    Raises:
        PartError: it builds something else, as for the decoder of an encoder-decoder.
    """
    config = type(causal.config)
    usual: Any = MODEL_MAPPING.get(config, None)
    if type(decoder) is not usual:
        makes = "nothing" if usual is None else f"a {usual.__name__}"
        raise _refused(
            causal,
            "it is a part of a larger model, as the decoder of an encoder-decoder is: transformers "
            f"makes {makes} of its config, not the {type(decoder).__name__} that it runs",
        )


@torch.no_grad()
def try_backbone(causal: PreTrainedModel, model: MMModalForConditionalGeneration) -> None:
    """Check that a composed model without modalities computes what its language model does.

    Its config then says whether padding in front changes what follows.

    Raises:
        PartError: the language model reads more than embeddings, or attends to later tokens.
    """
    causal.eval()
    model.eval()
    embeddings: Any = causal.get_input_embeddings()
    ids = torch.arange(2 * TOKENS).view(2, TOKENS) + embeddings.num_embeddings // 2  # words
    ids[1, :-1] = ids[0, :-1]  # two rows that differ in their last token
    words = embeddings(ids)  # [2, T, D]
    expected: Tensor = causal(input_ids=ids, use_cache=False).logits  # [2, T, V]
    if not _equal(expected[0, :-1], expected[1, :-1]):
        raise _refused(causal, "its tokens attend to later ones; a backbone needs causal attention")
    with naming_obstacle(causal, READS_IDS):
        found = model(inputs_embeds=words.clone()).logits  # CTRL scales its input in place
        model(inputs_embeds=words[:1, :1].roll(1, -1))  # like a feature: of no token
    if not _equal(found, expected):
        raise _refused(causal, READS_IDS)
    model.config.reads_padding = _distance(_padded(model, words[:1]), expected[0, -1]) > CHANGED


def _padded(model: MMModalForConditionalGeneration, words: Tensor) -> Tensor:
    """Return the logits [V] behind embeddings [1, T, D] with padding in front."""
    mask = torch.ones(1, PADDING + TOKENS, dtype=torch.long)
    mask[:, :PADDING] = 0
    places = (mask.cumsum(-1) - 1).clamp_min(0)
    padded = torch.cat([words[:, :1].expand(-1, PADDING, -1), words], 1)
    output = model(inputs_embeds=padded, attention_mask=mask, position_ids=places)
    logits: Tensor = output.logits[0, -1]
    return logits


def check_rebuilt(model: MMModalForConditionalGeneration) -> None:
    """Check that the config of a composed model describes its weights, so that it can be loaded.

    Raises:
        PartError: it does not.
    """
    with torch.device("meta"):
        rebuilt = MMModalForConditionalGeneration(model.config)
    shapes = {name: value.shape for name, value in rebuilt.state_dict().items()}
    for name, value in model.state_dict().items():
        if shapes.get(name) != value.shape:
            language_model: Any = model.get_decoder()
            raise PartError(
                f"{type(language_model).__name__} cannot be a backbone: {name} has the shape "
                f"{tuple(value.shape)}, and its config does not say so"
            )


def _equal(one: Tensor, other: Tensor) -> bool:
    return _distance(one, other) < ROUNDING * torch.finfo(one.dtype).eps  # not if it is NaN


def _distance(one: Tensor, other: Tensor) -> float:
    return float((one.float() - other.float()).norm() / other.float().norm().clamp_min(1e-30))


def _refused(causal: PreTrainedModel, reason: str) -> PartError:
    return PartError(f"{type(causal).__name__} cannot be a backbone: {reason}")
