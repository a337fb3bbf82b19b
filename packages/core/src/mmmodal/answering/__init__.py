"""Answer many conversations at once, turn by turn, each with its own history.

The history of a turn holds the model's own answers to the turns before, or those of the record.
D: width of the language model.
"""

from mmmodal.answering.asking import answer_dialogues, answer_records, plan_batches
from mmmodal.answering.dialogues import Answer, Dialogue

__all__ = ["Answer", "Dialogue", "answer_dialogues", "answer_records", "plan_batches"]
