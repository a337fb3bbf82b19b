"""The model classes that lmms-eval calls. Importing needs lmms-eval, and loads torch."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from lmms_eval import utils
from lmms_eval.api.instance import GenerationResult, Instance, TokenCounts
from lmms_eval.api.model import lmms
from loguru import logger

from mmmodal.authoring.parts import ConfigError
from mmmodal_lmms_eval.arguments import read_arguments
from mmmodal_lmms_eval.asking import Asker, Progress, Request, remarks
from mmmodal_lmms_eval.likelihood import Continuation, losses
from mmmodal_lmms_eval.messages import question
from mmmodal_lmms_eval.response_cache import key_by_weights
from mmmodal_lmms_eval.rounds import Rounds, ask_in_rounds

if TYPE_CHECKING:
    import torch

    from mmmodal.authoring.training import Answer

__all__ = ["ChatModel", "SimpleModel"]


class _Loss(tuple[float, bool]):
    """A loss, and whether the model would say so.

    lmms-eval's cache of responses takes it for an empty response, and does not keep it: it would
    make a text of what it reads again.
    """

    def strip(self) -> tuple[()]:
        """Return nothing."""
        return ()


class _Model(lmms):  # type: ignore[misc]
    """A model folder or an adapter, loaded."""

    def __init__(self, **given: Any) -> None:
        """Load the model of the arguments, which are those of `ModelArguments`.

        Raises:
            ConfigError: an argument is unknown or has an impossible value.
            CheckpointError: the folder holds no model that can be loaded.
        """
        import mmmodal

        super().__init__()
        key_by_weights()
        self.arguments = read_arguments(given)
        self._model = mmmodal.load(self.arguments.model, **self.arguments.loading())
        self._device = self._model.device  # lmms-eval asks for it when it has deleted the model

    @classmethod
    def create_from_arg_string(
        cls, arg_string: str, additional_config: dict[str, Any] | None = None
    ) -> _Model:
        """Return the model of `--model_args`, and of options such as `--batch_size`.

        What the arguments say prevails, as lmms-eval always gives a batch size.
        """
        options = {k: v for k, v in (additional_config or {}).items() if v is not None}
        return cls(**{**options, **utils.simple_parse_args_string(arg_string)})

    @property
    def device(self) -> torch.device:
        """The device of the model; processes exchange tensors there."""
        return self._device

    def generate_until(self, requests: Sequence[Instance]) -> list[GenerationResult]:
        """Return the answer to the last message of each request.

        Raises:
            ConfigError: a generation setting of a task cannot act.
            RecordError: a document cannot be asked.
        """
        asked = list(map(self._request, requests))
        with self._progress(len(asked)) as progress:
            answers = self._asker.answers(asked, progress)
        _tell(answers)
        return [GenerationResult(a.text, TokenCounts(output_tokens=a.tokens)) for a in answers]

    def loglikelihood(self, requests: Sequence[Instance]) -> list[GenerationResult]:
        """Return the loss of each continuation, and whether the model would say it, as results.

        lmms-eval 0.7.3 makes a text of plain pairs, which its own scoring cannot read; what is in
        a result it leaves as it is.

        Raises:
            ConfigError: a task asks for the likelihood of an answer without a question.
            RecordError: a document cannot be asked.
        """
        continuations = [self._continuation(request) for request in requests]
        with self._progress(len({each.asked for each in continuations})) as progress:
            found = losses(self._asker, continuations, progress)
        return [GenerationResult(_Loss(each)) for each in found]

    @property
    def _asker(self) -> Asker:
        # Made each time, so that nothing else holds the model when lmms-eval deletes it.
        return Asker(self._model, self.arguments)

    @abstractmethod
    def _request(self, request: Instance) -> Request:
        """Return what an instance asks."""

    def _document(self, task: str, split: str, number: Any) -> Any:
        return self.task_dict[task][split][number]

    def _continuation(self, request: Instance) -> Continuation:
        if len(request.args) == 2:
            reason = "likelihoods without a question cannot be asked of a chat model"
            raise ConfigError(f"task {request.task_name}", [f"{reason}; leave out acc_mutual_info"])
        context, target, visuals_of, number, task, split = request.args
        document = partial(self._document, task, split, number)
        text = target if isinstance(target, str) else str(target(document()))
        return Continuation(task, split, number, context, lambda: visuals_of(document()), text)

    @contextmanager
    def _progress(self, count: int) -> Iterator[Progress]:
        from tqdm import tqdm

        with tqdm(total=count, disable=self.rank != 0, desc="Model Responding") as bar:
            yield bar.update


class ChatModel(_Model):
    """Answers whole conversations, as tasks give them with `doc_to_messages`."""

    is_simple: ClassVar[bool] = False

    def generate_until_multi_round(self, requests: Sequence[Instance]) -> list[list[str]]:
        """Return the answers of all rounds of each request.

        Raises:
            ConfigError: a generation setting of a task cannot act.
            RecordError: a document cannot be asked, or a task breaks the protocol of rounds.
        """
        documents, size = list(map(self._rounds, requests)), self.arguments.batch_size
        with self._progress(len(documents)) as progress:
            for at in range(0, len(documents), size):
                ask_in_rounds(self._asker, some := documents[at : at + size])
                progress(len(some))
        _tell([answer for each in documents for answer in each.answers])
        return [each.texts for each in documents]

    def _request(self, request: Instance) -> Request:
        _, messages_of, generation, number, task, split = request.args
        document = partial(self._document, task, split, number)
        return Request(task, number, lambda: messages_of(document()), generation)

    def _rounds(self, request: Instance) -> Rounds:
        _, messages_of, _, number, task, split = request.args
        document = partial(self._document, task, split, number)
        return Rounds(self._request(request), lambda **told: messages_of(document(), **told))


class SimpleModel(_Model):
    """Answers a text with media in front of it; lmms-eval asks likelihoods of such models alone."""

    is_simple: ClassVar[bool] = True

    def generate_until_multi_round(self, requests: Sequence[Instance]) -> list[list[str]]:
        """Raise a ConfigError: only the chat class is asked in rounds."""
        reason = "tasks of several rounds are for the chat model; leave out --force_simple"
        raise ConfigError("mmmodal", [reason])

    def _request(self, request: Instance) -> Request:
        context, generation, visuals_of, number, task, split = request.args
        document = partial(self._document, task, split, number)
        return Request(
            task, number, lambda: question(visuals_of(document()) or (), context), generation
        )


def _tell(answers: Sequence[Answer]) -> None:
    """Log what a user should know of answers besides their texts."""
    for remark in remarks(answers):
        logger.warning(remark)
