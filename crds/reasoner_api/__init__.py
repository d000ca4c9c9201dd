"""The contract of the reasoner operator: pydantic models of the three kinds, of the file a pod reads and of
the report it leaves. Everyone may import this package; it imports pydantic alone."""

GROUP = "reasoner.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
