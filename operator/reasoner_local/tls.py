"""The API server's certificate: without TLS kubectl sends no token. Made anew at every start. Used by `cluster`."""

from __future__ import annotations

import ssl
from dataclasses import dataclass

import trustme


@dataclass(frozen=True)
class Served:
    """What the server serves with, and what its clients trust."""

    context: ssl.SSLContext
    authority: str
    """The authority's certificate, as PEM."""


def certificate(*names: str) -> Served:
    """A certificate for these names and addresses, by an authority of its own that signs nothing else."""
    authority = trustme.CA(organization_name="reasoner local")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(*names).configure_cert(context)
    return Served(context, authority.cert_pem.bytes().decode())
