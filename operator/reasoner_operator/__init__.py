"""The operator: kopf handlers, reconcile and planning, and the `reasoner` command."""
