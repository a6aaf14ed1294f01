"""A tile language and its compiler."""
