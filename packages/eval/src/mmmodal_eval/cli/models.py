"""The models that a command line names: folders, and an endpoint."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import click

from mmmodal.authoring.media import LimitSettings
from mmmodal.authoring.parts import validate
from mmmodal_datagen.backends.openai_endpoint import OpenAIOptions
from mmmodal_datagen.contracts import Sampling
from mmmodal_eval.answers.endpoint import EndpointModel
from mmmodal_eval.answers.kept import KeptAnswers
from mmmodal_eval.answers.model import FolderModel, Generation, Loading
from mmmodal_eval.answers.respondent import History
from mmmodal_eval.run.names import names_of
from mmmodal_eval.run.session import Named

__all__ = ["AskedModels"]

LOADING = tuple(Loading.model_fields)
GENERATION = tuple(Generation.model_fields)


class AskedModels:
    """The models of a command line, and how they are asked."""

    def __init__(
        self,
        folders: Sequence[str],
        *,
        endpoint: str | None,
        served: str | None,
        api_key_env: str,
        concurrency: int,
        batch_size: int,
        **options: Any,
    ) -> None:
        """Check the command line.

        Args:
            folders: the model folders, adapters or ids.
            endpoint: the URL of an endpoint.
            served: the name of the model behind it.
            api_key_env: the environment variable that holds its key.
            concurrency: the maximum number of its open calls.
            batch_size: the number of conversations that a folder's model answers together.
            options: those of `loading_options` and `talking_options`, and `seed`.

        Raises:
            click.UsageError: no model is named.
            ConfigError: a value is not valid.
        """
        if endpoint is None and not folders:
            raise click.UsageError("give one or several models and the data: MODEL… DATA")
        if (endpoint is None) != (served is None):
            raise click.UsageError("--endpoint URL and --model NAME belong together")
        self.folders, self._batch_size = tuple(folders), batch_size
        self._loading = Loading(**{name: options[name] for name in LOADING})
        self._generation = Generation(**{name: options[name] for name in GENERATION})
        values: dict[str, Any] = {"base_url": endpoint, "model": served}
        values |= {"api_key_env": api_key_env, "concurrency": concurrency}
        self.endpoint = validate(OpenAIOptions, values, "--endpoint") if endpoint else None

    def named(self, kept: KeptAnswers, limits: LimitSettings, history: History) -> Iterator[Named]:
        """Yield each model; none is loaded yet."""
        served = [self.endpoint.model] if self.endpoint else []
        names = names_of([*self.folders, *served])
        for name, source in zip(names, self.folders, strict=False):
            how: Any = {"loading": self._loading, "generation": self._generation}
            how |= {"history": history, "limits": limits, "batch_size": self._batch_size}
            yield Named(name, source, FolderModel(source, kept.contents, **how))
        if self.endpoint:
            asked = EndpointModel(self.endpoint, kept, sampling=self._sampling(), history=history)
            yield Named(names[-1], f"{self.endpoint.model} at {self.endpoint.base_url}", asked)

    def _sampling(self) -> Sampling:
        """Return the generation settings in the words of the protocol.

        Raises:
            ConfigError: one cannot be sent.
        """
        given = self._generation
        draws = any(each is not None for each in (given.temperature, given.top_p, given.top_k))
        values = {
            "temperature": given.temperature if given.temperature is not None else float(draws),
            "top_p": 1.0 if given.top_p is None else given.top_p,
            "top_k": given.top_k,
            "max_tokens": given.max_new_tokens,
            "stop": given.stop_strings,
            "seed": given.seed if draws else None,
        }
        return validate(Sampling, values, "settings of answers")
