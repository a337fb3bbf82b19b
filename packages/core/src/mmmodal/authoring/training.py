"""Recipes, stages and answers, for packages that train and run models. Importing loads torch."""

from mmmodal.answering import answer_records
from mmmodal.samples.preparer import PreparedMedium, Preparer
from mmmodal.samples.transcript import Transcript
from mmmodal.train.recipe import Recipe, load_recipe
from mmmodal.train.stage.stage import Outcome, run_stage

__all__ = [
    "Outcome",
    "PreparedMedium",
    "Preparer",
    "Recipe",
    "Transcript",
    "answer_records",
    "load_recipe",
    "run_stage",
]
