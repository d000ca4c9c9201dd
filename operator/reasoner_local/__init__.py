"""The embedded cluster for laptops and CI: API server, process node, object store and teacher stand-ins."""
