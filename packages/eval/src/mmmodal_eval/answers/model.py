"""A model folder or an adapter, asked in this process and in those of a launcher."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from mmmodal.authoring.media import LimitSettings
from mmmodal.authoring.parts import CheckpointError, Config
from mmmodal.authoring.pretrained import checkpoint_code, checkpoint_files
from mmmodal_datagen.fingerprints import digest
from mmmodal_eval.answers.contents import Contents
from mmmodal_eval.answers.respondent import Answered, Asked, History, Progress, Reply, Respondent

if TYPE_CHECKING:
    from mmmodal.authoring.training import Answer

__all__ = ["FolderModel", "Generation", "Loading"]


class Loading(Config):
    """How a model folder is loaded, as for `mmmodal.load`."""

    dtype: str = "auto"
    device: str | None = None
    attn_implementation: str | None = None
    quantization: str | None = None


class Generation(Config):
    """How answers are generated."""

    max_new_tokens: int = Field(512, gt=0)
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    stop_strings: tuple[str, ...] = ()
    seed: int = 0
    """The seed of answers that are drawn."""

    def settings(self) -> dict[str, Any]:
        """Return transformers' generation settings."""
        return self.model_dump(exclude={"seed"}, exclude_none=True)


class FolderModel(Respondent):
    """The model of a folder; it is loaded when the first question is asked."""

    ranks_choices: ClassVar[bool] = True

    def __init__(
        self,
        source: str | Path,
        contents: Contents,
        *,
        loading: Loading,
        generation: Generation,
        history: History,
        limits: LimitSettings,
        batch_size: int,
    ) -> None:
        self._source, self._contents = str(source), contents
        self._loading, self._generation = loading, generation
        self._history, self._limits, self._batch_size = history, limits, batch_size
        self._loaded: Any = None

    def identity(self) -> dict[str, Any]:
        """Return the digest of the folder, the versions of the code, and how it is asked.

        Raises:
            CheckpointError: there is no such model.
        """
        return {
            "weights": self._digest(),
            "code": checkpoint_code(self._source),
            "loading": self._loading.model_dump(mode="json", exclude={"device"}),
            "generation": self._generation.model_dump(mode="json"),
            "limits": self._limits.chosen(),
        }

    def answers(
        self, asked: Sequence[Asked], known: Collection[int], progress: Progress
    ) -> Iterator[Answered]:
        """Yield the answers of each batch; every rank yields those of its own batches."""
        import torch

        from mmmodal.authoring.ranks import rank, ranks
        from mmmodal.authoring.training import Dialogue, answer_dialogues, plan_batches

        dialogues = [Dialogue(a.record, a.root, self._history, a.choices) for a in asked]
        batches = plan_batches(dialogues, self._batch_size)
        unknown = [sum(index not in known for index in batch) for batch in batches]
        own = [(b[0], n) for b, n in zip(batches, unknown, strict=True)][rank() :: ranks()]
        if not any(count for _, count in own):
            return
        answers = answer_dialogues(
            self._model(),
            dialogues,
            batch_size=self._batch_size,
            batches=batches,
            skip=known,
            on_error="keep",
            **self._generation.settings(),
        )
        for first, count in filter(lambda batch: batch[1], own):
            # A batch draws the same answers after an interruption as without one.
            torch.manual_seed(self._generation.seed + first)
            some = list(itertools.islice(answers, count))
            progress(len(some))
            yield [(index, [_reply(each) for each in turns]) for index, turns in some]

    def _model(self) -> Any:
        if self._loaded is None:
            import mmmodal

            self._loaded = mmmodal.load(self._source, **self._loading.model_dump())
            self._loaded.processor.allow(self._limits)
        return self._loaded

    def _digest(self) -> str:
        files = checkpoint_files(self._source)
        try:
            return digest({name: self._contents.of_file(path) for name, path in files.items()})
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise CheckpointError(f"{self._source} cannot be read ({reason})") from None


def _reply(answer: Answer) -> Reply:
    return Reply(
        text=answer.text,
        is_whole=answer.is_whole,
        left_out=answer.left_out,
        likelihoods=answer.likelihoods,
        error="" if answer.error is None else str(answer.error),
    )
