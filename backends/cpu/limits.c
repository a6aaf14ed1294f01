// What this processor can do at most: fused multiply-adds from registers, and bytes copied between two large arrays. Each function
// runs on the threads of the pool and returns operations or bytes per nanosecond (so GFLOP/s and GB/s) of one timed pass.
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#if defined(__AVX512F__)
enum { VECTOR_BYTES = 64 };
#elif defined(__AVX__)
enum { VECTOR_BYTES = 32 };
#else
enum { VECTOR_BYTES = 16 };
#endif
typedef float f32_vector __attribute__((vector_size(VECTOR_BYTES)));
typedef double f64_vector __attribute__((vector_size(VECTOR_BYTES)));

typedef int32_t (*dslc_body)(const void *arguments, int64_t first, int64_t last, void *scratch);
typedef int32_t (*dslc_parallel_for)(dslc_body body, const void *arguments, int64_t programs, size_t scratch_bytes, int32_t threads);

enum {
    ACCUMULATORS = 12,  // above latency times units of any core so far (4 x 2 on Zen 3 and Skylake), and below 16 registers
    TRIPS = 20000,      // per program, about 50 us
    PROGRAMS = 64,      // a pass is short (1.5 ms on two cores), so that some pass falls between time slices of other work
};

static double nanoseconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return 1e9 * (double)t.tv_sec + (double)t.tv_nsec;
}

#define FMA_BODY(name, vector)                                                                   \
    static int32_t name(const void *arguments, int64_t first, int64_t last, void *scratch) {     \
        volatile vector *const result = (vector *)scratch;                                        \
        const vector x = (vector){} + *(const volatile float *)arguments, y = x;                  \
        for (int64_t p = first; p < last; ++p) {                                                  \
            vector a[ACCUMULATORS];                                                               \
            for (int i = 0; i < ACCUMULATORS; ++i) a[i] = x * (float)i;                           \
            for (int32_t t = 0; t < TRIPS; ++t) {                                                 \
                _Pragma("GCC unroll 12") for (int i = 0; i < ACCUMULATORS; ++i) a[i] = a[i] * x + y; \
                __asm__ volatile("" ::: "memory");                                                \
            }                                                                                     \
            for (int i = 1; i < ACCUMULATORS; ++i) a[0] += a[i];                                  \
            *result = a[0];                                                                       \
        }                                                                                         \
        return 0;                                                                                 \
    }
FMA_BODY(fma_f32, f32_vector)
FMA_BODY(fma_f64, f64_vector)

static double fma_rate(dslc_body body, size_t width, dslc_parallel_for run, int32_t threads) {
    const float factor = 0.5f;
    const double start = nanoseconds();
    if (run(body, &factor, PROGRAMS, 64, threads)) return 0;
    return 2.0 * ACCUMULATORS * (double)(VECTOR_BYTES / width) * TRIPS * PROGRAMS / (nanoseconds() - start);
}

typedef struct {
    char *to, *from;
    size_t chunk;
} copy_arguments;

static int32_t copy_chunks(const void *arguments, int64_t first, int64_t last, void *scratch) {
    const copy_arguments *const c = (const copy_arguments *)arguments;
    (void)scratch;
    for (int64_t p = first; p < last; ++p) memcpy(c->to + (size_t)p * c->chunk, c->from + (size_t)p * c->chunk, c->chunk);
    return 0;
}

double dslc_f32_rate(void *run, int32_t threads) { return fma_rate(fma_f32, sizeof(float), (dslc_parallel_for)run, threads); }
double dslc_f64_rate(void *run, int32_t threads) { return fma_rate(fma_f64, sizeof(double), (dslc_parallel_for)run, threads); }

// The better of copying by small chunks and by chunks so large that the C library streams past the caches. Two arrays of `bytes`.
double dslc_copy_rate(void *run, int32_t threads, int64_t bytes, int32_t passes) {
    double best = 0;
    char *const memory = (char *)malloc(2 * (size_t)bytes);
    if (!memory) return 0;
    memset(memory, 1, 2 * (size_t)bytes);
    for (int32_t pass = 0; pass < 2 * passes; ++pass) {
        const copy_arguments c = {memory, memory + bytes, pass % 2 ? (size_t)bytes / 8 : (size_t)1 << 18};
        const double start = nanoseconds();
        if (((dslc_parallel_for)run)(copy_chunks, &c, bytes / (int64_t)c.chunk, 0, threads)) break;
        const double rate = 2.0 * (double)bytes / (nanoseconds() - start);
        if (rate > best) best = rate;
    }
    free(memory);
    return best;
}
