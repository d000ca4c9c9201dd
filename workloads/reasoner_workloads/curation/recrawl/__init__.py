"""The original pages, fetched again: `fetcher` is what the stages call, `guard` decides what may be reached."""
