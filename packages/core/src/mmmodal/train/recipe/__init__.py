"""Recipes, which define a training stage, from YAML and `key=value`."""

from mmmodal.train.recipe.recipe import Recipe, deepspeed_config, load_recipe

__all__ = ["Recipe", "deepspeed_config", "load_recipe"]
