"""Train the Whisper part as a speech recogniser, with an auxiliary loss on the encoder.

The auxiliary loss is CTC over words: without it, training stagnates for long, because the encoder
gets no signal for the position of words. Its head is not saved.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmmodal_playground.build.fitting import Log, fit
from mmmodal_playground.build.tokenizing import train_tokenizer
from mmmodal_playground.phrases import Phrase, all_phrases
from mmmodal_playground.speech import Voice, any_voice, speaking
from mmmodal_playground.things import TALKS

if TYPE_CHECKING:
    import torch
    from torch import Tensor
    from transformers import (
        WhisperFeatureExtractor,
        WhisperForConditionalGeneration,
        WhisperTokenizer,
    )

__all__ = ["feature_extractor", "log_mels", "new_model", "speech_tokenizer", "train"]

SECONDS = 3  # of a window; the longest phrase at the lowest speed is shorter
WIDTH = 128
POOL = 10_000  # clips of each language
BATCH = 32
MASK = {"frames": 25, "bands": 12}  # maximum for each clip: SpecAugment (arXiv:1904.08779)
START, END, TRANSCRIBE, TRANSLATE, NO_TIMES = (
    "<|startoftranscript|>",
    "<|endoftext|>",
    "<|transcribe|>",
    "<|translate|>",
    "<|notimestamps|>",
)


def feature_extractor() -> WhisperFeatureExtractor:
    """Return Whisper's feature extractor for a shorter window."""
    from transformers import WhisperFeatureExtractor

    settings = {"feature_size": 80, "chunk_length": SECONDS}
    return WhisperFeatureExtractor(**settings)  # type: ignore[no-untyped-call, unused-ignore]


def speech_tokenizer() -> WhisperTokenizer:
    """Return a tokenizer of Whisper's type with a token for each spoken word."""
    import json

    from transformers import WhisperTokenizer

    phrases = [p for code in TALKS for split in ("train", "test") for p in all_phrases(code, split)]
    plain = train_tokenizer([" " + phrase.text for phrase in phrases], {"eos_token": END})
    model = json.loads(plain.backend_tokenizer.to_str())["model"]
    tokenizer = WhisperTokenizer(
        vocab=model["vocab"],
        merges=[tuple(merge) for merge in model["merges"]],
        unk_token=END,
        bos_token=END,
        eos_token=END,
        pad_token=END,
    )
    languages = [f"<|{code}|>" for code in TALKS]
    tokenizer.add_special_tokens(
        {"additional_special_tokens": [START, *languages, TRANSLATE, TRANSCRIBE, NO_TIMES]}
    )
    return tokenizer


def new_model(tokenizer: WhisperTokenizer) -> WhisperForConditionalGeneration:
    """Return the model with random weights, ready to generate in every language."""
    from transformers import GenerationConfig, WhisperConfig, WhisperForConditionalGeneration

    def number(token: str) -> int:
        found: Any = tokenizer.convert_tokens_to_ids(token)
        return int(found)

    start, end = number(START), number(END)
    ends: dict[str, Any] = {"bos_token_id": end, "eos_token_id": end, "pad_token_id": end}
    config = WhisperConfig(
        **ends,
        d_model=WIDTH,
        encoder_layers=4,
        encoder_attention_heads=4,
        encoder_ffn_dim=4 * WIDTH,
        decoder_layers=2,
        decoder_attention_heads=4,
        decoder_ffn_dim=4 * WIDTH,
        num_mel_bins=80,
        max_source_positions=50 * SECONDS,
        max_target_positions=24,
        vocab_size=len(tokenizer),
        decoder_start_token_id=start,
        begin_suppress_tokens=None,
        suppress_tokens=None,
    )
    model = WhisperForConditionalGeneration(config)
    model.generation_config = GenerationConfig(
        **ends,
        decoder_start_token_id=start,
        is_multilingual=True,
        lang_to_id={f"<|{code}|>": number(f"<|{code}|>") for code in TALKS},
        task_to_id={"transcribe": number(TRANSCRIBE), "translate": number(TRANSLATE)},
        no_timestamps_token_id=number(NO_TIMES),
        return_timestamps=False,
        max_length=24,
    )
    return model


def train(folder: Path, *, seed: int, steps: int, log: Log) -> None:
    """Write the trained model, its feature extractor and its tokenizer to `folder`."""
    import torch

    torch.manual_seed(seed)
    tokenizer = speech_tokenizer()
    model = new_model(tokenizer)
    head = torch.nn.Linear(WIDTH, len(tokenizer))
    clips = _Clips(tokenizer, seed, log)

    def loss(step: int) -> dict[str, Tensor]:
        mels, labels, words, lengths = clips.next()
        heard = model.model.encoder(mels, output_hidden_states=True)
        said = model(encoder_outputs=(heard.last_hidden_state,), labels=labels)
        frames = head(heard.hidden_states[-2]).log_softmax(-1).transpose(0, 1)  # [n, B, V]
        counts = torch.full((len(mels),), frames.shape[0])
        blank = tokenizer.eos_token_id
        ctc = torch.nn.functional.ctc_loss(frames, words, counts, lengths, blank=blank)
        return {"decoder": said.loss, "ctc": ctc}

    parameters = [p for p in (*model.parameters(), *head.parameters()) if p.requires_grad]
    fit("hearing", parameters, loss, steps=steps, learning_rate=1e-3, log=log)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    feature_extractor().save_pretrained(folder)


class _Clips:
    """Phrases spoken in advance; each is used many times with different parts masked."""

    def __init__(self, tokenizer: WhisperTokenizer, seed: int, log: Log) -> None:
        import torch

        chance = random.Random(seed)
        phrases = [chance.choice(all_phrases(code, "train")) for code in TALKS for _ in range(POOL)]
        log(f"hearing: speaking {len(phrases)} phrases")
        self.mels = torch.cat(
            [
                log_mels([(p, any_voice(p.language, chance)) for p in phrases[at : at + 1000]])
                for at in range(0, len(phrases), 1000)
            ]
        )  # float16 [n, M, F]
        prefixes: Any = {
            code: tokenizer.convert_tokens_to_ids([f"<|{code}|>", TRANSCRIBE, NO_TIMES])
            for code in TALKS
        }
        words = [_words(tokenizer, phrase) for phrase in phrases]
        end = tokenizer.eos_token_id
        self.labels = _padded(
            [[*prefixes[p.language], *w, end] for p, w in zip(phrases, words, strict=True)], -100
        )
        self.words, self.lengths = _padded(words, end), torch.tensor([len(w) for w in words])
        self.random = torch.Generator().manual_seed(seed)

    def next(self) -> tuple[Tensor, ...]:
        """Return mels [B, M, F], decoder labels, and the words with their counts."""
        import torch

        index = torch.randint(len(self.mels), (BATCH,), generator=self.random)
        mels = self.mels[index].float()
        for mel in mels:
            _mask(mel, 0, MASK["bands"], self.random)
            _mask(mel, 1, MASK["frames"], self.random)
        return mels, self.labels[index], self.words[index], self.lengths[index]


def log_mels(spoken: list[tuple[Phrase, Voice]]) -> Tensor:
    """Return the spectrograms of spoken phrases, float16 [B, M, F]."""
    with speaking() as say:
        clips = [say(phrase.text, voice) for phrase, voice in spoken]
    features = feature_extractor()(clips, sampling_rate=16_000, return_tensors="pt")
    mels: Tensor = features["input_features"].half()
    return mels


def _words(tokenizer: WhisperTokenizer, phrase: Phrase) -> list[int]:
    ids: list[int] = tokenizer(" " + phrase.text, add_special_tokens=False)["input_ids"]
    return ids


def _padded(rows: list[list[int]], filler: int) -> Tensor:
    import torch

    longest = max(map(len, rows))
    return torch.tensor([row + [filler] * (longest - len(row)) for row in rows])


def _mask(mel: Tensor, axis: int, most: int, generator: torch.Generator) -> None:
    """Mask one stripe of random width in place."""
    import torch

    width = int(torch.randint(most, (), generator=generator))
    begin = int(torch.randint(mel.shape[axis] - width, (), generator=generator))
    mel.narrow(axis, begin, width).fill_(float(mel.mean()))
