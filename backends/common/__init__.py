"""What targets share, written for sharing: no target is built on another's."""
