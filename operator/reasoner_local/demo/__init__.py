"""`reasoner demo`: the whole recipe on the embedded cluster, shown live, in minutes."""
