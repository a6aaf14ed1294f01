"""Text shared by targets of the C family; not a target."""
