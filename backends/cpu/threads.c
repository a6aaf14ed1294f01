// The thread pool behind every launch on the CPU: a range of independent programs, cut into chunks that threads take by an
// atomic counter. C11 with pthreads and GNU atomics; also compiles as C++.
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef int32_t (*dslc_body)(const void *args, int64_t first, int64_t last, void *scratch);
int32_t dslc_parallel(dslc_body body, const void *args, int64_t programs, size_t scratch_bytes, int32_t threads);

enum {
    DSLC_NO_MEMORY = 1000,        // a status of ours; those of bodies are theirs
    MAX_WORKERS = 255,
    CHUNKS_PER_THREAD = 8,        // of what is left, so that uneven programs even out
    SPIN_NANOSECONDS = 200000,    // before sleeping: Python takes 20 to 100 us from one launch to the next, and a thread that slept some 30 to wake (Zen 3, KVM)
    PAUSES_PER_LOOK = 32,         // between two looks at the clock, about 0.5-1.5 us
};

typedef struct {
    void *memory;
    size_t bytes;
} scratch_buffer;

typedef struct {
    pthread_t thread;
    scratch_buffer scratch;
} worker;

// `state` joins the job number (upper half), OPEN, and the count of workers inside the job, so that a worker enters a job by one
// compare-and-swap and never enters one that its caller has closed: a caller waits for those who came, not for those asleep.
static const uint64_t OPEN = (uint64_t)1 << 31;

static struct {
    uint64_t state;
    dslc_body body;               // the job, constant while it is open
    const void *args;
    int64_t programs;
    size_t scratch_bytes;
    int32_t helpers;              // workers that may enter
    int64_t next __attribute__((aligned(64)));      // first program not yet taken; on a line of its own
    int32_t status __attribute__((aligned(64)));    // first non-zero status
    int32_t busy;                 // held by the calling thread
    int32_t stopping, sleepers, workers, processors;
    scratch_buffer scratch;       // the caller's
    worker worker[MAX_WORKERS];
} pool;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t job_posted = PTHREAD_COND_INITIALIZER;

static void pause_briefly(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static int64_t nanoseconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int grow(scratch_buffer *s, size_t bytes) {
    if (bytes <= s->bytes)
        return 1;
    void *memory = NULL;
    if (posix_memalign(&memory, 64, bytes) != 0)
        return 0;
    free(s->memory);
    s->memory = memory;
    s->bytes = bytes;
    return 1;
}

static void fail(int32_t status) {
    int32_t none = 0;
    __atomic_compare_exchange_n(&pool.status, &none, status, 0, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
}

// The next chunk: a part of what is left, so that the last ones are small (Polychronopoulos and Kuck, "Guided self-scheduling", 1987); empty at the end.
static int64_t take(int64_t *first) {
    int64_t left, chunk;
    *first = __atomic_load_n(&pool.next, __ATOMIC_RELAXED);
    do {
        left = pool.programs - *first;
        chunk = left / ((int64_t)(pool.helpers + 1) * CHUNKS_PER_THREAD);
        chunk = chunk > 1 ? chunk : left > 0;
    } while (chunk > 0 && !__atomic_compare_exchange_n(&pool.next, first, *first + chunk, 1, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
    return chunk;
}

// Takes chunks until none is left or a body has failed.
static void work(scratch_buffer *scratch) {
    if (!grow(scratch, pool.scratch_bytes)) {
        fail(DSLC_NO_MEMORY);
        return;
    }
    while (__atomic_load_n(&pool.status, __ATOMIC_RELAXED) == 0) {
        int64_t first, chunk = take(&first);
        if (chunk == 0)
            return;
        int32_t status = pool.body(pool.args, first, first + chunk, scratch->memory);
        if (status != 0)
            fail(status);
    }
}

// Waits for a job other than `seen`; its state, or 0 at the end of the pool.
static uint64_t await_job(uint64_t seen) {
    int64_t deadline = nanoseconds() + SPIN_NANOSECONDS;
    do
        for (int i = 0; i < PAUSES_PER_LOOK; ++i) {
            uint64_t state = __atomic_load_n(&pool.state, __ATOMIC_ACQUIRE);
            if (state >> 32 != seen || __atomic_load_n(&pool.stopping, __ATOMIC_RELAXED))
                return __atomic_load_n(&pool.stopping, __ATOMIC_RELAXED) ? 0 : state;
            pause_briefly();
        }
    while (nanoseconds() < deadline);

    pthread_mutex_lock(&lock);
    // Announced before the last look, as the caller posts before it counts sleepers: one of the two sees the other.
    __atomic_fetch_add(&pool.sleepers, 1, __ATOMIC_SEQ_CST);
    uint64_t state;
    while ((state = __atomic_load_n(&pool.state, __ATOMIC_SEQ_CST)) >> 32 == seen && !pool.stopping)
        pthread_cond_wait(&job_posted, &lock);
    __atomic_fetch_sub(&pool.sleepers, 1, __ATOMIC_SEQ_CST);
    int stopping = pool.stopping;
    pthread_mutex_unlock(&lock);
    return stopping ? 0 : state;
}

// Nonzero if the job is still open and this thread is now counted in it.
static int enter(uint64_t state, uint64_t job) {
    while (state >> 32 == job && (state & OPEN))
        if (__atomic_compare_exchange_n(&pool.state, &state, state + 1, 0, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
            return 1;
    return 0;
}

static void *worker_main(void *argument) {
    worker *self = (worker *)argument;
    uint64_t seen = 0, state;
    while ((state = await_job(seen)) != 0) {
        seen = state >> 32;
        if (!enter(state, seen))
            continue;
        if (self - pool.worker < pool.helpers)
            work(&self->scratch);
        __atomic_fetch_sub(&pool.state, 1, __ATOMIC_RELEASE);
    }
    return NULL;
}

static void start_workers(int32_t wanted) {
    sigset_t all, before;                       // signals are for the program's own threads
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (pool.workers < wanted) {
        worker *w = &pool.worker[pool.workers];
        if (pthread_create(&w->thread, NULL, worker_main, w) != 0)
            break;                              // fewer threads do the same work
        ++pool.workers;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static void post_job(dslc_body body, const void *args, int64_t programs, size_t scratch_bytes, int32_t helpers) {
    pool.body = body;
    pool.args = args;
    pool.programs = programs;
    pool.scratch_bytes = scratch_bytes;
    pool.helpers = helpers;
    pool.next = 0;
    pool.status = 0;
    uint64_t job = (__atomic_load_n(&pool.state, __ATOMIC_RELAXED) >> 32) + 1;
    job += job == (uint64_t)1 << 32;            // 0 is what a new worker has seen
    __atomic_store_n(&pool.state, (job & 0xffffffff) << 32 | OPEN, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&pool.sleepers, __ATOMIC_SEQ_CST) > 0) {
        pthread_mutex_lock(&lock);
        pthread_cond_broadcast(&job_posted);
        pthread_mutex_unlock(&lock);
    }
}

static void close_job(void) {
    uint64_t state = __atomic_and_fetch(&pool.state, ~OPEN, __ATOMIC_ACQUIRE);
    for (int spins = 0; state & (OPEN - 1); ++spins) {
        if (spins < 1 << 11)
            pause_briefly();
        else
            sched_yield();                      // more threads than processors: let the worker finish
        state = __atomic_load_n(&pool.state, __ATOMIC_ACQUIRE);
    }
}

// ---------------------------------------------------------------- process events
// A child has only the forking thread; the workers' stacks and buffers are lost to it.
static void after_fork(void) {
    pthread_mutex_t new_lock = PTHREAD_MUTEX_INITIALIZER;
    pthread_cond_t new_condition = PTHREAD_COND_INITIALIZER;
    lock = new_lock;
    job_posted = new_condition;
    pool.state = 0;
    pool.busy = pool.workers = pool.sleepers = pool.processors = 0;
    for (int i = 0; i < MAX_WORKERS; ++i)
        pool.worker[i].scratch.bytes = 0, pool.worker[i].scratch.memory = NULL;
    pool.scratch.bytes = 0;
    pool.scratch.memory = NULL;
}

static pthread_once_t fork_once = PTHREAD_ONCE_INIT;
static void watch_forks(void) { pthread_atfork(NULL, NULL, after_fork); }

// At exit or unloading no thread may be left in code or data that goes away.
__attribute__((destructor)) static void stop_workers(void) {
    pthread_mutex_lock(&lock);
    __atomic_store_n(&pool.stopping, 1, __ATOMIC_SEQ_CST);
    pthread_cond_broadcast(&job_posted);
    pthread_mutex_unlock(&lock);
    for (int i = 0; i < pool.workers; ++i)
        if (!pthread_equal(pool.worker[i].thread, pthread_self())) {
            pthread_join(pool.worker[i].thread, NULL);
            free(pool.worker[i].scratch.memory);
        }
    pool.workers = 0;
    if (!pool.busy)                             // else another thread is still computing while the process exits
        free(pool.scratch.memory);
}

// ---------------------------------------------------------------- launching
static int32_t available_processors(void) {
    const char *wish = getenv("DSLC_THREADS");
    int n = wish ? atoi(wish) : 0;
#ifdef __linux__
    cpu_set_t mask;
    if (n <= 0 && sched_getaffinity(0, sizeof mask, &mask) == 0)
        n = CPU_COUNT(&mask);
#endif
    if (n <= 0)
        n = (int)sysconf(_SC_NPROCESSORS_ONLN);
    return n < 1 ? 1 : n;
}

// For a caller that does not hold the pool: inside a body, or beside another caller.
static int32_t run_alone(dslc_body body, const void *args, int64_t programs, size_t scratch_bytes) {
    scratch_buffer own = {NULL, 0};
    if (!grow(&own, scratch_bytes))
        return DSLC_NO_MEMORY;
    int32_t status = body(args, 0, programs, own.memory);
    free(own.memory);
    return status;
}

static int32_t run_holding_pool(dslc_body body, const void *args, int64_t programs, size_t scratch_bytes, int32_t threads) {
    pthread_once(&fork_once, watch_forks);
    if (pool.processors == 0)
        pool.processors = available_processors();
    int64_t wanted = threads > 0 ? threads : pool.processors;
    wanted = wanted < programs ? wanted : programs;
    if (wanted > MAX_WORKERS + 1)
        wanted = MAX_WORKERS + 1;
    if (wanted > 1 && pool.workers < wanted - 1 && !__atomic_load_n(&pool.stopping, __ATOMIC_RELAXED))
        start_workers((int32_t)wanted - 1);
    if (wanted == 1 || pool.workers == 0)
        return grow(&pool.scratch, scratch_bytes) ? body(args, 0, programs, pool.scratch.memory) : DSLC_NO_MEMORY;
    post_job(body, args, programs, scratch_bytes, (int32_t)wanted - 1);
    work(&pool.scratch);
    close_job();
    return pool.status;
}

// Runs body over [0, programs) in pieces, on `threads` threads (0: DSLC_THREADS or the affinity mask), the caller among them.
// Each thread has scratch_bytes of 64-byte aligned memory. Returns the first non-zero status, after which no new piece starts.
int32_t dslc_parallel(dslc_body body, const void *args, int64_t programs, size_t scratch_bytes, int32_t threads) {
    if (programs <= 0)
        return 0;
    if (__atomic_exchange_n(&pool.busy, 1, __ATOMIC_ACQUIRE))
        return run_alone(body, args, programs, scratch_bytes);
    int32_t status = run_holding_pool(body, args, programs, scratch_bytes, threads);
    __atomic_store_n(&pool.busy, 0, __ATOMIC_RELEASE);
    return status;
}

#ifdef __cplusplus
}
#endif
