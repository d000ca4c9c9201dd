"""The platform team's settings: a YAML file rendered from Helm values. Read by `cli`, used by `plan`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import Field, ValidationError

from reasoner_api.base import Model
from reasoner_api.common import Compute
from reasoner_operator import __version__


class SettingsError(ValueError):
    """The settings file cannot be used; the message names the field."""


class Images(Model):
    """Default images, where a spec names none."""

    curation: str = f"ghcr.io/reasoner-dev/curation:{__version__}"
    """Curation, and fetching of models for servers."""
    trainer: str = f"ghcr.io/reasoner-dev/trainer:{__version__}"
    """Verifier training, GRPO and the transformers server."""
    vllm: str = "vllm/vllm-openai:v0.31.0"
    """The vLLM server."""


class Settings(Model):
    """What the platform team decides once for all objects."""

    images: Images = Images()
    """Default images."""
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] = "IfNotPresent"
    """Pull policy of every container."""
    profiles: dict[str, Compute] = Field(default_factory=dict)
    """Compute profiles by name, for `compute.profile`."""
    resync_seconds: Annotated[float, Field(ge=1)] = 300.0
    """Seconds between reconciliations of an object of which no event came."""
    progress_seconds: Annotated[float, Field(ge=0.2)] = 5.0
    """Seconds between readings of a running pod's progress."""


def load_settings(path: Path | None) -> Settings:
    """Settings from a file, or the defaults when there is none.

    Raises:
        SettingsError: the file does not parse or breaks the schema.
    """
    if path is None:
        return Settings()
    try:
        return Settings.model_validate(yaml.safe_load(path.read_text()) or {})
    except (OSError, yaml.YAMLError) as error:
        raise SettingsError(f"{path}: {error}") from error
    except ValidationError as error:
        raise SettingsError(f"{path}: {describe(error)}") from error


def describe(error: ValidationError) -> str:
    """A pydantic error as `field: what is wrong`, one for each field."""
    return "; ".join(f"{'.'.join(str(part) for part in item['loc'])}: {item['msg']}" for item in error.errors())
