"""Measure the quality of the trained parts on held-out scenes, phrases and pairs."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmmodal_playground.build import hearing, translation, vision
from mmmodal_playground.build.describing import described
from mmmodal_playground.dialogues import TASKS, make_dialogue
from mmmodal_playground.phrases import all_phrases
from mmmodal_playground.scenes import Scene, single_scene
from mmmodal_playground.speech import any_voice, unseen_voice
from mmmodal_playground.things import COLOURS, HELD_OUT, SHAPES, TALKS, things_of

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["hearing_quality", "language_quality", "translation_quality", "vision_quality"]

Quality = dict[str, float]
SEED = 20_000  # far from every seed of training


def vision_quality(folder: Path, number: int = 256) -> Quality:
    """Return the accuracies of retrieval among held-out scenes, and of probes of colour and shape.

    Retrieval is right if the text (or picture) of a scene has the highest score of all `number`. A
    probe is a linear classifier on the mean of the patches' features at the last layer but one, the
    default of encoders; it is fitted to seen pairs and tested on held-out ones.
    """
    import torch
    from transformers import AutoTokenizer, SiglipModel

    model = SiglipModel.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    scenes = vision.scenes_apart("test", number, SEED)
    quality = {}
    with torch.inference_mode():
        seen = _unit(model.vision_model(vision.pixels(scenes)).pooler_output)
        for code, talk in TALKS.items():
            ids = vision.encode(tokenizer, [scene.describe(talk) for scene in scenes])
            likeness = seen @ _unit(model.text_model(ids).pooler_output).T
            right = torch.arange(number)
            quality[f"image-to-text-{code}"] = _share(likeness.argmax(1) == right)
            quality[f"text-to-image-{code}"] = _share(likeness.argmax(0) == right)
    for name, kinds in (("colour", list(COLOURS)), ("shape", list(SHAPES))):
        quality[f"{name}-probe"] = _probe(model, name, kinds)
    return quality


def _probe(model: Any, aspect: str, kinds: Sequence[str]) -> float:
    """Return the accuracy on held-out pairs of a linear classifier fitted to seen pairs."""
    import torch

    chance = random.Random(SEED)
    seen = [single_scene(chance.choice(things_of("train")), "train", chance) for _ in range(1500)]
    held = [
        single_scene(chance.choice(sorted(HELD_OUT, key=str)), "test", chance) for _ in range(300)
    ]

    def features(scenes: list[Scene]) -> Tensor:
        with torch.inference_mode():
            out = model.vision_model(vision.pixels(scenes), output_hidden_states=True)
            means: Tensor = out.hidden_states[-2].mean(1).double()
            return means

    def wanted(scenes: list[Scene]) -> Tensor:
        return torch.tensor([kinds.index(getattr(scene.things[0], aspect)) for scene in scenes])

    known, asked = features(seen), features(held)
    mean, spread = known.mean(0), known.std(0)
    known, asked = ((x - mean) / spread for x in (known, asked))
    gram = known.T @ known + torch.eye(known.shape[1])
    targets = torch.nn.functional.one_hot(wanted(seen), len(kinds)).double()
    weights = torch.linalg.solve(gram, known.T @ (targets - targets.mean(0)))
    scores = asked @ weights + targets.mean(0)
    return _share(scores.argmax(1) == wanted(held))


def hearing_quality(folder: Path, number: int = 300) -> Quality:
    """Return the word accuracy (one minus the error rate) and exact matches of held-out phrases."""
    import jiwer
    import torch
    from transformers import WhisperForConditionalGeneration, WhisperTokenizer

    model = WhisperForConditionalGeneration.from_pretrained(folder).eval()
    tokenizer = WhisperTokenizer.from_pretrained(folder)
    quality = {}
    for code in TALKS:
        for name, voice in (("known", any_voice), ("unseen", unseen_voice)):
            chance = random.Random(f"{SEED} {code} {name}")
            phrases = chance.choices(all_phrases(code, "test"), k=number)
            mels = hearing.log_mels([(phrase, voice(code, chance)) for phrase in phrases])
            with torch.inference_mode():
                ids = model.generate(mels.float(), language=code, task="transcribe")
            heard = tokenizer.batch_decode(ids, skip_special_tokens=True)
            heard, said = [text.strip() for text in heard], [phrase.text for phrase in phrases]
            quality[f"words-{code}-{name}-voice"] = 1 - float(jiwer.wer(said, heard))
            exact = sum(h == s for h, s in zip(heard, said, strict=True))
            quality[f"phrases-{code}-{name}-voice"] = exact / number
    return quality


def language_quality(folder: Path, number: int = 200) -> Quality:
    """Return the accuracy of answers in held-out dialogues, with descriptions in place of media.

    Decoding is greedy, on the model's own history, as in the quickstart's evaluation.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
    quality = {}
    for task in TASKS:
        for code in TALKS:
            chance = random.Random(f"{SEED} {task} {code}")
            asked = [make_dialogue(task, code, "test", chance) for _ in range(number)]
            chats = [described(dialogue) for dialogue in asked]
            answers = _talk(model, tokenizer, chats)
            right = [
                answer == turn.answer
                for dialogue, said in zip(asked, answers, strict=True)
                for turn, answer in zip(dialogue.turns, said, strict=True)
                if turn.scored
            ]
            quality[f"{task}-{code}"] = sum(right) / len(right)
    return quality


def _talk(model: Any, tokenizer: Any, chats: list[list[dict[str, str]]]) -> list[list[str]]:
    """Return the answers to every user turn of each chat, on the model's own earlier answers."""
    histories: list[list[dict[str, str]]] = [[] for _ in chats]
    answers: list[list[str]] = [[] for _ in chats]
    for turn in range(max(map(len, chats)) // 2):
        going = [index for index, chat in enumerate(chats) if len(chat) > 2 * turn]
        for index in going:
            histories[index].append(chats[index][2 * turn])
        replies = _generate(model, tokenizer, [histories[index] for index in going])
        for index, reply in zip(going, replies, strict=True):
            histories[index].append({"role": "assistant", "content": reply})
            answers[index].append(reply)
    return answers


def _generate(model: Any, tokenizer: Any, chats: list[list[dict[str, str]]]) -> list[str]:
    import torch

    inputs = tokenizer.apply_chat_template(
        chats,
        add_generation_prompt=True,
        padding=True,
        return_dict=True,
        return_tensors="pt",
    )
    with torch.inference_mode():
        ids = model.generate(**inputs, max_new_tokens=32, do_sample=False)
    new = ids[:, inputs["input_ids"].shape[1] :]
    replies: list[str] = tokenizer.batch_decode(new, skip_special_tokens=True)
    return replies


def translation_quality(folder: Path, number: int = 300) -> Quality:
    """Return the share of held-out sentences whose translation equals the reference."""
    import torch
    from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

    model = AutoModelForSeq2SeqLM.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    quality = {}
    for source, target in (("en", "ms"), ("ms", "en")):
        chance = random.Random(f"{SEED} {source}")
        pairs = [translation.any_pair("test", chance) for _ in range(number)]
        texts = [translation.PREFIXES[target] + pair[source] for pair in pairs]
        inputs = tokenizer(texts, padding=True, return_tensors="pt")
        with torch.inference_mode():
            ids = model.generate(**inputs, max_new_tokens=translation.LONGEST)
        said = tokenizer.batch_decode(ids, skip_special_tokens=True)
        right = sum(text == pair[target] for text, pair in zip(said, pairs, strict=True))
        quality[f"{source}-to-{target}"] = right / number
    return quality


MEASURES: dict[str, Callable[[Path], Quality]] = {
    "siglip": vision_quality,
    "whisper": hearing_quality,
    "llama": language_quality,
    "translator": translation_quality,
}
"""The function that measures each part."""


def _unit(vectors: Tensor) -> Tensor:
    unit: Tensor = vectors / vectors.norm(dim=-1, keepdim=True)
    return unit


def _share(right: Tensor) -> float:
    return float(right.double().mean())
