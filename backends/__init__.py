"""One folder per target; a folder without BACKEND (common) is not a target."""
