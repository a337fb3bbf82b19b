"""Evaluate models on the same questions, one after another, and write their results."""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from mmmodal.authoring.media import LimitSettings
from mmmodal.authoring.parts import validate
from mmmodal.authoring.ranks import joined, of_first, rank
from mmmodal.authoring.records import Shards, find_shards, scan
from mmmodal_eval.answers.kept import KeptAnswers
from mmmodal_eval.answers.model import FolderModel, Generation, Loading
from mmmodal_eval.answers.respondent import History, Respondent
from mmmodal_eval.run.evaluation import Evaluated, Evaluation
from mmmodal_eval.run.names import names_of
from mmmodal_eval.run.questions import Questions
from mmmodal_eval.run.reading import conversations_of
from mmmodal_eval.run.settings import EvaluationSettings
from mmmodal_eval.run.writing import write_results

__all__ = ["Named", "evaluate", "evaluate_all"]


@dataclass(frozen=True)
class Named:
    """One model with its name in tables."""

    name: str
    source: str
    """The model as the user named it."""

    respondent: Respondent

    def description(self) -> dict[str, Any]:
        """Return what the model is, as rank 0 finds it."""
        return of_first(self.respondent.identity() if rank() == 0 else {})  # type: ignore[no-any-return]


def evaluate_all(models: Sequence[Named], evaluation: Evaluation, out: Path) -> list[Evaluated]:
    """Return the results of all models, which are written to a folder each as they come.

    On all ranks but the first, nothing is returned or written.

    Args:
        models: the models; all of them are looked at before the first one is asked.
        evaluation: the questions.
        out: the folder for results.

    Raises:
        MMModalError: a model is not there, or cannot be asked.
    """
    with _lasting_objects():
        return list(_evaluated(models, evaluation, out))


@contextmanager
def _lasting_objects() -> Iterator[None]:
    """Keep the garbage collector from the objects of now, such as all questions: they stay.

    It would look at each of them many times while as many answers and results are made.
    """
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _evaluated(models: Sequence[Named], evaluation: Evaluation, out: Path) -> Iterator[Evaluated]:
    identities = [model.description() for model in models]
    for model, identity in zip(models, identities, strict=True):
        passes = evaluation.questions.passes(ranks_choices=model.respondent.ranks_choices)
        total = sum(len(each.asked) for each in passes.values())
        with tqdm(total=total, desc=model.name, unit="conversation", disable=rank() != 0) as bar:
            described = {"source": model.source, **identity}
            evaluated = evaluation.run(model.name, described, model.respondent, bar.update)
            model.respondent.close()
        if evaluated is not None:
            write_results(out / model.name, evaluated)
            yield evaluated


def evaluate(
    models: str | Path | Sequence[str | Path],
    data: str | Path | Shards,
    out: str | Path = "evaluation",
    *,
    scorer: str = "exact",
    options: Mapping[str, Any] | None = None,
    history: History = "own",
    controls: bool | Iterable[str] = True,
    rows: int | None = None,
    root: Path | None = None,
    kept: Path | None = None,
    batch_size: int = 100,
    loading: Mapping[str, Any] | None = None,
    limits: LimitSettings | None = None,
    **generation: Any,
) -> list[Evaluated]:
    """Evaluate models as `mmmodal evaluate` does: ask what is not kept, score, write the results.

    Each process of a launcher answers a share; all but the first return nothing.

    Args:
        models: folders, adapters or ids of the Hub: one or several.
        data: what training reads: a file, shards, a data set of the Hub.
        out: the folder for results, one folder in it for each model.
        scorer: the name of the scorer of turns that name none.
        options: the options of that scorer.
        history: the earlier answers that a turn reads: the model's own, or those of the data.
        controls: whether the questions are asked again under all controls, or the names of those
            that are wanted: `image exchanged`, `audio left out`, `media exchanged` …
        rows: the number of conversations to evaluate; None: all.
        root: the folder of relative media paths; None: that of the data.
        kept: the folder of kept answers; None: `kept` in `out`.
        batch_size: the number of conversations that are answered together.
        loading: how models are loaded, as for `mmmodal.load`: `dtype`, `device`,
            `attn_implementation`, `quantization`.
        limits: what media may be; None: the modalities' own limits.
        generation: `max_new_tokens` (by default 512), `temperature`, `top_k`, `top_p`,
            `stop_strings`, and `seed`.

    Raises:
        ConfigError: a setting is not valid, or some questions cannot be scored.
        RecordError: there are no such data, or a row is bad.
        MMModalError: a model is not there, or cannot be asked; what it answered is kept.
    """
    sources = [models] if isinstance(models, str | Path) else list(models)
    names = controls if isinstance(controls, bool) else tuple(controls)
    values = {"scorer": scorer, "options": options or {}, "history": history, "controls": names}
    settings = validate(EvaluationSettings, values, "evaluate")
    allowed = limits or LimitSettings()
    how: dict[str, Any] = {
        "loading": validate(Loading, dict(loading or {}), "loading"),
        "generation": validate(Generation, generation, "generation settings"),
        "history": settings.history,
        "limits": allowed,
        "batch_size": batch_size,
    }
    with joined(), KeptAnswers.opened(kept or Path(out) / "kept", allowed) as store:
        evaluation = Evaluation(_questions(data, settings, rows, root), settings, store)
        return evaluate_all(list(_folders(sources, store, how)), evaluation, Path(out))


def _questions(
    data: str | Path | Shards, settings: EvaluationSettings, rows: int | None, root: Path | None
) -> Questions:
    shards = data if isinstance(data, Shards) else find_shards(data)
    conversations, _ = conversations_of(scan(shards), root, rows, skip=False)
    return Questions.of(shards.label, conversations, settings)


def _folders(
    sources: Sequence[str | Path], store: KeptAnswers, how: Mapping[str, Any]
) -> Iterator[Named]:
    texts = [str(source) for source in sources]
    for name, source in zip(names_of(texts), texts, strict=True):
        yield Named(name, source, FolderModel(source, store.contents, **how))
