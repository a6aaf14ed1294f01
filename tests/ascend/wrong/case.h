// Small kernels written by hand, many in one file: KERNEL(NAME) { .. } with the memory a (read only), b and c (4096 bytes each); the launcher takes the kernel's number.
#include "kernel_operator.h"
#include "tile_ascend_host.h"

using namespace AscendC;
typedef void (*Body)(GM_ADDR a, GM_ADDR b, GM_ADDR c);
struct Cases { int32_t count; Body body[80]; };
static Cases cases;
static int32_t add(Body body) { return cases.body[cases.count++] = body, cases.count; }
#define KERNEL(NAME)                                             \
    static void NAME(GM_ADDR a, GM_ADDR b, GM_ADDR c);           \
    static const int32_t number_of_##NAME = add(NAME);           \
    static void NAME(GM_ADDR a, GM_ADDR b, GM_ADDR c)

template <class T> GlobalTensor<T> global(GM_ADDR at) {
    GlobalTensor<T> x;
    x.SetGlobalBuffer((T *)at);
    return x;
}
template <class T> LocalTensor<T> ub(uint32_t at, uint32_t count) { return LocalTensor<T>(TPosition::VECCALC, at, count); }
template <class T> LocalTensor<T> l1(uint32_t at, uint32_t count) { return LocalTensor<T>(TPosition::A1, at, count); }
template <class T> LocalTensor<T> l0a(uint32_t at, uint32_t count) { return LocalTensor<T>(TPosition::A2, at, count); }
template <class T> LocalTensor<T> l0b(uint32_t at, uint32_t count) { return LocalTensor<T>(TPosition::B2, at, count); }
template <class T> LocalTensor<T> l0c(uint32_t at, uint32_t count) { return LocalTensor<T>(TPosition::CO1, at, count); }
#define PASS(EVENT, id) SetFlag<HardEvent::EVENT>(id), WaitFlag<HardEvent::EVENT>(id)

struct k_arguments { uint64_t number, blocks; GM_ADDR a, b, c; };
static bool ends;                    // false: the kernel writes its own end
static void run_case(uint64_t number, GM_ADDR a, GM_ADDR b, GM_ADDR c) {
    KERNEL_TASK_TYPE_DEFAULT(TYPE);
    InitSocState();
    ends = true;
    cases.body[number](a, b, c);
    if (ends) PipeBarrier<PIPE_ALL>();
}
extern "C" DSLC_EXPORT int32_t launch_k(const k_arguments *p, void *stream) { return DSLC_LAUNCH(run_case, p->blocks, stream, p->number, p->a, p->b, p->c); }
