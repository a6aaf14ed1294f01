"""From IR to a call: arrays, the build cache, specialisation, launching, the command line."""
