"""The process node: what the kubelet does, with local processes for containers."""
