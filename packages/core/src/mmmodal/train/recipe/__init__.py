"""Recipes, which define a training stage, from YAML and `key=value`."""

from mmmodal.train.recipe.deepspeed_files import deepspeed_config
from mmmodal.train.recipe.recipe import Recipe, load_recipe

__all__ = ["Recipe", "deepspeed_config", "load_recipe"]
