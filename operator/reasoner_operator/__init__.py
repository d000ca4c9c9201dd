"""The operator: kopf handlers, reconcile and planning, and the `reasoner` command."""

from importlib.metadata import version

__version__ = version("reasoner-operator")
