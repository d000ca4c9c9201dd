"""What kube-controller-manager, kube-scheduler and kube-proxy do, for one node."""
