"""The parts that ship with core, found through an entry point as those of any plugin."""

from __future__ import annotations

from pathlib import Path

from mmmodal.backbones.auto import AutoBackbone
from mmmodal.contracts import Backbone, Format, Modality, Projector
from mmmodal.hookspecs import hookimpl
from mmmodal.modalities.audio import Audio
from mmmodal.modalities.image import Image
from mmmodal.projectors.conv import Conv
from mmmodal.projectors.linear import Linear
from mmmodal.projectors.mlp import MLP
from mmmodal.projectors.perceiver import Perceiver
from mmmodal.projectors.pixel_shuffle import PixelShuffle
from mmmodal.records.formats.alpaca import Alpaca
from mmmodal.records.formats.captions import Captions
from mmmodal.records.formats.columns import Columns
from mmmodal.records.formats.completion import Completion
from mmmodal.records.formats.llama_factory import LlamaFactory
from mmmodal.records.formats.llava import Llava
from mmmodal.records.formats.ms_swift import MsSwift
from mmmodal.records.formats.native import Native
from mmmodal.records.formats.openai import OpenAI
from mmmodal.records.formats.paper import Paper
from mmmodal.records.formats.query import Query
from mmmodal.records.formats.transcripts import Transcripts
from mmmodal.records.formats.trl import TRL
from mmmodal.records.formats.vqa import VQA
from mmmodal.records.formats.webdataset import WebDataset


@hookimpl
def mmmodal_modalities() -> list[type[Modality]]:
    """Return images and audio."""
    return [Image, Audio]


@hookimpl
def mmmodal_projectors() -> list[type[Projector]]:
    """Return the projectors of the paper, a linear one, and two that output fewer tokens."""
    return [Linear, MLP, Conv, PixelShuffle, Perceiver]


@hookimpl
def mmmodal_backbones() -> list[type[Backbone]]:
    """Return the backbone for any causal language model of transformers."""
    return [AutoBackbone]


@hookimpl
def mmmodal_formats() -> list[type[Format]]:
    """Return our own format of rows, and those of other trainers and data sets."""
    own: list[type[Format]] = [Native, Paper, OpenAI, Llava, MsSwift, LlamaFactory, TRL]
    return [*own, Alpaca, Captions, Columns, Completion, Query, Transcripts, VQA, WebDataset]


@hookimpl
def mmmodal_recipes() -> list[Path]:
    """Return the folder of the recipes: the two stages of the paper, and the second with LoRA."""
    return [Path(__file__).parent / "train" / "recipe" / "recipes"]
