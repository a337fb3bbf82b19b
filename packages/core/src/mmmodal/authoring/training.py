"""Recipes, stages and answers, for packages that train and run models. Importing loads torch."""

from mmmodal.answering import Answer, Dialogue, answer_dialogues, answer_records, plan_batches
from mmmodal.samples.preparer import PreparedMedium, Preparer
from mmmodal.samples.transcript import Transcript
from mmmodal.train.recipe import Recipe, load_recipe
from mmmodal.train.stage.stage import Outcome, run_stage

__all__ = [
    "Answer",
    "Dialogue",
    "Outcome",
    "PreparedMedium",
    "Preparer",
    "Recipe",
    "Transcript",
    "answer_dialogues",
    "answer_records",
    "load_recipe",
    "plan_batches",
    "run_stage",
]
