"""The peers, one module each, written as their own docs would have it; imported only when they run."""
