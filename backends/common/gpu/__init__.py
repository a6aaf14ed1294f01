"""What machines that run one tile program on many threads share: spreads, placing, synchronisation, rendering."""
