"""Train the SigLIP part: two towers, the sigmoid loss, and an auxiliary loss on patches.

The auxiliary loss predicts the colour and the shape that cover each patch from its features.
SigLIP 2 (arXiv:2502.14786) has dense auxiliary losses for the same reason: alone, the sigmoid loss
learns colours, then places, and shapes very late. The heads of this loss are not saved. Some
pictures have shapes in colours without a name; they are used only in the loss on shapes, so that a
shape is recognised in colours that it never had in training.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmmodal_playground.build.fitting import Log, fit
from mmmodal_playground.build.tokenizing import train_tokenizer
from mmmodal_playground.scenes import (
    PLACES,
    Colour,
    Scene,
    any_scene,
    draw_scene,
    pair_scene,
    single_scene,
)
from mmmodal_playground.things import COLOURS, HELD_OUT, SHAPES, TALKS, THINGS, Split, Thing

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedTokenizerFast, SiglipImageProcessor, SiglipModel

__all__ = [
    "GRID",
    "encode",
    "image_processor",
    "new_model",
    "pixels",
    "scenes_apart",
    "text_tokenizer",
    "train",
]

IMAGE, PATCH = 64, 16  # pixels
GRID = IMAGE // PATCH  # patches along a side
IGNORED = -100
WIDTH, TEXT_LENGTH = 128, 20
POOL = 24_000  # scenes that are drawn, each used many times
PLAIN = 12_000  # scenes in colours without a name
BATCH = {"groups": 56, "plain": 64}
GROUP = 4  # a scene and three slightly different ones: hard negatives


def scenes_apart(split: Split, number: int, seed: int) -> list[Scene]:
    """Return scenes with pairwise different descriptions."""
    chance, found = random.Random(seed), dict[str, Scene]()
    while len(found) < number:
        scene = any_scene(split, chance)
        found.setdefault(scene.describe(TALKS["en"]), scene)
    return list(found.values())


def text_tokenizer() -> PreTrainedTokenizerFast:
    """Return the tokenizer of the text tower, with the words of all descriptions."""
    words = [
        talk.placed.format(one=talk.mention(thing), place=talk.words[place])
        for talk in TALKS.values()
        for thing in THINGS
        for place in PLACES
    ]
    joined = [talk.both.format(a=words[0], b=words[-1]) for talk in TALKS.values()]
    return train_tokenizer(
        [*words, *joined, *(talk.mention(thing) for talk in TALKS.values() for thing in THINGS)],
        {"pad_token": "</s>", "eos_token": "</s>"},
        ends=True,
        model_max_length=TEXT_LENGTH,
    )


def image_processor() -> SiglipImageProcessor:
    """Return SigLIP's preprocessing, for the tower's size."""
    from transformers import SiglipImageProcessor

    return SiglipImageProcessor(size={"height": IMAGE, "width": IMAGE})


def new_model(vocabulary: int, end: int) -> SiglipModel:
    """Return the model with random weights."""
    import torch
    from transformers import SiglipConfig, SiglipModel

    size = {"hidden_size": WIDTH, "intermediate_size": 4 * WIDTH, "num_attention_heads": 4}
    text = {"vocab_size": vocabulary, "max_position_embeddings": TEXT_LENGTH}
    ends = {"bos_token_id": end, "eos_token_id": end, "pad_token_id": end}
    config = SiglipConfig(
        text_config={**size, **text, **ends, "num_hidden_layers": 2},
        vision_config={**size, "image_size": IMAGE, "patch_size": PATCH, "num_hidden_layers": 4},
    )
    model = SiglipModel(config)
    with torch.no_grad():  # the initial bias of the SigLIP paper: no pair matches
        model.logit_scale.fill_(math.log(10))
        model.logit_bias.fill_(-10)
    return model


def train(folder: Path, *, seed: int, steps: int, log: Log) -> None:
    """Write the trained model, its image processor and its tokenizer to `folder`."""
    import torch

    torch.manual_seed(seed)
    tokenizer = text_tokenizer()
    model = new_model(len(tokenizer), tokenizer.eos_token_id)
    heads = torch.nn.ModuleList(
        torch.nn.Linear(WIDTH, 1 + len(kinds)) for kinds in (COLOURS, SHAPES)
    )
    batches = _Batches(tokenizer, seed, log)

    def loss(step: int) -> dict[str, Tensor]:
        pixels, ids, same, *covers = batches.next()
        seen = model.vision_model(pixel_values=pixels, output_hidden_states=True)
        named = seen.pooler_output[: len(ids)]  # plain pictures follow, without a text
        said = model.text_model(input_ids=ids).pooler_output
        patches = seen.hidden_states[-2]
        side = [
            torch.nn.functional.cross_entropy(head(patches).flatten(0, 1), cover.flatten())
            for head, cover in zip(heads, covers, strict=True)
        ]
        return {
            "sigmoid": _sigmoid_loss(model, named, said, same),
            "colours": side[0],
            "shapes": side[1],
        }

    parameters = [*model.parameters(), *heads.parameters()]
    fit("vision", parameters, loss, steps=steps, learning_rate=1e-3, log=log)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    image_processor().save_pretrained(folder)


def _sigmoid_loss(model: SiglipModel, seen: Tensor, said: Tensor, same: Tensor) -> Tensor:
    """Return the loss of matching pictures and texts [B, B] (arXiv:2303.15343)."""
    import torch

    seen, said = (torch.nn.functional.normalize(x, dim=-1) for x in (seen, said))
    logits = seen @ said.T * model.logit_scale.exp() + model.logit_bias  # [B, B]
    signs = 2 * same.float() - 1
    return -torch.nn.functional.logsigmoid(signs * logits).sum(-1).mean()


class _Batches:
    """Drawn scenes in groups of hard negatives, in varying order and language."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, seed: int, log: Log) -> None:
        import torch

        self.chance = chance = random.Random(seed)
        scenes = [scene for _ in range(POOL // GROUP) for scene in _group(chance)]
        plain = [any_scene("train", chance) for _ in range(PLAIN)]
        log(f"vision: drawing {len(scenes)} scenes, and {len(plain)} in other colours")
        drawn = [_drawn(scene) for scene in scenes]
        drawn += [_drawn(scene, [_nameless(chance) for _ in scene.shapes]) for scene in plain]
        self.pixels = torch.stack(drawn)  # uint8 [n, 3, H, W]
        self.texts = torch.stack(
            [encode(tokenizer, [s.describe(talk) for s in scenes]) for talk in TALKS.values()]
        )  # [languages, n, T]
        names: dict[str, int] = {}
        meanings = [names.setdefault(s.describe(TALKS["en"]), len(names)) for s in scenes]
        self.meanings = torch.tensor(meanings)
        self.colours, self.shapes = (
            torch.tensor([_cover(scene)[kind] for scene in (*scenes, *plain)]) for kind in range(2)
        )
        self.colours[len(scenes) :] = IGNORED
        self.groups = self._endlessly(range(len(scenes) // GROUP))
        self.plain = self._endlessly(range(len(scenes), len(scenes) + len(plain)))

    def _endlessly(self, numbers: Iterable[int]) -> Iterator[int]:
        order = list(numbers)
        while True:
            self.chance.shuffle(order)
            yield from order

    def next(self) -> tuple[Tensor, ...]:
        """Return pixels; for those with a text its ids, and which texts match [B, B].

        The colours and shapes that cover each patch of all pictures follow.
        """
        import torch

        chosen = [
            next(self.groups) * GROUP + i for _ in range(BATCH["groups"]) for i in range(GROUP)
        ]
        index = torch.tensor(chosen)
        languages = torch.tensor([self.chance.randrange(len(TALKS)) for _ in chosen])
        meanings = self.meanings[index]
        all_of_them = torch.tensor([*chosen, *(next(self.plain) for _ in range(BATCH["plain"]))])
        pixels = self.pixels[all_of_them].float() / 127.5 - 1
        return (
            pixels + 0.05 * torch.randn_like(pixels),
            self.texts[languages, index],
            meanings[:, None] == meanings,
            self.colours[all_of_them],
            self.shapes[all_of_them],
        )


def _nameless(chance: random.Random) -> Colour:
    """Return a colour far from white and from all colours with a name."""
    while True:
        red, green, blue = (chance.randint(0, 230) for _ in range(3))
        nearest = min(math.dist((red, green, blue), known) for known in COLOURS.values())
        if nearest > 60:
            return red, green, blue


def _group(chance: random.Random) -> list[Scene]:
    """Return a scene, and others that differ from it in a colour, a shape or the places."""
    first = any_scene("train", chance)
    group = [first]
    while len(group) < GROUP:
        a, *rest = first.things
        changed = [_change(a, chance), *rest]
        if rest and chance.random() < 0.5:
            changed = [rest[0], a] if chance.random() < 0.5 else [a, _change(rest[0], chance)]
        if HELD_OUT.intersection(changed) or len(set(changed)) < len(changed):
            continue
        scene = (
            pair_scene(changed[0], changed[1], "train", chance)
            if rest
            else single_scene(changed[0], "train", chance)
        )
        if scene is not None:
            group.append(scene)
    return group


def _change(thing: Thing, chance: random.Random) -> Thing:
    if chance.random() < 0.4:
        return Thing(chance.choice(list(COLOURS)), thing.shape)
    return Thing(thing.colour, chance.choice(SHAPES))


def _cover(scene: Scene) -> tuple[list[int], list[int]]:
    """Return the colour and shape that cover each patch, 0 for none, row by row."""
    colours, shapes = [0] * GRID**2, [0] * GRID**2
    for shape in scene.shapes:
        for index in range(GRID**2):
            if shape.covers(index, GRID):
                colours[index] = 1 + list(COLOURS).index(shape.thing.colour)
                shapes[index] = 1 + SHAPES.index(shape.thing.shape)
    return colours, shapes


def pixels(scenes: Sequence[Scene]) -> Tensor:
    """Return scenes drawn as in files and preprocessed as users' pictures: [B, 3, H, W]."""
    processed = image_processor()([draw_scene(scene) for scene in scenes], return_tensors="pt")
    values: Tensor = processed["pixel_values"]
    return values


def _drawn(scene: Scene, fills: Sequence[Colour] = ()) -> Tensor:
    """Return a scene drawn as in files, in the tower's size: uint8 [3, H, W]."""
    import numpy as np
    import torch
    from PIL import Image

    picture = draw_scene(scene, fills=fills).resize((IMAGE, IMAGE), Image.Resampling.BICUBIC)
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1).contiguous()


def encode(tokenizer: Any, texts: list[str]) -> Tensor:
    """Return token ids [B, T], padded to the full length as in SigLIP."""
    ids: Tensor = tokenizer(
        texts,
        padding="max_length",
        max_length=TEXT_LENGTH,
        return_tensors="pt",
    )["input_ids"]
    return ids
