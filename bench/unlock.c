// Preloaded before torch: MKL then chooses kernels by instruction set and not by the maker of the processor. A measuring device of the benchmark alone.
int mkl_serv_intel_cpu_true(void) { return 1; }
