"""The base of every model of the contract, and the markers that the CRD generator reads. Used by all of
`reasoner_api`."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel


def camel(name: str) -> str:
    """`base_url` -> `baseURL`: Kubernetes writes initialisms in capitals, unless they start the name."""
    words = to_camel(name)
    for suffix, initialism in (("Url", "URL"), ("Usd", "USD")):
        if words.endswith(suffix):
            words = words.removesuffix(suffix) + initialism
    return words


class Model(BaseModel):
    """Camel-case on the wire, snake-case in Python, unknown fields refused, values frozen."""

    model_config = ConfigDict(
        alias_generator=camel,
        populate_by_name=True,
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
        protected_namespaces=(),
    )

    def wire(self) -> dict[str, Any]:
        """The JSON value with absent optionals left out, as the API server and pods see it."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


def rules(*pairs: tuple[str, str]) -> ConfigDict:
    """CEL rules (rule, message) of a model, for its `model_config`; the API server evaluates them."""
    return ConfigDict(
        json_schema_extra={"x-kubernetes-validations": [{"rule": rule, "message": text} for rule, text in pairs]}
    )


class Open(Model):
    """A model that tolerates unknown fields: what an older reader may meet from a newer writer."""

    model_config = ConfigDict(extra="ignore")


#: A piece of a pod's manifest that Kubernetes itself validates (an env entry, a toleration, ...).
Manifest = Annotated[dict[str, Any], Field(json_schema_extra={"x-kubernetes-preserve-unknown-fields": True})]

#: A Kubernetes quantity such as `500m` or `16Gi`.
Quantity = Annotated[str, Field(pattern=r"^[0-9]+(\.[0-9]+)?(m|k|Ki|M|Mi|G|Gi|T|Ti|P|Pi)?$")]

#: The name of another object in the same namespace.
ObjectName = Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")]

#: Where bytes lie: an object store, a shared file system or, for sources, the web.
StoreURI = Annotated[str, Field(pattern=r"^(s3|file)://.+", max_length=2048)]
SourceURI = Annotated[str, Field(pattern=r"^(s3|file|https?)://.+", max_length=2048)]

#: A sha256 digest as artifacts carry it.
Digest = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
