"""The common checks of the suites, for every kind of part and for every network."""

from __future__ import annotations

import functools
import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmmodal.config import suggest, validate
from mmmodal.plugins import KINDS, registry

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = [
    "assert_close",
    "assert_equal",
    "assert_gradients_reach_all_parameters",
    "assert_import_is_light",
    "assert_known",
    "assert_options_survive_json",
    "assert_workers_can_take",
    "built_again_on_meta",
    "through_safetensors",
]

HEAVY = (
    *("torch", "transformers", "torchvision", "soundfile", "av", "datasets", "accelerate"),
    *("open_clip", "timm", "whisper"),
)
"""Packages that importing a plugin must not load, as `mmmodal plugins` would wait for them."""


def assert_import_is_light(part: object) -> None:
    """Check in a new process that importing a part's package and module loads no slow package."""
    module = type(part).__module__
    loaded = _heavy_imports(module, os.pathsep.join(filter(None, sys.path)))
    assert not loaded, (
        f"importing {module} loads {loaded}; import it inside the functions that use it"
    )


@functools.cache  # a process takes a second, and a module may have several parts
def _heavy_imports(module: str, path: str) -> str:
    """Return the names in `HEAVY` that importing a module in a new process loads."""
    script = (
        f"import sys, importlib\n"
        f"importlib.import_module({module.partition('.')[0]!r})\n"
        f"importlib.import_module({module!r})\n"
        f"print(*[name for name in {HEAVY!r} if name in sys.modules])"
    )
    environment = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def assert_known(kind: str, name: str, contract: type[Any]) -> None:
    """Check that a part of a kind has a name: an installed one, or one that is imported."""
    known = set(registry().names(kind)) | {
        part.name for part in _subclasses(contract) if isinstance(getattr(part, "name", None), str)
    }
    assert name in known, f"there is no {KINDS[kind]} {name!r}{suggest(name, known)}"


def _subclasses(kind: type[Any]) -> Iterator[type[Any]]:
    for inner in kind.__subclasses__():
        yield inner
        yield from _subclasses(inner)


def assert_options_survive_json(part: Any) -> None:
    """Check that options are equal after they were stored in a checkpoint."""
    stored = json.loads(json.dumps(part.options.model_dump(mode="json")))
    assert validate(type(part).Options, stored, "stored options") == part.options


def assert_workers_can_take(part: Any) -> None:
    """Check that a spawned data worker receives an equal part."""
    received = pickle.loads(pickle.dumps(part))
    assert type(received) is type(part)
    assert getattr(received, "options", None) == getattr(part, "options", None)


def assert_equal(first: Any, second: Any) -> None:
    """Check that two tensors, or two dicts of tensors, are bitwise equal."""
    import torch

    torch.testing.assert_close(first, second, rtol=0, atol=0, equal_nan=True)


def assert_close(first: Sequence[Tensor], second: Sequence[Tensor]) -> None:
    """Check that two lists of float32 features are equal up to rounding."""
    import torch

    for one, other in zip(first, second, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


def assert_gradients_reach_all_parameters(network: nn.Module, outputs: Sequence[Tensor]) -> None:
    """Check that each trainable parameter gets a finite gradient from `outputs`."""
    loss = sum((output.float() ** 2).sum() for output in outputs)
    assert not isinstance(loss, int), "the network returned nothing"
    loss.backward()  # type: ignore[no-untyped-call, unused-ignore]
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, f"{name} is not used; remove it"
            assert parameter.grad.isfinite().all(), f"{name} has a gradient that is not finite"


def through_safetensors(
    network: nn.Module, build: Callable[[], nn.Module], folder: Path
) -> nn.Module:
    """Return a new network with the weights of another one, saved and loaded again."""
    from safetensors.torch import load_file, save_file

    state = {name: value.contiguous() for name, value in network.state_dict().items()}
    # A network may have no weights, but a file must have tensors.
    loaded = {}
    if state:
        save_file(state, folder / "part.safetensors")
        loaded = load_file(folder / "part.safetensors")
    twin = build().eval()
    twin.load_state_dict(loaded)
    return twin


def built_again_on_meta(network: nn.Module, build: Callable[[], nn.Module]) -> nn.Module:
    """Return a network built on the meta device, then filled as loading a model does."""
    import torch

    with torch.device("meta"):
        twin = build().eval()
    twin.load_state_dict(network.state_dict(), assign=True)
    # Buffers that are not saved come from the constructor, which must be deterministic.
    fresh = dict(build().named_buffers())
    for name, buffer in list(twin.named_buffers()):
        if buffer.is_meta:
            owner, _, leaf = name.rpartition(".")
            twin.get_submodule(owner)._buffers[leaf] = fresh[name]
    left = [name for name, value in twin.named_parameters() if value.is_meta]
    assert not left, f"{left} are not in the state dict"
    return twin
