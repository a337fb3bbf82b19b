"""Train the Llama part: a chat model that knows the world from words alone.

It reads the dialogues of `mmmodal quickstart` with a description in the place of each medium,
between the markers that will stand around its slots. So it can talk before it sees or hears, and
what is left to learn for a composed model is to put into a projector's tokens what the words said.

Half of the descriptions are written as slots will be: words of a phrase drawn out and with gaps
between them, as sound goes; a picture as the grid of its patches, with a word where a thing is.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from mmmodal.media.audio import Audio
from mmmodal.media.image import Image
from mmmodal_playground.build.fitting import Log, fit
from mmmodal_playground.build.tokenizing import train_tokenizer
from mmmodal_playground.build.vision import GRID
from mmmodal_playground.dialogues import TASKS, Clip, Dialogue, Medium, make_dialogue, make_quiz
from mmmodal_playground.phrases import any_phrase
from mmmodal_playground.questions import about_pair, about_phrase, about_scene
from mmmodal_playground.scenes import single_scene
from mmmodal_playground.speech import any_voice
from mmmodal_playground.things import TALKS, Split, Thing, things_of
from mmmodal_playground.wording import medium_name

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

__all__ = ["any_dialogue", "chat_tokenizer", "described", "new_model", "train"]

WIDTH, LAYERS = 128, 6
POSITIONS = 2048
TURNS = 8  # of a quiz
CUES = 16  # of a drill
BACKWARDS = 0.3  # of the roll calls name the thing first and then the medium
RELATED = 0.2  # of a drill's cues are about what two media have in common
MEANT = 0.15  # of them ask which medium has a thing
ALONE = 0.3  # of a drill's pictures show one thing; where two are is the hardest to learn
BATCH = 16  # rows of one kind
RATE = 1.5e-3
IGNORED = -100
LESSONS = (
    (0.1, {"roll calls": 2}),
    (0.35, {"roll calls": 1, "drills": 1}),
    (1.0, {"dialogues": 1, "quizzes": 1, "drills": 1}),
)
"""How many batches of each kind make a step, up to which share of all steps."""
Row = tuple[list[int], list[int]]
"""Token ids and labels."""

USER, ASSISTANT, END, BLANK = "<|user|>", "<|assistant|>", "<|end|>", "<|blank|>"
TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] not in ['user', 'assistant'] %}"
    "{{ raise_exception('this model knows the roles user and assistant only') }}{% endif %}"
    "{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


def any_dialogue(split: Split, chance: random.Random) -> Dialogue:
    """Make a dialogue of any task and language."""
    return make_dialogue(chance.choice(TASKS), chance.choice(list(TALKS)), split, chance)


def in_words(medium: Medium, language: str) -> str:
    """Describe a medium in a sentence."""
    if isinstance(medium, Clip):
        return f"{Audio.begin}{medium.phrase.text}{Audio.end}"
    return f"{Image.begin}{medium.mention(TALKS[language])}{Image.end}"


def in_slots(medium: Medium, language: str, chance: random.Random) -> str:
    """Describe a medium as its slots will: word by word in time, or patch by patch."""
    if isinstance(medium, Clip):
        pieces = [BLANK] * chance.randint(0, 2)
        for word in medium.phrase.text.split():
            pieces += [f" {word}"] * chance.choice((1, 1, 2)) + [BLANK] * chance.choice((0, 0, 1))
        return "".join((Audio.begin, *pieces, Audio.end))
    words = TALKS[language].words
    cells = [BLANK] * GRID**2
    for shape in medium.shapes:
        named = [f" {words[word]}" for word in (shape.thing.colour, shape.thing.shape)]
        covered = [index for index in range(GRID**2) if shape.covers(index, GRID)]
        chance.shuffle(covered)
        for place, index in enumerate(covered):  # each of its words at least once
            cells[index] = named[place] if place < 2 else chance.choice(named)
        if len(covered) == 1:
            cells[covered[0]] = "".join(named)
    return "".join((Image.begin, *cells, Image.end))


def described(
    dialogue: Dialogue, describe: Callable[[Medium, str], str] = in_words
) -> list[dict[str, str]]:
    """Return a dialogue's messages with its media as words between their markers."""
    messages = []
    for turn in dialogue.turns:
        media = "".join(describe(dialogue.media[i], dialogue.language) for i in turn.media)
        text = media + turn.question if turn.media_first else turn.question + media
        messages.append({"role": "user", "content": text})
        messages.append({"role": "assistant", "content": turn.answer})
    return messages


def chat_tokenizer() -> PreTrainedTokenizerFast:
    """Make the tokenizer, with a chat template and the markers of both modalities."""
    chance = random.Random(0)
    sentences = []
    for split in ("train", "test"):
        for _ in range(3000):
            dialogue = any_dialogue(split, chance)
            sentences += [text for t in dialogue.turns for text in (t.question, t.answer)]
            sentences += [in_words(medium, dialogue.language)[7:-8] for medium in dialogue.media]
    tokenizer = train_tokenizer(
        sentences,
        {"pad_token": "<|pad|>", "eos_token": END},
        chat_template=TEMPLATE,
        model_max_length=POSITIONS,
    )
    markers = [Image.begin, Image.end, Audio.begin, Audio.end]
    tokenizer.add_special_tokens({"additional_special_tokens": [USER, ASSISTANT, BLANK, *markers]})
    return tokenizer


def new_model(tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """Return the model with random weights."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=WIDTH,
        intermediate_size=3 * WIDTH,
        num_hidden_layers=LAYERS,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=POSITIONS,
        tie_word_embeddings=True,
        initializer_range=0.05,  # with 0.02 so small a network attends to nothing for long
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return LlamaForCausalLM(config)


def train(folder: Path, *, seed: int, steps: int, log: Log) -> None:
    """Write the trained model and its tokenizer to `folder`."""
    import torch

    torch.manual_seed(seed)
    tokenizer = chat_tokenizer()
    model = new_model(tokenizer)
    chance = random.Random(seed)
    rows = {
        "roll calls": _roll_call,
        "drills": _drill,
        "quizzes": _quiz,
        "dialogues": _dialogue,
    }
    batches = {
        name: _batches(partial(make, tokenizer, chance), chance, tokenizer.pad_token_id)
        for name, make in rows.items()
    }

    def loss(step: int) -> dict[str, Tensor]:
        lesson = next(kinds for until, kinds in LESSONS if step < until * steps)
        return {
            name: torch.stack([_loss(model, *next(batches[name])) for _ in range(count)]).mean()
            for name, count in lesson.items()
        }

    matrices = [weight for weight in model.model.layers.parameters() if weight.ndim == 2]
    parameters = model.parameters()
    fit("language", parameters, loss, steps=steps, learning_rate=RATE, log=log, matrices=matrices)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _loss(model: LlamaForCausalLM, ids: Tensor, labels: Tensor) -> Tensor:
    """Return the mean loss of the labels that count; ids and labels are [B, T]."""
    import torch

    hidden = model.model(ids).last_hidden_state[:, :-1]  # padding is behind: causal
    wanted = labels[:, 1:]
    logits = model.lm_head(hidden[wanted != IGNORED])
    return torch.nn.functional.cross_entropy(logits, wanted[wanted != IGNORED])


def _dialogue(tokenizer: PreTrainedTokenizerFast, chance: random.Random) -> Row:
    return _encode(tokenizer, _written(any_dialogue("train", chance), chance))


def _quiz(tokenizer: PreTrainedTokenizerFast, chance: random.Random) -> Row:
    """Ask much about the same media."""
    language = chance.choice(list(TALKS))
    quiz = make_quiz(language, "train", chance, turns=TURNS)
    return _encode(tokenizer, _written(quiz, chance))


def _roll_call(tokenizer: PreTrainedTokenizerFast, chance: random.Random) -> Row:
    """Name three media and their things, over and over: " image 2 red star audio 1 black circle".

    Which of several things is meant is by far the hardest to learn. It is learned many times
    sooner where a row asks for nothing else, and for it right behind the name.
    """
    language = chance.choice(list(TALKS))
    things = chance.sample(things_of("train"), 3)
    media = [_showing(thing, language, chance) for thing in things]
    shown = "".join(in_words(medium, language) for medium in media)
    order = [index for _ in range(CUES // 4) for index in chance.sample(range(3), 3)]
    names = [_name(media, index, language) for index in order]
    called = [TALKS[language].name(things[index]) for index in order]
    backwards = chance.random() < BACKWARDS
    cues = zip(called, names, strict=True) if backwards else zip(names, called, strict=True)
    return _cued(tokenizer, shown, list(cues))


def _showing(thing: Thing, language: str, chance: random.Random) -> Medium:
    if chance.random() < 0.5:
        return single_scene(thing, "train", chance)
    phrase = any_phrase(language, thing, "train", chance)
    return Clip(phrase, any_voice(language, chance))


def _drill(tokenizer: PreTrainedTokenizerFast, chance: random.Random) -> Row:
    """Name media, or a part of one, and what is true of it: " image 2 star red"."""
    language = chance.choice(list(TALKS))
    media = make_quiz(language, "train", chance, turns=0, alone=ALONE).media
    shown = "".join(_either(medium, language, chance) for medium in media)
    cues = [_any_cue(media, language, chance) for _ in range(CUES)]
    return _cued(tokenizer, shown, cues)


def _any_cue(media: Sequence[Medium], language: str, chance: random.Random) -> tuple[str, str]:
    alone = [index for index, medium in enumerate(media) if len(medium.things) == 1]
    kind = chance.random()
    if kind < RELATED and len(alone) > 1:
        return _related(media, sorted(chance.sample(alone, 2)), language)
    if kind > 1 - MEANT and alone:
        return _meant(media, chance.choice(alone), language)
    return _cue(media, chance.randrange(len(media)), language, chance)


def _related(media: Sequence[Medium], pair: Sequence[int], language: str) -> tuple[str, str]:
    """Name two media; return what they have in common."""
    first, second = (_name(media, index, language) for index in pair)
    a, b = (media[index].things[0] for index in pair)
    return f"{first} {second}", about_pair(a, b, (first, second), TALKS[language])[0].answer


def _meant(media: Sequence[Medium], index: int, language: str) -> tuple[str, str]:
    """Name a kind and a thing; return the first medium of the kind that has it."""
    kind, thing = type(media[index]), media[index].things[0]
    having = [i for i, m in enumerate(media) if type(m) is kind and thing in m.things]
    name = _name(media, having[0], language)
    return f"{name.split()[0]} {TALKS[language].name(thing)}", name


def _cued(tokenizer: PreTrainedTokenizerFast, shown: str, cues: Sequence[tuple[str, str]]) -> Row:
    pieces = [(f"{USER}{shown}{END}{ASSISTANT}", False)]
    for cue, answer in cues:
        pieces += [(f" {cue}", False), (f" {answer}", True)]
    return _labelled(tokenizer, pieces)


def _cue(
    media: Sequence[Medium], index: int, language: str, chance: random.Random
) -> tuple[str, str]:
    """Name one medium, and perhaps a colour, shape or place in it; return what belongs to it."""
    medium, talk = media[index], TALKS[language]
    if isinstance(medium, Clip):
        questions = about_phrase(medium.phrase, talk, chance)[:1]
    else:
        asked = about_scene(medium, talk, chance)
        questions = [question for question in asked if question.kind != "shows"]
    question = chance.choice(questions)
    name = _name(media, index, language)
    return " ".join((name, *question.words.values())), question.answer


def _name(media: Sequence[Medium], index: int, language: str) -> str:
    kind = type(media[index])
    number = [type(medium) is kind for medium in media[: index + 1]].count(True)
    return medium_name(language, "audio" if kind is Clip else "image", number)


def _batches(
    make: Callable[[], Row], chance: random.Random, padding: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield token ids and labels [B, T] of rows about as long as each other."""
    import torch

    while True:
        window = sorted((make() for _ in range(BATCH * 8)), key=lambda row: len(row[0]))
        groups = [window[at : at + BATCH] for at in range(0, len(window), BATCH)]
        chance.shuffle(groups)
        for group in groups:
            longest = len(group[-1][0])
            ids = [row + [padding] * (longest - len(row)) for row, _ in group]
            labels = [row + [IGNORED] * (longest - len(row)) for _, row in group]
            yield torch.tensor(ids), torch.tensor(labels)


def _written(dialogue: Dialogue, chance: random.Random) -> list[dict[str, str]]:
    """Describe half of all media in words and half in slots."""
    return described(dialogue, lambda medium, language: _either(medium, language, chance))


def _either(medium: Medium, language: str, chance: random.Random) -> str:
    if chance.random() < 0.5:
        return in_words(medium, language)
    return in_slots(medium, language, chance)


def _encode(tokenizer: PreTrainedTokenizerFast, messages: list[dict[str, str]]) -> Row:
    """Return ids and labels: the assistant's words and turn ends are learned."""
    pieces = []
    for message in messages:
        taught = message["role"] == "assistant"
        pieces += [(f"<|{message['role']}|>", False), (f"{message['content']}{END}", taught)]
    return _labelled(tokenizer, pieces)


def _labelled(tokenizer: PreTrainedTokenizerFast, pieces: Sequence[tuple[str, bool]]) -> Row:
    """Tokenize pieces of a row, each on its own; those that are taught are labels, too."""
    ids: list[int] = []
    labels: list[int] = []
    for text, taught in pieces:
        said = tokenizer.backend_tokenizer.encode(text).ids
        ids += said
        labels += said if taught else [IGNORED] * len(said)
    return ids, labels
