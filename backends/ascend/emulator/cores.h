// Cores of architecture 2201 on this processor: asynchronous pipes, flags between them, memories that know who wrote them. What kernel_operator.h is made of.
//
// Every instruction is put on its pipe's queue with the bytes that it reads and writes. Pipes take turns as the run's mode says; whatever the order, a vector
// clock per pipe tells which earlier instructions are complete for sure, and an access that meets another one which is not is a race.
#ifndef DSLC_EMULATOR_CORES_H
#define DSLC_EMULATOR_CORES_H

#include <stdint.h>

#include <functional>
#include <string>
#include <vector>

enum pipe_t { PIPE_S, PIPE_V, PIPE_M, PIPE_MTE1, PIPE_MTE2, PIPE_MTE3, PIPE_FIX, PIPE_ALL };
enum KernelType {
    KERNEL_TYPE_AIV_ONLY, KERNEL_TYPE_AIC_ONLY, KERNEL_TYPE_MIX_AIC_1_1, KERNEL_TYPE_MIX_AIC_1_2, KERNEL_TYPE_MIX_AIC_1_0, KERNEL_TYPE_MIX_AIV_1_0
};

namespace dslc_emulator {

enum Memory { UB, L1, L0A, L0B, L0C, memories };

struct Run { uint8_t *at; int64_t bytes; };
using Runs = std::vector<Run>;
// What the race check lets pass beside order: additions in memory, products added up in one accumulator by one pipe.
enum Kind { plain, atomic, accumulating };

struct Instruction {
    pipe_t pipe;
    const char *api;
    Runs reads, writes;
    std::function<void()> work;
    Kind kind = plain;
    double cycles = 1;              // by the documented rates; only traces use it
    std::function<Runs()> more;     // what it reads besides, which the other operands say
    std::function<std::string()> layout;    // compares and sets the tags of fractals; what is wrong, or ""
};
// What an instruction says of the place of a matrix that it puts somewhere (fractals.h): `matrix` is 0 where nothing is known.
struct Tag { int32_t matrix = 0, y = 0, x = 0, pitch = 0, bytes = 0; bool turned = false; };
Tag *tag_of(const uint8_t *at);     // of a place in a memory of the running core; of another place one that means nothing
int32_t new_matrix();

// Put an instruction on its pipe. The caller's addresses are kept, to name the generated line when something is wrong.
void issue(Instruction instruction);
// A scalar access of the running core, done at once.
void scalar(const char *api, uint8_t *at, int64_t bytes, bool writes);
void set_flag(pipe_t from, pipe_t to, int32_t id);
void wait_flag(pipe_t from, pipe_t to, int32_t id);
void barrier(pipe_t pipe);
void fixed_addresses();             // this core's tensors are at fixed addresses: it ends with a barrier of all pipes
void cross_set(int32_t mode, pipe_t pipe, int32_t id);
void sync_all(bool vectors);        // all vector cores, or all cores
void cross_wait(int32_t mode, pipe_t pipe, int32_t id);

// A buffer of a queue in a memory of the running core (queues.h).
struct Buffer {
    enum State { idle, taken, queued, dequeued } state = idle;
    uint8_t *at = nullptr;
    int64_t bytes = 0;
    bool used = false;              // freed after it was dequeued, so that the flag of that is set
    int site = 0;                   // of the call that took it
};
constexpr int most_buffers = 64;    // of a kernel (CANN documentation, TPipe, InitBuffer)
int new_buffer(uint8_t *at, int64_t bytes);
Buffer &buffer(int number);
void take(int number, pipe_t from, pipe_t to);
void buffer_flag(bool sets, int number, pipe_t from, pipe_t to);
void drop_buffers();                // at the end of their TPipe, when all must be idle

// While one stands, what the running core writes to global memory is one store of the language, whose elements differ.
struct Distinct { Distinct(); ~Distinct(); };

void clean();                       // the scalar unit's data cache of global memory: written back, and read anew
void wrong(const char *kind, const char *format, ...) __attribute__((format(printf, 2, 3)));

uint8_t *memory(Memory which);      // of the running core
int64_t capacity(Memory which);     // bytes
bool is_cube();
int64_t block(), blocks(), sub();
void task_type(KernelType type);
bool vector_only();
int32_t &atomic_mode();             // 0 none, 1 add, 2 max, 3 min

int64_t ai_cores();
void *reserve(const char *name, uint64_t bytes, bool initialised);
int32_t run(const char *kernel, std::function<void()> body, int64_t blocks);

template <class... P, class... A> int32_t launch(const char *kernel, void (*entry)(P...), int64_t blocks, A... arguments) {
    return run(kernel, [=] { entry((P)arguments...); }, blocks);
}

}  // namespace dslc_emulator

#endif
