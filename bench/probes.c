// The limits of a machine, and STREAM (McCalpin, 1995) written anew: operations from registers, bytes from and to memory, by threads of its own.
// bench_run(what, ..) does one pass and returns the operations or bytes it was; the caller times it. 0: this processor has no such instruction.
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>

#if defined(__AVX512F__)
enum { VECTOR_BYTES = 64 };
#define STREAMING_STORE "vmovntps %1, %0"
#elif defined(__AVX__)
enum { VECTOR_BYTES = 32 };
#define STREAMING_STORE "vmovntps %1, %0"
#else
enum { VECTOR_BYTES = 16 };
#endif
enum { LANES = VECTOR_BYTES / 8, TRIPS = 200000, ACCUMULATORS = 12, MOST_THREADS = 256, SPINS = 20000 };
typedef double vector __attribute__((vector_size(VECTOR_BYTES), aligned(8), may_alias));
typedef float floats __attribute__((vector_size(VECTOR_BYTES)));
typedef int64_t longs __attribute__((vector_size(VECTOR_BYTES)));

struct job {
    int32_t what, streaming;
    const double *a, *b;
    double *c;
    int64_t n;
    double operations;
};

// ---------------------------------------------------------------- threads
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t wake = PTHREAD_COND_INITIALIZER;
static atomic_int turn, busy;
static struct job current;
static int32_t team = 1;
static double counted[MOST_THREADS * 8];
static double one(const struct job *j, int32_t thread, int32_t threads);

static void *work(void *number) {
    const int32_t thread = (int32_t)(intptr_t)number;
    int seen = 0;
    for (;;) {
        for (int32_t i = 0; i < SPINS && atomic_load(&turn) == seen; ++i) __asm__ volatile("" ::: "memory");
        pthread_mutex_lock(&mutex);
        while (atomic_load(&turn) == seen) pthread_cond_wait(&wake, &mutex);
        seen = atomic_load(&turn);
        pthread_mutex_unlock(&mutex);
        counted[thread * 8] = one(&current, thread, team);
        atomic_fetch_sub(&busy, 1);
    }
    return NULL;
}

int32_t bench_threads(int32_t threads) {
    if (threads < 1 || threads > MOST_THREADS) return 1;
    for (; team < threads; ++team) {
        pthread_t t;
        if (pthread_create(&t, NULL, work, (void *)(intptr_t)team)) return 1;
    }
    return 0;
}

double bench_run(int32_t what, int32_t streaming, const double *a, const double *b, double *c, int64_t n) {
    pthread_mutex_lock(&mutex);
    current = (struct job){what, streaming, a, b, c, n, 0};
    atomic_store(&busy, team - 1);
    atomic_fetch_add(&turn, 1);
    pthread_cond_broadcast(&wake);
    pthread_mutex_unlock(&mutex);
    double sum = one(&current, 0, team);
    while (atomic_load(&busy)) __asm__ volatile("" ::: "memory");
    for (int32_t t = 1; t < team; ++t) sum += counted[t * 8];
    return sum;
}

// ---------------------------------------------------------------- operations
static volatile double sink[MOST_THREADS * 8];

static double multiply_add(int32_t thread) {
    const floats x = (floats){} + 0.5f, y = x;
    floats r[ACCUMULATORS];
    for (int i = 0; i < ACCUMULATORS; ++i) r[i] = x * (float)i;
    for (int32_t t = 0; t < TRIPS; ++t) {
        _Pragma("GCC unroll 12") for (int i = 0; i < ACCUMULATORS; ++i) r[i] = r[i] * x + y;
    }
    for (int i = 1; i < ACCUMULATORS; ++i) r[0] += r[i];
    sink[thread * 8] = r[0][0];
    return 2.0 * ACCUMULATORS * (VECTOR_BYTES / 4) * (double)TRIPS;
}

static double multiply_add_wide(int32_t thread) {
    const vector x = (vector){} + 0.5, y = x;
    vector r[ACCUMULATORS];
    for (int i = 0; i < ACCUMULATORS; ++i) r[i] = x * (double)i;
    for (int32_t t = 0; t < TRIPS; ++t) {
        _Pragma("GCC unroll 12") for (int i = 0; i < ACCUMULATORS; ++i) r[i] = r[i] * x + y;
    }
    for (int i = 1; i < ACCUMULATORS; ++i) r[0] += r[i];
    sink[thread * 8] = r[0][0];
    return 2.0 * ACCUMULATORS * LANES * (double)TRIPS;
}

// Twelve registers that each add to themselves: more than latency times units of any core so far.
#define TWELVE(instruction)                                                                                                             \
    floats r0 = {}, r1 = {}, r2 = {}, r3 = {}, r4 = {}, r5 = {}, r6 = {}, r7 = {}, r8 = {}, r9 = {}, ra = {}, rb = {}, x = {};           \
    for (int32_t t = 0; t < TRIPS; ++t)                                                                                                 \
        __asm__ volatile(instruction(%0) instruction(%1) instruction(%2) instruction(%3) instruction(%4) instruction(%5) instruction(%6) \
                             instruction(%7) instruction(%8) instruction(%9) instruction(%10) instruction(%11)                          \
                         : "+v"(r0), "+v"(r1), "+v"(r2), "+v"(r3), "+v"(r4), "+v"(r5), "+v"(r6), "+v"(r7), "+v"(r8), "+v"(r9), "+v"(ra), \
                           "+v"(rb)                                                                                                     \
                         : "v"(x));                                                                                                     \
    sink[thread * 8] = (r0 + r1 + r2 + r3 + r4 + r5 + r6 + r7 + r8 + r9 + ra + rb)[0];

static double multiply_add_bf16(int32_t thread) {
#if defined(__AVX512BF16__)
#define BF16(r) "vdpbf16ps %12, %12, " #r "\n\t"
    TWELVE(BF16)
    return 4.0 * ACCUMULATORS * 16 * (double)TRIPS;
#else
    (void)thread;
    return 0;
#endif
}

static double multiply_add_i8(int32_t thread) {
#if defined(__AVX512VNNI__)
#define I8(r) "vpdpbusd %12, %12, " #r "\n\t"
    TWELVE(I8)
    return 8.0 * ACCUMULATORS * 16 * (double)TRIPS;
#else
    (void)thread;
    return 0;
#endif
}

static double count_bits(int32_t thread) {
#if defined(__AVX512VPOPCNTDQ__)
    longs r[8], x = {1, 2, 3, 4, 5, 6, 7, 8};
    for (int i = 0; i < 8; ++i) r[i] = x * i;
    for (int32_t t = 0; t < TRIPS; ++t) {
        _Pragma("GCC unroll 8") for (int i = 0; i < 8; ++i) {
            longs bits = x ^ r[i];
            __asm__ volatile("vpopcntq %1, %0" : "=v"(bits) : "v"(bits));
            r[i] += bits;
        }
    }
    for (int i = 1; i < 8; ++i) r[0] += r[i];
    sink[thread * 8] = (double)r[0][0];
    return 2.0 * 8 * 512 * (double)TRIPS;
#else
    (void)thread;
    return 0;
#endif
}

// ---------------------------------------------------------------- bytes
static inline void put(double *to, vector value, int32_t streaming) {
#ifdef STREAMING_STORE
    if (streaming) {
        __asm__ volatile(STREAMING_STORE : "=m"(*(vector *)to) : "v"(value));
        return;
    }
#endif
    (void)streaming;
    *(vector *)to = value;
}

static inline vector get(const double *from) { return *(const vector *)from; }

static double read_all(const double *a, int64_t n, int32_t thread) {
    vector s[8] = {};
    for (int64_t i = 0; i + 8 * LANES <= n; i += 8 * LANES)
        _Pragma("GCC unroll 8") for (int j = 0; j < 8; ++j) s[j] += get(a + i + j * LANES);
    for (int j = 1; j < 8; ++j) s[0] += s[j];
    sink[thread * 8] = s[0][0];
    return 8.0 * (double)n;
}

#define PASS(formula)                                                       \
    if (streaming) {                                                        \
        for (int64_t i = 0; i < n; i += LANES) put(c + i, formula, 1);      \
        __asm__ volatile("" ::: "memory");                                  \
        __sync_synchronize();                                               \
    } else {                                                                \
        for (int64_t i = 0; i < n; i += LANES) put(c + i, formula, 0);      \
    }

static double one(const struct job *j, int32_t thread, int32_t threads) {
    const int64_t each = j->n / threads / (8 * LANES) * (8 * LANES), from = each * thread, n = thread + 1 < threads ? each : (j->n - from) / LANES * LANES;
    const double *const a = j->a + from, *const b = j->b + from;
    double *const c = j->c + from;
    const int32_t streaming = j->streaming;
    const vector s = (vector){} + 3.0;
    switch (j->what) {
        case 0: return multiply_add(thread);
        case 1: return multiply_add_wide(thread);
        case 2: return multiply_add_bf16(thread);
        case 3: return multiply_add_i8(thread);
        case 4: return count_bits(thread);
        case 5: return read_all(a, n, thread);
        case 6: PASS(get(a + i)) return 16.0 * (double)n;
        case 7: PASS(s * get(a + i)) return 16.0 * (double)n;
        case 8: PASS(get(a + i) + get(b + i)) return 24.0 * (double)n;
        case 9: PASS(get(a + i) + s * get(b + i)) return 24.0 * (double)n;
        default: return 0;
    }
}
