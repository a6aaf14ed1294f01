// One instruction between a load of its operands and a store of everything that it may have written: see tests/test_ascend_instructions.py, which writes the instructions.
#include "kernel_operator.h"
#include "tile_ascend_host.h"

using namespace AscendC;
static constexpr uint32_t room = 16384;                      // bytes of each array and of its place
typedef const int32_t *Numbers;

template <class T> GlobalTensor<T> global(GM_ADDR at) {
    GlobalTensor<T> x;
    x.SetGlobalBuffer((T *)at);
    return x;
}
template <class T> LocalTensor<T> place(int n) { return LocalTensor<T>(TPosition::VECIN, (uint32_t)n * room, room / sizeof(T)); }
template <class T> LocalTensor<T> a() { return place<T>(0); }
template <class T> LocalTensor<T> b() { return place<T>(1); }
template <class T> LocalTensor<T> d() { return place<T>(2); }
inline float scalar(Numbers p) {
    float x;
    memcpy(&x, p + 15, 4);
    return x;
}
inline BinaryRepeatParams binary(Numbers p) { return BinaryRepeatParams(p[2], p[3], p[4], p[5], p[6], p[7]); }
inline UnaryRepeatParams unary(Numbers p) { return UnaryRepeatParams(p[2], p[3], p[5], p[6]); }
inline CopyRepeatParams copied(Numbers p) { return CopyRepeatParams(p[2], p[3], p[5], p[6]); }
inline DataCopyExtParams runs(Numbers p) {
    DataCopyExtParams r;
    r.blockCount = p[0], r.blockLen = p[1], r.srcStride = p[2], r.dstStride = p[3];
    return r;
}
template <class T> DataCopyPadExtParams<T> padding(Numbers p) {
    DataCopyPadExtParams<T> r;
    r.isPad = p[4], r.leftPadding = p[5], r.rightPadding = p[6], r.paddingValue = (T)scalar(p);
    return r;
}
inline DataCopyParams whole(Numbers p) {
    DataCopyParams r;
    r.blockCount = p[0], r.blockLen = p[1], r.srcStride = p[2], r.dstStride = p[3];
    return r;
}

// A product of m x k and k x n elements. p: m, n, k, how the left and the right operand come (0: their L0 image by plain copies, 1: rows of a matrix, 2: rows of the
// transposed matrix), elements between rows of the result, whether a second product is added, relu, whether the result is added to memory.
inline int up(int n, int to) { return (n + to - 1) / to * to; }
template <class T> void operand(GM_ADDR from, LocalTensor<T> to, int across, int k, int how, bool left, uint32_t at) {
    constexpr int c0 = 32 / (int)sizeof(T), square = sizeof(T) == 1 ? 32 : 16;
    const LocalTensor<T> panel(left ? TPosition::A1 : TPosition::B1, at, 65536 / sizeof(T));
    LoadData2DParams run;
    if (how == 0) {
        const int bytes = up(across, 16) * up(k, c0) * (int)sizeof(T);
        DataCopy(panel, global<T>(from), (uint32_t)(bytes / (int)sizeof(T)));
        PipeBarrier<PIPE_ALL>();
        run.repeatTimes = bytes / 512, run.srcStride = 1;
        return LoadData(to, panel, run);
    }
    const int rows = how == 1 ? across : k, columns = how == 1 ? k : across, height = up(rows, square);
    Nd2NzParams p;
    p.nValue = rows, p.dValue = columns, p.srcDValue = columns, p.dstNzC0Stride = height;
    InitConstValueParams<uint32_t> zero;
    zero.repeatTimes = 1, zero.blockNum = height * up(columns, square) * (int)sizeof(T) / 32;
    InitConstValue(panel.template ReinterpretCast<uint32_t>(), zero);
    PipeBarrier<PIPE_ALL>();
    if (sizeof(T) == 4 && how == 2) {                        // rows of fractals: a square of floats is two fractals that follow each other
        for (int r = 0; r < rows; r += 16) {
            p.nValue = rows - r < 16 ? rows - r : 16, p.dstNzC0Stride = 16;
            DataCopy(panel[r * up(columns, 16)], global<T>(from)[r * columns], p);
        }
    } else DataCopy(panel, global<T>(from), p);
    PipeBarrier<PIPE_ALL>();
    const int A = up(across, square) / 16, kc = up(k, square) / c0;      // fractals: rows of the operand, pieces of K
    for (int i = 0; i < A; ++i)
        for (int c = 0; c < kc; ++c) {
            const LocalTensor<T> one = to[(left ? i * kc + c : c * A + i) * 16 * c0];
            run.repeatTimes = 1, run.srcStride = 1, run.ifTranspose = how == 2;
            run.startIndex = how == 1 ? c * A + i : i * (height / 16) + c;
            if (how == 1 || sizeof(T) == 2) LoadData(one, panel, run);
            else if ((sizeof(T) == 1 ? i : c) % 2 == 0) {    // a square of two fractals at a time
                LoadData2dTransposeParams square_of;
                square_of.repeatTimes = 1, square_of.srcStride = 1;
                square_of.startIndex = sizeof(T) == 1 ? i / 2 * (height / 32) + c : c / 2 * (up(columns, 16) / 16) + i;
                square_of.dstFracGap = (sizeof(T) == 1 ? left ? kc : 1 : left ? 1 : A) - 1;
                LoadDataWithTranspose(one, panel, square_of);
            }
        }
}
template <class S, class T, class U> void product(GM_ADDR x, GM_ADDR y, GM_ADDR z, Numbers p) {
    const int m = p[0], n = p[1], k = p[2];
    constexpr int square = sizeof(T) == 1 ? 32 : 16;
    const LocalTensor<T> l(TPosition::A2, 0, 65536 / sizeof(T)), r(TPosition::B2, 0, 65536 / sizeof(T));
    const LocalTensor<S> c(TPosition::CO1, 0, 32768);
    operand(x, l, m, k, p[3], true, 0);
    operand(y, r, n, k, p[4], false, 65536);
    PipeBarrier<PIPE_ALL>();
    MmadParams sizes;
    sizes.m = m, sizes.n = n, sizes.k = k;
    if (p[3] + p[4]) sizes.m = m == 1 ? 1 : up(m, square), sizes.n = up(n, square), sizes.k = up(k, square);
    for (int turn = 0; turn <= p[6]; ++turn) {
        sizes.cmatrixInitVal = turn == 0;
        Mmad(c, l, r, sizes);
        PipeBarrier<PIPE_ALL>();
    }
    FixpipeParamsV220 out;
    out.mSize = m, out.nSize = n, out.srcStride = up(sizes.m, 16), out.dstStride = p[5], out.reluEn = p[7];
    out.quantPre = std::is_same_v<U, half> ? F322F16 : std::is_same_v<U, bfloat16_t> ? F322BF16 : NoQuant;
    if constexpr (!std::is_same_v<U, int32_t>)
        if (p[8]) SetAtomicAdd<U>();
    Fixpipe<U, S, CFG_ROW_MAJOR>(global<U>(z), c, out);
    SetAtomicNone();
}

static void instruction(uint64_t number, GM_ADDR x, GM_ADDR y, GM_ADDR z, Numbers p);
extern const uint64_t first_of_the_cube;
static void one(uint64_t number, GM_ADDR x, GM_ADDR y, GM_ADDR z, Numbers p) {
    KERNEL_TASK_TYPE_DEFAULT(number >= first_of_the_cube ? KERNEL_TYPE_AIC_ONLY : KERNEL_TYPE_AIV_ONLY);
    if (ASCEND_IS_AIC) return instruction(number, x, y, z, p);
    DataCopy(a<uint8_t>(), global<uint8_t>(x), room);
    DataCopy(b<uint8_t>(), global<uint8_t>(y), room);
    DataCopy(d<uint8_t>(), global<uint8_t>(z), room);
    PipeBarrier<PIPE_ALL>();
    instruction(number, x, y, z, p);
    PipeBarrier<PIPE_ALL>();
    if (!p[14]) DataCopy(global<uint8_t>(z), d<uint8_t>(), room);
}
struct k_arguments { uint64_t number; GM_ADDR a, b, c; Numbers p; };
extern "C" DSLC_EXPORT int32_t launch_k(const k_arguments *g, void *stream) { return DSLC_LAUNCH(one, 1, stream, g->number, g->a, g->b, g->c, g->p); }
