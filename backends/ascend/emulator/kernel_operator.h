// The AscendC of architecture 2201, emulated: the part of CANN's Basic API that generated source uses, with the same names, types and overloads; what the chip
// lacks has no overload. Facts: CANN documentation, Basic API, one page for each function. Every function puts one instruction on a pipe, see cores.h.
#ifndef DSLC_EMULATED_KERNEL_OPERATOR_H
#define DSLC_EMULATED_KERNEL_OPERATOR_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <bit>
#include <type_traits>

#include "fractals.h"

#define __aicore__
#define __global__
#define __gm__
#define KERNEL_TASK_TYPE_DEFAULT(type) dslc_emulator::task_type(type)
#define ASCEND_IS_AIC (dslc_emulator::is_cube())
#define ASCEND_IS_AIV (!dslc_emulator::is_cube())

typedef uint8_t *GM_ADDR;

struct half {
    uint16_t bits;
    half() = default;
    half(float x) {
        const _Float16 h = (_Float16)x;
        memcpy(&bits, &h, 2);
    }
    template <class T, class = std::enable_if_t<std::is_arithmetic_v<T>>> half(T x) : half((float)x) {}
    operator float() const {
        _Float16 h;
        memcpy(&h, &bits, 2);
        return (float)h;
    }
};
struct bfloat16_t {
    uint16_t bits;
    bfloat16_t() = default;
    explicit bfloat16_t(float x) {
        uint32_t u;
        memcpy(&u, &x, 4);
        bits = (uint16_t)(x != x ? u >> 16 | 0x40 : (u + 0x7fff + (u >> 16 & 1)) >> 16);
    }
    explicit operator float() const {
        const uint32_t u = (uint32_t)bits << 16;
        float x;
        memcpy(&x, &u, 4);
        return x;
    }
};
struct int4b_t { int8_t two; };                              // two elements to a byte, the even one in the low bits

namespace AscendC {

enum class TPosition : uint8_t { GM, A1, A2, B1, B2, C1, C2, CO1, CO2, VECIN, VECOUT, VECCALC, LCM = VECCALC };
enum class HardEvent : uint8_t {
    MTE2_V, V_MTE2, V_MTE3, MTE3_V, MTE2_MTE3, MTE3_MTE2, MTE2_S, S_MTE2, MTE3_S, S_MTE3, V_S, S_V, MTE2_MTE1, MTE1_MTE2, MTE1_M, M_MTE1, M_FIX, FIX_M,
    MTE2_M, M_MTE2, MTE2_FIX, FIX_MTE2, MTE1_FIX, FIX_MTE1
};
enum class RoundMode { CAST_NONE, CAST_RINT, CAST_FLOOR, CAST_CEIL, CAST_ROUND, CAST_TRUNC, CAST_ODD };
enum class CMPMODE : uint8_t { LT, GT, EQ, LE, GE, NE };
enum class SELMODE : uint8_t { VSEL_CMPMASK_SPR, VSEL_TENSOR_SCALAR_MODE, VSEL_TENSOR_TENSOR_MODE };
enum class ReduceOrder { ORDER_VALUE_INDEX, ORDER_INDEX_VALUE, ORDER_ONLY_VALUE, ORDER_ONLY_INDEX };
enum class CacheLine : uint64_t { SINGLE_CACHE_LINE, ENTIRE_DATA_CACHE };
enum class DcciDst : uint64_t { CACHELINE_ALL, CACHELINE_UB, CACHELINE_OUT, CACHELINE_ATOMIC };
enum QuantMode_t { NoQuant, F322F16, F322BF16 };

using dslc_emulator::Instruction;
using dslc_emulator::issue;
using dslc_emulator::Kind;
using dslc_emulator::Run;
using dslc_emulator::Runs;
using dslc_emulator::wrong;
constexpr pipe_t sources[] = {PIPE_MTE2, PIPE_V, PIPE_V, PIPE_MTE3, PIPE_MTE2, PIPE_MTE3, PIPE_MTE2, PIPE_S, PIPE_MTE3, PIPE_S, PIPE_V, PIPE_S, PIPE_MTE2, PIPE_MTE1,
                              PIPE_MTE1, PIPE_M, PIPE_M, PIPE_FIX, PIPE_MTE2, PIPE_M, PIPE_MTE2, PIPE_FIX, PIPE_MTE1, PIPE_FIX};
constexpr pipe_t targets[] = {PIPE_V, PIPE_MTE2, PIPE_MTE3, PIPE_V, PIPE_MTE3, PIPE_MTE2, PIPE_S, PIPE_MTE2, PIPE_S, PIPE_MTE3, PIPE_S, PIPE_V, PIPE_MTE1, PIPE_MTE2,
                              PIPE_M, PIPE_MTE1, PIPE_FIX, PIPE_M, PIPE_M, PIPE_MTE2, PIPE_FIX, PIPE_MTE2, PIPE_FIX, PIPE_MTE1};

// ---------------------------------------------------------------- the core and its order
#if !defined(DSLC_CANN) || DSLC_CANN >= 9
inline void InitSocState() { dslc_emulator::fixed_addresses(); }
#endif
template <HardEvent event> void SetFlag(int32_t id) { dslc_emulator::set_flag(sources[(int)event], targets[(int)event], id); }
template <HardEvent event> void WaitFlag(int32_t id) { dslc_emulator::wait_flag(sources[(int)event], targets[(int)event], id); }
template <pipe_t pipe> void PipeBarrier() { dslc_emulator::barrier(pipe); }
template <uint8_t mode, pipe_t pipe> void CrossCoreSetFlag(uint16_t id) { dslc_emulator::cross_set(mode, pipe, id); }
template <uint8_t mode = 0, pipe_t pipe = PIPE_S> void CrossCoreWaitFlag(uint16_t id) { dslc_emulator::cross_wait(mode, pipe, id); }
template <bool isAIVOnly = true> void SyncAll() { dslc_emulator::sync_all(isAIVOnly); }
inline int64_t GetBlockIdx() { return dslc_emulator::vector_only() || dslc_emulator::is_cube() ? dslc_emulator::block() : 2 * dslc_emulator::block() + dslc_emulator::sub(); }
inline int64_t GetBlockNum() { return dslc_emulator::blocks(); }
inline int64_t GetSubBlockIdx() { return dslc_emulator::sub(); }
inline int64_t GetSubBlockNum() { return 2; }
inline int64_t GetTaskRatio() { return 2; }

// ---------------------------------------------------------------- tensors
using dslc_emulator::Buffer;
constexpr dslc_emulator::Memory memory_of(TPosition p) {
    using namespace dslc_emulator;
    return p == TPosition::A1 || p == TPosition::B1 ? L1 : p == TPosition::A2 ? L0A : p == TPosition::B2 ? L0B : p == TPosition::CO1 ? L0C : UB;
}
template <class T> struct LocalTensor {
    using PrimType = T;
    LocalTensor() = default;
#if !defined(DSLC_CANN) || DSLC_CANN >= 9                     // since CANN 9 (CANN documentation, LocalTensor)
    LocalTensor(TPosition where, uint32_t address, uint32_t elements) : count(elements), position(where) {
        using namespace dslc_emulator;
        const Memory m = memory_of(where);
        if (!memory(m)) wrong("core", "a tensor in a memory that this kind of core does not have");
        if ((int64_t)address + (int64_t)elements * (int64_t)sizeof(T) > capacity(m))
            wrong("capacity", "a tensor of %u elements at byte %u passes the end of its memory, %lld bytes", elements, address, (long long)capacity(m));
        at = memory(m) + address;
    }
#endif
    LocalTensor operator[](uint32_t first) const {
        LocalTensor part = *this;
        part.at += (size_t)first * sizeof(T);
        part.count = first < count ? count - first : 0;
        return part;
    }
    T GetValue(uint32_t i) const {
        if (i >= count) wrong("out of bounds", "GetValue(%u) of a tensor of %u elements", i, count);
        dslc_emulator::scalar("GetValue", at + (size_t)i * sizeof(T), sizeof(T), false);
        return data()[i];
    }
    template <class S> requires std::is_constructible_v<T, S> void SetValue(uint32_t i, S value) const {
        const T element = (T)value;
        if (i >= count) wrong("out of bounds", "SetValue(%u) of a tensor of %u elements", i, count);
        dslc_emulator::scalar("SetValue", at + (size_t)i * sizeof(T), sizeof(T), true);
        memcpy(at + (size_t)i * sizeof(T), &element, sizeof(T));
    }
    template <class U> LocalTensor<U> ReinterpretCast() const {
        LocalTensor<U> other;
        other.at = at;
        other.count = (uint32_t)((uint64_t)count * sizeof(T) / sizeof(U));
        other.position = position;
        return other;
    }
    uint32_t GetSize() const { return count; }
    int32_t GetPosition() const { return (int32_t)position; }
    T *data() const { return (T *)at; }

    uint8_t *at = nullptr;
    uint32_t count = 0;
    TPosition position = TPosition::VECCALC;
};
template <class T> struct GlobalTensor {
    using PrimType = T;
    void SetGlobalBuffer(T *first, uint64_t = 0) { data = first; }
    GlobalTensor operator[](uint64_t first) const {
        GlobalTensor part;
        part.data = data + first;
        return part;
    }
    T GetValue(uint64_t i) const {
        dslc_emulator::scalar("GetValue", (uint8_t *)(data + i), sizeof(T), false);
        T value;
        memcpy(&value, data + i, sizeof(T));
        return value;
    }
    void SetValue(uint64_t i, T value) {
        dslc_emulator::scalar("SetValue", (uint8_t *)(data + i), sizeof(T), true);
        memcpy(data + i, &value, sizeof(T));
    }
    T *GetPhyAddr(uint64_t i = 0) const { return data + i; }
    T *data = nullptr;
};
template <class T, CacheLine, DcciDst = DcciDst::CACHELINE_OUT> void DataCacheCleanAndInvalid(const GlobalTensor<T> &) { dslc_emulator::clean(); }

}  // namespace AscendC
#include "queues.h"
namespace AscendC {

// What an access covers. Vector units address by blocks of 32 bytes.
template <class T> Run flat(LocalTensor<T> t, int64_t n) {
    if (n * (int64_t)sizeof(T) > (int64_t)t.count * (int64_t)sizeof(T)) wrong("out of bounds", "%lld elements of a tensor of %u", (long long)n, t.count);
    return {t.at, n * (int64_t)sizeof(T)};
}
template <class T> Run vector(LocalTensor<T> t, int64_t n) {
    if ((uintptr_t)t.at % 32) wrong("alignment", "an operand in UB begins at no multiple of 32 bytes");
    return flat(t, n);
}
// What an instruction with strides covers lies within its tensor.
template <class T> Runs inside(const LocalTensor<T> &t, Runs runs) {
    for (const Run &r : runs)
        if (r.at < t.at || r.at + r.bytes > t.at + (int64_t)t.count * (int64_t)sizeof(T))
            wrong("out of bounds", "%lld bytes at byte %lld of a tensor of %u elements", (long long)r.bytes, (long long)(r.at - t.at), t.count);
    return runs;
}
template <class T> int64_t element(int e, int block, int repeat, int r) {
    constexpr int per = 32 / (int)sizeof(T);
    return ((int64_t)(e / per) * block + (int64_t)r * repeat) * per + e % per;
}
template <class T> Runs repeated(LocalTensor<T> t, int64_t mask, int64_t repeats, int block, int repeat) {
    constexpr int per = 32 / (int)sizeof(T);
    if (mask < 1 || mask > 8 * per) wrong("range", "a mask of %lld elements: 1 to %d", (long long)mask, 8 * per);
    if (repeats < 0 || repeats > 255) wrong("range", "%lld repeats: at most 255", (long long)repeats);
    if (block > 255 || repeat > 255 || block < 0 || repeat < 0) wrong("range", "a stride of %d or %d blocks: at most 255", block, repeat);
    if ((uintptr_t)t.at % 32) wrong("alignment", "an operand in UB begins at no multiple of 32 bytes");
    const int64_t last = (mask - 1) / per * block + (repeats - 1) * repeat;
    if (repeats > 0 && last * per + (mask - 1) % per >= (int64_t)t.count) wrong("out of bounds", "%lld repeats pass the end of a tensor of %u elements", (long long)repeats, t.count);
    Runs runs;
    for (int r = 0; r < (repeat ? repeats : repeats > 0); ++r) {
        T *row = t.data() + (int64_t)r * repeat * per;
        if (block == 1) runs.push_back({(uint8_t *)row, mask * (int64_t)sizeof(T)});
        else
            for (int b = 0; b * per < mask && (block || b == 0); ++b)
                runs.push_back({(uint8_t *)(row + (int64_t)b * block * per), (mask - b * per < per && block ? mask - b * per : mask < per ? mask : per) * (int64_t)sizeof(T)});
    }
    return inside(t, std::move(runs));
}
inline Runs operator+(Runs a, const Runs &b) {
    a.insert(a.end(), b.begin(), b.end());
    return a;
}
template <class F> void vector_instruction(const char *api, Runs reads, Runs writes, F work) {
    int64_t bytes = 0;
    for (const Run &r : writes) bytes += r.bytes;
    issue({PIPE_V, api, std::move(reads), std::move(writes), work, Kind::plain, (double)((bytes + 255) / 256 + 4), {}});
}

// ---------------------------------------------------------------- movement
struct DataCopyParams { int32_t blockCount = 1, blockLen = 0, srcStride = 0, dstStride = 0; };
struct DataCopyExtParams { int32_t blockCount = 1; int64_t blockLen = 0, srcStride = 0, dstStride = 0, rsv = 0; };
template <class T> struct DataCopyPadExtParams { bool isPad = false; int32_t leftPadding = 0, rightPadding = 0; T paddingValue{}; };
struct Nd2NzParams {
    int64_t ndNum = 1, nValue = 0, dValue = 0, srcNdMatrixStride = 0, srcDValue = 0, dstNzC0Stride = 0, dstNzNStride = 1, dstNzMatrixStride = 0;
};
template <class T> constexpr bool moved = std::is_arithmetic_v<T> ? sizeof(T) <= 4 && !std::is_same_v<T, bool> : std::is_same_v<T, half> || std::is_same_v<T, bfloat16_t>;
inline void within(const char *what, int64_t value, int64_t low, int64_t high) {
    if (value < low || value > high) wrong("range", "%s is %lld: %lld to %lld", what, (long long)value, (long long)low, (long long)high);
}

template <class T> constexpr bool summed = moved<T> && !std::is_same_v<T, uint32_t> && !std::is_same_v<T, uint16_t> && !std::is_same_v<T, uint8_t>;
template <class T> requires summed<T> void SetAtomicAdd() {
    dslc_emulator::atomic_mode() = 1;
}
template <class T> requires summed<T> void SetAtomicMax() { dslc_emulator::atomic_mode() = 2; }
template <class T> requires summed<T> void SetAtomicMin() { dslc_emulator::atomic_mode() = 3; }
inline void SetAtomicNone() { dslc_emulator::atomic_mode() = 0; }
inline void DisableDmaAtomic() { SetAtomicNone(); }
template <class T> void deposit(uint8_t *to, const T *from, int64_t n, int mode) {
    for (int64_t i = 0; i < n; ++i) {
        T a, b = from[i];
        memcpy(&a, to + i * sizeof(T), sizeof(T));
        if (mode == 1) {
            if constexpr (std::is_integral_v<T>) b = (T)(a + b);
            else b = (T)((float)a + (float)b);
        } else if (mode > 1 && ((float)a > (float)b) == (mode == 2)) b = a;
        memcpy(to + i * sizeof(T), &b, sizeof(T));
    }
}
template <class T, class F> void moving(pipe_t pipe, const char *api, Runs reads, Runs writes, F work, std::function<std::string()> layout = {}) {
    int64_t bytes = 0;
    for (const Run &r : writes) bytes += r.bytes;
    const int mode = pipe == PIPE_MTE3 ? dslc_emulator::atomic_mode() : 0;
    issue({pipe, api, std::move(reads), std::move(writes), work, mode ? Kind::atomic : Kind::plain, (double)(bytes / 32 + 20), {}, std::move(layout)});
}
// Blocks of 32 bytes, `count` elements of them or as the parameters say.
template <class T> void blocks_between(pipe_t pipe, uint8_t *to, uint8_t *from, const DataCopyParams &p) {
    Runs reads, writes;
    for (int i = 0; i < p.blockCount; ++i) {
        reads.push_back({from + (int64_t)i * (p.blockLen + p.srcStride) * 32, p.blockLen * 32});
        writes.push_back({to + (int64_t)i * (p.blockLen + p.dstStride) * 32, p.blockLen * 32});
    }
    const int mode = pipe == PIPE_MTE3 ? dslc_emulator::atomic_mode() : 0;
    moving<T>(pipe, "DataCopy", reads, writes, [=] { for (size_t i = 0; i < reads.size(); ++i) deposit(writes[i].at, (const T *)reads[i].at, reads[i].bytes / (int64_t)sizeof(T), mode); });
}
template <class T> DataCopyParams whole_blocks(uint32_t count) {
    if (count * sizeof(T) % 32) wrong("range", "DataCopy of %u elements: no multiple of 32 bytes", count);
    DataCopyParams p;
    p.blockLen = (int32_t)(count * sizeof(T) / 32);
    return p;
}
// The local side of such a copy: in blocks of 32 bytes, within its tensor, on a way that there is.
template <class T> uint8_t *blocks_of(const LocalTensor<T> &t, const DataCopyParams &p, int32_t gap, bool l1) {
    within("blockCount", p.blockCount, 1, 4095);
    within("blockLen", p.blockLen, 1, 65535);
    within("srcStride", p.srcStride, 0, 65535);
    within("dstStride", p.dstStride, 0, 65535);
    if ((uintptr_t)t.at % 32) wrong("alignment", "DataCopy at no multiple of 32 bytes of local memory");
    if (const bool in_l1 = t.position == TPosition::A1 || t.position == TPosition::B1; (in_l1 && !l1) || t.position == TPosition::A2 || t.position == TPosition::B2 || t.position == TPosition::CO1)
        wrong("path", "DataCopy: there is no such way between memories");
    inside(t, {{t.at + (int64_t)(p.blockCount - 1) * (p.blockLen + gap) * 32, p.blockLen * 32}});
    return t.at;
}
template <class T> requires moved<T> void DataCopy(LocalTensor<T> to, GlobalTensor<T> from, const DataCopyParams &p) {
    blocks_between<T>(PIPE_MTE2, blocks_of(to, p, p.dstStride, true), (uint8_t *)from.data, p);
}
template <class T> requires moved<T> void DataCopy(GlobalTensor<T> to, LocalTensor<T> from, const DataCopyParams &p) {
    blocks_between<T>(PIPE_MTE3, (uint8_t *)to.data, blocks_of(from, p, p.srcStride, false), p);
}
template <class T> requires moved<T> void DataCopy(LocalTensor<T> to, LocalTensor<T> from, const DataCopyParams &p) {
    blocks_between<T>(PIPE_V, blocks_of(to, p, p.dstStride, false), blocks_of(from, p, p.srcStride, false), p);
}
template <class T> requires moved<T> void DataCopy(LocalTensor<T> to, GlobalTensor<T> from, uint32_t count) { DataCopy(to, from, whole_blocks<T>(count)); }
template <class T> requires moved<T> void DataCopy(GlobalTensor<T> to, LocalTensor<T> from, uint32_t count) { DataCopy(to, from, whole_blocks<T>(count)); }
template <class T> requires moved<T> void DataCopy(LocalTensor<T> to, LocalTensor<T> from, uint32_t count) { DataCopy(to, from, whole_blocks<T>(count)); }
// Rows of a matrix in global memory to fractals in L1: columns of 32 bytes, one after another, each with all rows. The last column is filled up with zeros.
template <class T> requires moved<T> void DataCopy(LocalTensor<T> to, GlobalTensor<T> from, const Nd2NzParams &p) {
    if (to.position != TPosition::A1 && to.position != TPosition::B1) wrong("path", "DataCopy to fractals goes to L1");
    if ((uintptr_t)to.at % 32) wrong("alignment", "DataCopy to no multiple of 32 bytes of L1");
    within("ndNum", p.ndNum, 0, 4095);
    within("nValue", p.nValue, 0, 16384);
    within("dValue", p.dValue, 0, 65535);
    within("srcNdMatrixStride", p.srcNdMatrixStride, 0, 65535);
    within("srcDValue", p.srcDValue, 1, 65535);
    within("dstNzC0Stride", p.dstNzC0Stride, 1, 16384);
    within("dstNzNStride", p.dstNzNStride, 1, 16384);
    within("dstNzMatrixStride", p.dstNzMatrixStride, 0, 65535);
    constexpr int64_t c0 = 32 / (int64_t)sizeof(T);
    Runs reads, writes;
    for (int64_t m = 0; m < p.ndNum; ++m)
        for (int64_t r = 0; r < p.nValue; ++r) {
            reads.push_back({(uint8_t *)(from.data + m * p.srcNdMatrixStride + r * p.srcDValue), p.dValue * (int64_t)sizeof(T)});
            for (int64_t c = 0; c < p.dValue; c += c0) writes.push_back({(uint8_t *)(to.data() + m * p.dstNzMatrixStride + (c / c0 * p.dstNzC0Stride + r * p.dstNzNStride) * c0), 32});
        }
    const int64_t columns = (p.dValue + c0 - 1) / c0;
    moving<T>(PIPE_MTE2, "DataCopy", reads, inside(to, writes), [=, n = p.dValue] {
        for (size_t i = 0; i < writes.size(); ++i) {
            const int64_t c = (int64_t)i % columns * c0, inside = n - c < c0 ? n - c : c0;
            memset(writes[i].at, 0, 32);
            memcpy(writes[i].at, reads[i / (size_t)columns].at + c * (int64_t)sizeof(T), (size_t)inside * sizeof(T));
        }
    }, [=, rows = p.nValue, pitch = (int)p.dstNzC0Stride]() -> std::string {
        int matrix = 0;
        for (int64_t i = 0; i < (int64_t)writes.size(); ++i) {
            if (i % (rows * columns) == 0) matrix = dslc_emulator::new_matrix();
            *dslc_emulator::tag_of(writes[(size_t)i].at) = {matrix, (int)(i / columns % rows), (int)(i % columns), pitch, (int)sizeof(T), false};
        }
        return "";
    });
}
// Runs of any length: what lies beside them in their blocks of UB is filled with the padding, or with anything.
template <class T> requires moved<T> void DataCopyPad(LocalTensor<T> to, GlobalTensor<T> from, const DataCopyExtParams &p, const DataCopyPadExtParams<T> &pad) {
    within("blockCount", p.blockCount, 1, 4095);
    within("blockLen", p.blockLen, 1, 2097151);
    within("srcStride", p.srcStride, 0, 4294967295);
    within("dstStride", p.dstStride, 0, 65535);
    within("leftPadding", pad.leftPadding * (int64_t)sizeof(T), 0, 31);
    within("rightPadding", pad.rightPadding * (int64_t)sizeof(T), 0, 31);
    if ((uintptr_t)to.at % 32) wrong("alignment", "DataCopyPad to no multiple of 32 bytes of UB");
    const int64_t left = pad.isPad ? pad.leftPadding * (int64_t)sizeof(T) : 0, row = (left + p.blockLen + 31) / 32 * 32;
    Runs reads, writes;
    for (int i = 0; i < p.blockCount; ++i) {
        reads.push_back({(uint8_t *)from.data + i * (p.blockLen + p.srcStride), p.blockLen});
        writes.push_back({to.at + i * (row + p.dstStride * 32), pad.isPad ? left + p.blockLen + pad.rightPadding * (int64_t)sizeof(T) : p.blockLen});
    }
    moving<T>(PIPE_MTE2, "DataCopyPad", reads, inside(to, writes), [=] {
        for (size_t i = 0; i < reads.size(); ++i) {
            for (int64_t b = 0; b < writes[i].bytes; b += (int64_t)sizeof(T)) memcpy(writes[i].at + b, &pad.paddingValue, sizeof(T));
            memcpy(writes[i].at + left, reads[i].at, (size_t)reads[i].bytes);
        }
    });
}
template <class T> requires moved<T> void DataCopyPad(GlobalTensor<T> to, LocalTensor<T> from, const DataCopyExtParams &p) {
    within("blockCount", p.blockCount, 1, 4095);
    within("blockLen", p.blockLen, 1, 2097151);
    within("srcStride", p.srcStride, 0, 65535);
    within("dstStride", p.dstStride, 0, 4294967295);
    if ((uintptr_t)from.at % 32) wrong("alignment", "DataCopyPad from no multiple of 32 bytes of UB");
    Runs reads, writes;
    for (int i = 0; i < p.blockCount; ++i) {
        reads.push_back({from.at + i * ((p.blockLen + 31) / 32 * 32 + p.srcStride * 32), p.blockLen});
        writes.push_back({(uint8_t *)to.data + i * (p.blockLen + p.dstStride), p.blockLen});
    }
    const int mode = dslc_emulator::atomic_mode();
    moving<T>(PIPE_MTE3, "DataCopyPad", inside(from, reads), writes, [=] { for (size_t i = 0; i < reads.size(); ++i) deposit(writes[i].at, (const T *)reads[i].at, reads[i].bytes / (int64_t)sizeof(T), mode); });
}
template <class T> struct InitConstValueParams { int32_t repeatTimes = 0, blockNum = 0, dstGap = 0; T initValue{}; };
template <class T> requires (sizeof(T) == 2 || sizeof(T) == 4) void InitConstValue(const LocalTensor<T> &to, const InitConstValueParams<T> &p) {
    within("repeatTimes", p.repeatTimes, 0, 32767);
    within("blockNum", p.blockNum, 0, 32767);
    within("dstGap", p.dstGap, 0, 32767);
    const bool l1 = to.position == TPosition::A1 || to.position == TPosition::B1;
    const int64_t unit = l1 ? 32 : 512;
    Runs writes;
    for (int64_t r = 0; r < p.repeatTimes; ++r) writes.push_back({to.at + r * (p.blockNum + p.dstGap) * unit, p.blockNum * unit});
    moving<T>(l1 ? PIPE_MTE2 : PIPE_MTE1, "InitConstValue", {}, inside(to, writes), [=, value = p.initValue] {
        for (const Run &w : writes)
            for (int64_t b = 0; b < w.bytes; b += (int64_t)sizeof(T)) memcpy(w.at + b, &value, sizeof(T));
    });
}

// ---------------------------------------------------------------- cube
struct LoadData2DParams {
    int32_t startIndex = 0, repeatTimes = 0, srcStride = 0, sid = 0, dstGap = 0;
    bool ifTranspose = false;
    int32_t addrMode = 0;
};
constexpr int64_t fractal = 512;                             // bytes: 16 rows of 32
// int4b_t, which the chip loads too, is not emulated here.
template <class T> requires moved<T> void LoadData(const LocalTensor<T> &to, const LocalTensor<T> &from, const LoadData2DParams &p) {
    within("repeatTimes", p.repeatTimes, 1, 255);
    within("startIndex", p.startIndex, 0, 65535);
    within("srcStride", p.srcStride, 0, 65535);
    within("dstGap", p.dstGap, 0, 65535);
    within("sid", p.sid, 0, 0);
    within("addrMode", p.addrMode, 0, 1);
    if (p.ifTranspose && sizeof(T) != 2) wrong("range", "LoadData: ifTranspose is for types of 16 bits");
    if (((uintptr_t)to.at % 512) || ((uintptr_t)from.at % 32)) wrong("alignment", "LoadData: fractals begin at multiples of 512 bytes in L0 and of 32 in L1");
    if (to.position != TPosition::A2 && to.position != TPosition::B2) wrong("path", "LoadData goes to L0A or L0B");
    Runs reads, writes;
    for (int64_t r = 0; r < p.repeatTimes; ++r) {
        reads.push_back({from.at + (p.startIndex + r * p.srcStride) * fractal, fractal});
        writes.push_back({to.at + r * (p.dstGap + 1) * fractal, fractal});
    }
    issue({PIPE_MTE1, "LoadData", inside(from, reads), inside(to, writes), [=, turned = p.ifTranspose] {
        for (size_t r = 0; r < reads.size(); ++r)
            if (!turned) memcpy(writes[r].at, reads[r].at, fractal);
            else
                for (int i = 0; i < 16; ++i)
                    for (int j = 0; j < 16; ++j) memcpy(writes[r].at + (j * 16 + i) * 2, reads[r].at + (i * 16 + j) * 2, 2);
    }, Kind::plain, (double)p.repeatTimes * (to.position == TPosition::A2 ? 2 : 4) + 8, {}, [=, turned = p.ifTranspose] {
        std::string wrong;
        for (size_t r = 0; r < reads.size() && wrong.empty(); ++r) wrong = dslc_emulator::load_fractal(writes[r].at, reads[r].at, turned, (int)sizeof(T));
        return wrong;
    }});
}
struct LoadData2dTransposeParams { int32_t startIndex = 0, repeatTimes = 0, srcStride = 0, dstGap = 0, dstFracGap = 0, addrMode = 0; };
// Squares: two fractals of 16 x 32 bytes one below the other (8-bit types) or beside each other (32-bit types), or one (16-bit types), transposed.
template <class T> requires (moved<T> && !std::is_same_v<T, int16_t> && !std::is_same_v<T, uint16_t>)
void LoadDataWithTranspose(const LocalTensor<T> &to, const LocalTensor<T> &from, const LoadData2dTransposeParams &p) {
    within("repeatTimes", p.repeatTimes, 1, 255);
    within("startIndex", p.startIndex, 0, 65535);
    within("srcStride", p.srcStride, 0, 65535);
    within("dstGap", p.dstGap, 0, 65535);
    within("dstFracGap", p.dstFracGap, 0, 65535);
    within("addrMode", p.addrMode, 0, 1);
    constexpr int c0 = 32 / (int)sizeof(T), parts = sizeof(T) == 2 ? 1 : 2;
    Runs reads, writes;
    for (int64_t r = 0; r < p.repeatTimes; ++r) {
        reads.push_back({from.at + (p.startIndex + r * p.srcStride) * fractal * parts, fractal * parts});
        for (int k = 0; k < parts; ++k) writes.push_back({to.at + (r * (p.dstGap + 1) + k * (1 + p.dstFracGap)) * fractal, fractal});
    }
    issue({PIPE_MTE1, "LoadDataWithTranspose", inside(from, reads), inside(to, writes), [=] {
        for (size_t r = 0; r < reads.size(); ++r) {
            T square[32][32];
            auto each = [&](auto use) {
                for (int k = 0; k < parts; ++k)
                    for (int i = 0; i < 16; ++i)
                        for (int j = 0; j < c0; ++j) use(k, i, j, sizeof(T) == 1 ? k * 16 + i : i, sizeof(T) == 4 ? k * c0 + j : j);
            };
            each([&](int k, int i, int j, int y, int x) { square[x][y] = ((const T *)reads[r].at)[(k * 16 + i) * c0 + j]; });
            each([&](int k, int i, int j, int y, int x) { ((T *)writes[r * parts + (size_t)k].at)[i * c0 + j] = square[y][x]; });
        }
    }, Kind::plain, (double)p.repeatTimes * parts * 4 + 8, {}, [=] {
        std::string wrong;
        for (size_t r = 0; r < reads.size() && wrong.empty(); ++r) {
            uint8_t *const to_parts[2] = {writes[r * parts].at, writes[r * parts + parts - 1].at};
            wrong = dslc_emulator::load_square(to_parts, reads[r].at, (int)sizeof(T));
        }
        return wrong;
    }});
}
struct MmadParams {
    int32_t m = 0, n = 0, k = 0;
    bool isBias = false;
    int32_t fmOffset = 0;
    bool enSsparse = false, enWinogradA = false, enWinogradB = false;
    int32_t unitFlag = 0;
    bool kDirectionAlign = false, cmatrixSource = false, cmatrixInitVal = true;
};
template <class C, class A, class B> constexpr bool multiplied =
    std::is_same_v<C, float> ? std::is_same_v<A, B> && (std::is_same_v<A, half> || std::is_same_v<A, bfloat16_t> || std::is_same_v<A, float>)
                             : std::is_same_v<C, int32_t> && std::is_same_v<A, int8_t> && std::is_same_v<B, int8_t>;
// c (m, n) as fractals of 16 x 16 column by column; a (m, k) row by row of 16 x 32 bytes; b (k, n) row by row, each fractal transposed.
template <class C, class A, class B> requires multiplied<C, A, B>
void Mmad(const LocalTensor<C> &c, const LocalTensor<A> &a, const LocalTensor<B> &b, const MmadParams &p) {
    if (p.isBias || p.fmOffset || p.enSsparse || p.enWinogradA || p.enWinogradB || p.unitFlag || p.kDirectionAlign || p.cmatrixSource) wrong("range", "Mmad: a mode that is not emulated");
    within("m", p.m, 1, 4095);
    within("n", p.n, 1, 4095);
    within("k", p.k, 1, 4095);
    if (c.position != TPosition::CO1 || a.position != TPosition::A2 || b.position != TPosition::B2) wrong("path", "Mmad: operands in L0A and L0B, the sum in L0C");
    if (((uintptr_t)c.at % 1024) || ((uintptr_t)a.at % 512) || ((uintptr_t)b.at % 512)) wrong("alignment", "Mmad: multiples of 512 bytes, of 1024 in L0C");
    constexpr int c0 = 32 / (int)sizeof(A);
    const int m16 = (p.m + 15) / 16, n16 = (p.n + 15) / 16, kc = (p.k + c0 - 1) / c0;
    const Run sum{c.at, (int64_t)m16 * n16 * 1024};
    const bool gemv = p.m == 1;                               // the left operand is then no fractals but a row (CANN documentation, Mmad)
    Runs reads = inside(a, {{a.at, gemv ? p.k * (int64_t)sizeof(A) : (int64_t)m16 * kc * fractal}}) + inside(b, {{b.at, (int64_t)kc * n16 * fractal}});
    if (!p.cmatrixInitVal) reads.push_back(sum);
    // CANN documentation, Mmad: instructions that add to one place need a barrier between them where (m / 16) * (n / 16) is below 10.
    const Kind kind = m16 * n16 >= 10 ? Kind::accumulating : Kind::plain;
    issue({PIPE_M, "Mmad", reads, inside(c, {sum}), [=] {
        using Sum = std::conditional_t<std::is_same_v<C, float>, float, int32_t>;
        std::vector<Sum> left((size_t)(p.m * p.k)), right((size_t)(p.k * p.n));
        for (int i = 0; i < p.m; ++i)
            for (int k = 0; k < p.k; ++k) left[(size_t)(i * p.k + k)] = (Sum)a.data()[gemv ? k : ((int64_t)(i / 16) * kc + k / c0) * 16 * c0 + i % 16 * c0 + k % c0];
        for (int k = 0; k < p.k; ++k)
            for (int j = 0; j < p.n; ++j) right[(size_t)(k * p.n + j)] = (Sum)b.data()[((int64_t)(k / c0) * n16 + j / 16) * 16 * c0 + j % 16 * c0 + k % c0];
        std::vector<Sum> row((size_t)p.n);
        for (int i = 0; i < p.m; ++i) {
            auto at = [&](int j) -> C & { return c.data()[((int64_t)(j / 16) * m16 + i / 16) * 256 + i % 16 * 16 + j % 16]; };
            for (int j = 0; j < p.n; ++j) row[(size_t)j] = p.cmatrixInitVal ? (Sum)0 : (Sum)at(j);
            for (int k = 0; k < p.k; ++k)
                for (int j = 0; j < p.n; ++j) row[(size_t)j] += left[(size_t)(i * p.k + k)] * right[(size_t)(k * p.n + j)];
            for (int j = 0; j < p.n; ++j) at(j) = (C)row[(size_t)j];
        }
    }, kind, (double)m16 * n16 * ((p.k * (int)sizeof(A) + 31) / 32) + 8, {}, [=] {
        using namespace dslc_emulator;
        std::string wrong = gemv ? row_operand(a.at, p.k * (int64_t)sizeof(A)) : operand(a.at, m16, kc, true, (int)sizeof(A));
        if (wrong.empty()) wrong = operand(b.at, n16, kc, false, (int)sizeof(B));
        return wrong.empty() ? added(c.at, m16, n16, p.cmatrixInitVal, std::is_same_v<C, int32_t>) : wrong;
    }});
}
enum class CO2Layout : uint8_t { NZ, ROW_MAJOR };
struct FixpipeConfig { CO2Layout format; };
constexpr FixpipeConfig CFG_NZ{CO2Layout::NZ}, CFG_ROW_MAJOR{CO2Layout::ROW_MAJOR};
struct FixpipeParamsV220 {
    int32_t nSize = 0, mSize = 0, srcStride = 0;
    int64_t dstStride = 0;
    QuantMode_t quantPre = NoQuant;
    uint64_t deqScalar = 0;
    int32_t ndNum = 1, srcNdStride = 0, dstNdStride = 0;
    bool reluEn = false;
    int32_t unitFlag = 0;
    bool isChannelSplit = false;
};
// m rows of n elements of the sum to rows in global memory.
template <class T, class U> constexpr bool drained = std::is_same_v<U, float> ? std::is_same_v<T, float> || std::is_same_v<T, half> || std::is_same_v<T, bfloat16_t>
                                                                              : std::is_same_v<U, int32_t> && std::is_same_v<T, int32_t>;
template <class T, class U, const FixpipeConfig &config = CFG_ROW_MAJOR> requires (drained<T, U> && config.format == CO2Layout::ROW_MAJOR)
void Fixpipe(const GlobalTensor<T> &to, const LocalTensor<U> &c, const FixpipeParamsV220 &p) {
    if (p.ndNum != 1 || p.unitFlag || p.isChannelSplit || p.deqScalar) wrong("range", "Fixpipe: a mode that is not emulated");
    within("nSize", p.nSize, 1, 4095);
    within("mSize", p.mSize, 1, 8192);
    within("srcStride", p.srcStride, 0, 65535);
    within("dstStride", p.dstStride, 1, 4294967295);
    within("srcNdStride", p.srcNdStride, 0, 65535);
    within("dstNdStride", p.dstNdStride, 0, 65535);
    const QuantMode_t needed = std::is_same_v<T, half> ? F322F16 : std::is_same_v<T, bfloat16_t> ? F322BF16 : NoQuant;
    if (p.quantPre != needed) wrong("range", "Fixpipe: quantPre does not fit the type of the result");
    if (c.position != TPosition::CO1) wrong("path", "Fixpipe reads L0C");
    Runs reads, writes;
    for (int i = 0; i < p.mSize; ++i) {
        for (int j = 0; j < p.nSize; j += 16) reads.push_back({(uint8_t *)(c.data() + (int64_t)(j / 16) * p.srcStride * 16 + i * 16), (p.nSize - j < 16 ? p.nSize - j : 16) * 4});
        writes.push_back({(uint8_t *)(to.data + i * p.dstStride), p.nSize * (int64_t)sizeof(T)});
    }
    const int mode = dslc_emulator::atomic_mode();
    issue({PIPE_FIX, "Fixpipe", inside(c, reads), writes, [=] {
        for (int i = 0; i < p.mSize; ++i)
            for (int j = 0; j < p.nSize; ++j) {
                U x = c.data()[(int64_t)(j / 16) * p.srcStride * 16 + i * 16 + j % 16];
                if (p.reluEn && x < 0) x = 0;
                const T value = (T)x;
                deposit((uint8_t *)(to.data + i * p.dstStride + j), &value, 1, mode);
            }
    }, mode ? Kind::atomic : Kind::plain, (double)p.mSize * p.nSize * (double)sizeof(T) / 86 + 20, {}, [=, into = (c.at - dslc_emulator::memory(dslc_emulator::L0C)) / 64] {
        return dslc_emulator::drain(c.at, p.mSize, p.nSize, p.srcStride, into, std::is_same_v<U, int32_t>);
    }});
}

// ---------------------------------------------------------------- vector
struct BinaryRepeatParams {
    int32_t dstBlkStride = 1, src0BlkStride = 1, src1BlkStride = 1, dstRepStride = 8, src0RepStride = 8, src1RepStride = 8;
    BinaryRepeatParams() = default;
    BinaryRepeatParams(int32_t a, int32_t b, int32_t c, int32_t d, int32_t e, int32_t f) : dstBlkStride(a), src0BlkStride(b), src1BlkStride(c), dstRepStride(d), src0RepStride(e), src1RepStride(f) {}
};
struct UnaryRepeatParams {
    int32_t dstBlkStride = 1, srcBlkStride = 1, dstRepStride = 8, srcRepStride = 8;
    UnaryRepeatParams() = default;
    UnaryRepeatParams(int32_t a, int32_t b, int32_t c, int32_t d) : dstBlkStride(a), srcBlkStride(b), dstRepStride(c), srcRepStride(d) {}
};
struct CopyRepeatParams {
    int32_t dstStride = 1, srcStride = 1, dstRepeatSize = 8, srcRepeatSize = 8;
    CopyRepeatParams() = default;
    CopyRepeatParams(int32_t a, int32_t b, int32_t c, int32_t d) : dstStride(a), srcStride(b), dstRepeatSize(c), srcRepeatSize(d) {}
};
struct BrcbRepeatParams {
    int32_t dstBlkStride = 1, dstRepStride = 8;
    BrcbRepeatParams() = default;
    BrcbRepeatParams(int32_t a, int32_t b) : dstBlkStride(a), dstRepStride(b) {}
};

template <class T, class... Some> constexpr bool one_of = (std::is_same_v<T, Some> || ...);
template <class T> constexpr bool floats = one_of<T, half, float>;
template <class T> constexpr bool numbers = one_of<T, half, float, int16_t, int32_t>;
template <class T> constexpr bool words = one_of<T, int16_t, uint16_t>;
template <class T> constexpr bool masks = one_of<T, uint8_t, uint16_t, uint32_t, uint64_t>;
// What an element is computed in: half in float, rounded after the operation; integers wrap.
template <class T> using Wide = std::conditional_t<std::is_same_v<T, half>, float, std::conditional_t<std::is_integral_v<T>, int64_t, T>>;
template <class T> T narrow(Wide<T> x) {
    if constexpr (std::is_same_v<T, int32_t> || std::is_same_v<T, int16_t>) return (T)(std::make_unsigned_t<T>)(uint64_t)x;
    else return (T)x;
}
// Of NaN operands nothing is promised but a NaN or the other one; a NaN shows most.
template <class T> T greater(T a, T b) { return a != a || b != b ? (T)(a + b) : a > b ? a : b; }
template <class T> T lesser(T a, T b) { return a != a || b != b ? (T)(a + b) : a < b ? a : b; }

#define DSLC_BINARY(NAME, TYPES, EXPRESSION)                                                                                                                    \
    template <class T> requires TYPES<T> void NAME(const LocalTensor<T> &d, const LocalTensor<T> &a, const LocalTensor<T> &b, const int32_t &n) {              \
        if (n <= 0) return;                                                                                                                                    \
        vector_instruction(#NAME, {vector(a, n), vector(b, n)}, {vector(d, n)}, [=] {                                                                          \
            for (int32_t i = 0; i < n; ++i) {                                                                                                                  \
                const Wide<T> x = (Wide<T>)a.data()[i], y = (Wide<T>)b.data()[i];                                                                              \
                d.data()[i] = narrow<T>(EXPRESSION);                                                                                                           \
            }                                                                                                                                                  \
        });                                                                                                                                                    \
    }                                                                                                                                                          \
    template <class T> requires TYPES<T>                                                                                                                       \
    void NAME(const LocalTensor<T> &d, const LocalTensor<T> &a, const LocalTensor<T> &b, uint64_t mask, int32_t repeats, const BinaryRepeatParams &p) {        \
        vector_instruction(#NAME, repeated(a, (int64_t)mask, repeats, p.src0BlkStride, p.src0RepStride) + repeated(b, (int64_t)mask, repeats, p.src1BlkStride, p.src1RepStride), \
                           repeated(d, (int64_t)mask, repeats, p.dstBlkStride, p.dstRepStride), [=] {                                                          \
            for (int r = 0; r < repeats; ++r)                                                                                                                  \
                for (int e = 0; e < (int)mask; ++e) {                                                                                                          \
                    const Wide<T> x = (Wide<T>)a.data()[element<T>(e, p.src0BlkStride, p.src0RepStride, r)];                                                   \
                    const Wide<T> y = (Wide<T>)b.data()[element<T>(e, p.src1BlkStride, p.src1RepStride, r)];                                                   \
                    d.data()[element<T>(e, p.dstBlkStride, p.dstRepStride, r)] = narrow<T>(EXPRESSION);                                                        \
                }                                                                                                                                              \
        });                                                                                                                                                    \
    }
DSLC_BINARY(Add, numbers, x + y)
DSLC_BINARY(Sub, numbers, x - y)
DSLC_BINARY(Mul, numbers, x *y)
DSLC_BINARY(Div, floats, x / y)
DSLC_BINARY(Max, numbers, greater(x, y))
DSLC_BINARY(Min, numbers, lesser(x, y))
DSLC_BINARY(And, words, x &y)
DSLC_BINARY(Or, words, x | y)

#define DSLC_UNARY(NAME, TYPES, EXPRESSION)                                                                                                                     \
    template <class T> requires TYPES<T> void NAME(const LocalTensor<T> &d, const LocalTensor<T> &a, const int32_t &n) {                                       \
        if (n <= 0) return;                                                                                                                                    \
        vector_instruction(#NAME, {vector(a, n)}, {vector(d, n)}, [=] {                                                                                        \
            for (int32_t i = 0; i < n; ++i) {                                                                                                                  \
                const Wide<T> x = (Wide<T>)a.data()[i];                                                                                                        \
                d.data()[i] = narrow<T>(EXPRESSION);                                                                                                           \
            }                                                                                                                                                  \
        });                                                                                                                                                    \
    }                                                                                                                                                          \
    template <class T> requires TYPES<T> void NAME(const LocalTensor<T> &d, const LocalTensor<T> &a, uint64_t mask, int32_t repeats, const UnaryRepeatParams &p) { \
        vector_instruction(#NAME, repeated(a, (int64_t)mask, repeats, p.srcBlkStride, p.srcRepStride), repeated(d, (int64_t)mask, repeats, p.dstBlkStride, p.dstRepStride), [=] { \
            for (int r = 0; r < repeats; ++r)                                                                                                                  \
                for (int e = 0; e < (int)mask; ++e) {                                                                                                          \
                    const Wide<T> x = (Wide<T>)a.data()[element<T>(e, p.srcBlkStride, p.srcRepStride, r)];                                                     \
                    d.data()[element<T>(e, p.dstBlkStride, p.dstRepStride, r)] = narrow<T>(EXPRESSION);                                                        \
                }                                                                                                                                              \
        });                                                                                                                                                    \
    }
DSLC_UNARY(Exp, floats, expf(x))
DSLC_UNARY(Ln, floats, logf(x))
DSLC_UNARY(Sqrt, floats, sqrtf(x))
DSLC_UNARY(Rsqrt, floats, 1 / sqrtf(x) * (1 + 0x1p-11f))     // approximate, so that nobody relies on more (assumed: 2^-11)
DSLC_UNARY(Reciprocal, floats, 1 / x * (1 + 0x1p-11f))
DSLC_UNARY(Abs, floats, fabsf(x))
DSLC_UNARY(Relu, floats, x > 0 ? x : 0)
DSLC_UNARY(Not, words, ~x)

// A scalar has the elements' type: T is deduced of both.
#define DSLC_WITH_SCALAR(NAME, TYPES, EXPRESSION)                                                                                                               \
    template <class T> requires TYPES<T> void NAME(const LocalTensor<T> &d, const LocalTensor<T> &a, const T &scalar, const int32_t &n) {                      \
        if (n <= 0) return;                                                                                                                                    \
        const T given = scalar;                                                                                                                                \
        vector_instruction(#NAME, {vector(a, n)}, {vector(d, n)}, [=] {                                                                                        \
            for (int32_t i = 0; i < n; ++i) {                                                                                                                  \
                const Wide<T> x = (Wide<T>)a.data()[i], y = (Wide<T>)given;                                                                                    \
                d.data()[i] = narrow<T>(EXPRESSION);                                                                                                           \
            }                                                                                                                                                  \
        });                                                                                                                                                    \
    }                                                                                                                                                          \
    template <class T> requires TYPES<T>                                                                                                                       \
    void NAME(const LocalTensor<T> &d, const LocalTensor<T> &a, const T &scalar, uint64_t mask, int32_t repeats, const UnaryRepeatParams &p) {                 \
        const T given = scalar;                                                                                                                                \
        vector_instruction(#NAME, repeated(a, (int64_t)mask, repeats, p.srcBlkStride, p.srcRepStride), repeated(d, (int64_t)mask, repeats, p.dstBlkStride, p.dstRepStride), [=] { \
            for (int r = 0; r < repeats; ++r)                                                                                                                  \
                for (int e = 0; e < (int)mask; ++e) {                                                                                                          \
                    const Wide<T> x = (Wide<T>)a.data()[element<T>(e, p.srcBlkStride, p.srcRepStride, r)], y = (Wide<T>)given;                                 \
                    d.data()[element<T>(e, p.dstBlkStride, p.dstRepStride, r)] = narrow<T>(EXPRESSION);                                                        \
                }                                                                                                                                              \
        });                                                                                                                                                    \
    }
DSLC_WITH_SCALAR(Adds, numbers, x + y)
DSLC_WITH_SCALAR(Muls, numbers, x *y)
DSLC_WITH_SCALAR(Maxs, numbers, greater(x, y))
DSLC_WITH_SCALAR(Mins, numbers, lesser(x, y))
template <class T> constexpr bool shifted = one_of<T, int16_t, uint16_t, int32_t, uint32_t>;
DSLC_WITH_SCALAR(ShiftLeft, shifted, (int64_t)((uint64_t)x << y))
DSLC_WITH_SCALAR(ShiftRight, shifted, x >> y)
template <class T> requires floats<T> void Axpy(const LocalTensor<T> &d, const LocalTensor<T> &a, const T &scalar, const int32_t &n) {
    const T given = scalar;
    vector_instruction("Axpy", {vector(a, n), vector(d, n)}, {vector(d, n)}, [=] {
        for (int32_t i = 0; i < n; ++i) d.data()[i] = (T)((float)d.data()[i] + (float)given * (float)a.data()[i]);
    });
}

template <class T> constexpr bool duplicated = one_of<T, half, bfloat16_t, int16_t, uint16_t, int32_t, uint32_t, float>;
template <class T> requires duplicated<T> void Duplicate(const LocalTensor<T> &d, const T &scalar, const int32_t &n) {
    if (n <= 0) return;
    const T given = scalar;
    vector_instruction("Duplicate", {}, {vector(d, n)}, [=] { for (int32_t i = 0; i < n; ++i) d.data()[i] = given; });
}
template <class T> requires duplicated<T> void Duplicate(const LocalTensor<T> &d, const T &scalar, uint64_t mask, int32_t repeats, int32_t block, int32_t repeat) {
    const T given = scalar;
    vector_instruction("Duplicate", {}, repeated(d, (int64_t)mask, repeats, block, repeat), [=] {
        for (int r = 0; r < repeats; ++r)
            for (int e = 0; e < (int)mask; ++e) d.data()[element<T>(e, block, repeat, r)] = given;
    });
}
template <class T> requires numbers<T> void CreateVecIndex(const LocalTensor<T> &d, const T &first, uint32_t n) {
    vector_instruction("CreateVecIndex", {}, {vector(d, n)}, [=] { for (uint32_t i = 0; i < n; ++i) d.data()[i] = (T)((Wide<T>)first + (Wide<T>)i); });
}
// Each of 8 elements to a block of its own.
template <class T> constexpr bool two_or_four = sizeof(T) == 2 || sizeof(T) == 4;
template <class T> requires two_or_four<T> void Brcb(const LocalTensor<T> &d, const LocalTensor<T> &a, int32_t repeats, const BrcbRepeatParams &p) {
    within("repeatTime", repeats, 0, 255);
    within("dstBlkStride", p.dstBlkStride, 0, 65535);
    within("dstRepStride", p.dstRepStride, 0, 65535);
    constexpr int per = 32 / (int)sizeof(T);
    Runs writes;
    for (int r = 0; r < repeats; ++r)
        for (int b = 0; b < 8; ++b) writes.push_back({(uint8_t *)(d.data() + ((int64_t)r * p.dstRepStride + (int64_t)b * p.dstBlkStride) * per), 32});
    vector_instruction("Brcb", {vector(a, 8 * repeats)}, writes, [=] {
        for (size_t i = 0; i < writes.size(); ++i)
            for (int e = 0; e < per; ++e) ((T *)writes[i].at)[e] = a.data()[i];
    });
}
template <class T> requires two_or_four<T> void Copy(const LocalTensor<T> &d, const LocalTensor<T> &a, uint64_t mask, int32_t repeats, const CopyRepeatParams &p) {
    vector_instruction("Copy", repeated(a, (int64_t)mask, repeats, p.srcStride, p.srcRepeatSize), repeated(d, (int64_t)mask, repeats, p.dstStride, p.dstRepeatSize), [=] {
        for (int r = 0; r < repeats; ++r)
            for (int e = 0; e < (int)mask; ++e) d.data()[element<T>(e, p.dstStride, p.dstRepeatSize, r)] = a.data()[element<T>(e, p.srcStride, p.srcRepeatSize, r)];
    });
}

template <class T> bool compared(CMPMODE mode, T x, T y) {
    switch (mode) {
    case CMPMODE::LT: return x < y;
    case CMPMODE::GT: return x > y;
    case CMPMODE::EQ: return x == y;
    case CMPMODE::LE: return x <= y;
    case CMPMODE::GE: return x >= y;
    default: return x != y;
    }
}
// One bit for each element, the lowest first. The tail after the last whole 256 bytes of elements is not computed, which is why it is refused.
template <class T, class F> void compare(const char *api, const LocalTensor<uint8_t> &d, Runs reads, uint32_t n, F bit) {
    if (n * sizeof(T) % 256) wrong("range", "%s of %u elements: no multiple of 256 bytes", api, n);
    vector_instruction(api, std::move(reads), {vector(d, n / 8)}, [=] {
        for (uint32_t i = 0; i < n; i += 8) {
            uint8_t bits = 0;
            for (uint32_t b = 0; b < 8; ++b) bits = (uint8_t)(bits | bit(i + b) << b);
            d.data()[i / 8] = bits;
        }
    });
}
template <class T> requires floats<T> void Compare(const LocalTensor<uint8_t> &d, const LocalTensor<T> &a, const LocalTensor<T> &b, CMPMODE mode, uint32_t n) {
    compare<T>("Compare", d, {vector(a, n), vector(b, n)}, n, [=](uint32_t i) { return compared(mode, (float)a.data()[i], (float)b.data()[i]); });
}
inline void Compare(const LocalTensor<uint8_t> &d, const LocalTensor<int32_t> &a, const LocalTensor<int32_t> &b, CMPMODE mode, uint32_t n) {
    if (mode != CMPMODE::EQ) wrong("range", "Compare of int32: equality only");
    compare<int32_t>("Compare", d, {vector(a, n), vector(b, n)}, n, [=](uint32_t i) { return a.data()[i] == b.data()[i]; });
}
template <class T> requires floats<T> void CompareScalar(const LocalTensor<uint8_t> &d, const LocalTensor<T> &a, T scalar, CMPMODE mode, uint32_t n) {
    compare<T>("CompareScalar", d, {vector(a, n)}, n, [=](uint32_t i) { return compared(mode, (float)a.data()[i], (float)scalar); });
}
template <class T, class U> requires (floats<T> && masks<U>)
void Select(const LocalTensor<T> &d, const LocalTensor<U> &mask, const LocalTensor<T> &a, const LocalTensor<T> &b, SELMODE mode, uint32_t n) {
    if (mode != SELMODE::VSEL_TENSOR_TENSOR_MODE) wrong("range", "Select of two tensors is VSEL_TENSOR_TENSOR_MODE");
    const LocalTensor<uint8_t> bits = mask.template ReinterpretCast<uint8_t>();
    vector_instruction("Select", {vector(bits, (n + 7) / 8), vector(a, n), vector(b, n)}, {vector(d, n)}, [=] {
        for (uint32_t i = 0; i < n; ++i) memcpy(d.data() + i, (bits.data()[i / 8] >> i % 8 & 1 ? a : b).data() + i, sizeof(T));
    });
}
template <class T, class U> requires (floats<T> && masks<U>)
void Select(const LocalTensor<T> &d, const LocalTensor<U> &mask, const LocalTensor<T> &a, T scalar, SELMODE mode, uint32_t n) {
    if (mode != SELMODE::VSEL_TENSOR_SCALAR_MODE) wrong("range", "Select of a tensor and a scalar is VSEL_TENSOR_SCALAR_MODE");
    const LocalTensor<uint8_t> bits = mask.template ReinterpretCast<uint8_t>();
    vector_instruction("Select", {vector(bits, (n + 7) / 8), vector(a, n)}, {vector(d, n)}, [=] {
        for (uint32_t i = 0; i < n; ++i) memcpy(d.data() + i, bits.data()[i / 8] >> i % 8 & 1 ? a.data() + i : &scalar, sizeof(T));
    });
}

inline float rounded(RoundMode mode, float x) {
    switch (mode) {
    case RoundMode::CAST_FLOOR: return floorf(x);
    case RoundMode::CAST_CEIL: return ceilf(x);
    case RoundMode::CAST_ROUND: return roundf(x);
    case RoundMode::CAST_TRUNC: return truncf(x);
    default: return nearbyintf(x);
    }
}
template <class D> D integer(float x) {                      // saturated; of NaN nothing is documented
    const double low = std::is_signed_v<D> ? -ldexp(1, 8 * (int)sizeof(D) - 1) : 0, high = ldexp(1, 8 * (int)sizeof(D) - std::is_signed_v<D>) - 1;
    return x != x ? (D)0x5A : x < low ? (D)low : x > high ? (D)high : (D)x;
}
// To 16 bits: the nearest, or one of its neighbours.
template <class D> D directed(float x, RoundMode mode) {
    D near(x);
    const float got = (float)near, off = fabsf(got) - fabsf(x);
    if (got == x || x != x) return near;
    auto other = [&](int step) { return std::bit_cast<D>((uint16_t)(near.bits + step)); };       // away from zero, or towards it
    const bool down = off > 0 && (mode == RoundMode::CAST_TRUNC || mode == (x > 0 ? RoundMode::CAST_FLOOR : RoundMode::CAST_CEIL));
    const bool up = off < 0 && mode == (x > 0 ? RoundMode::CAST_CEIL : RoundMode::CAST_FLOOR);
    const bool tie = off < 0 && mode == RoundMode::CAST_ROUND && fabsf(x) - fabsf(got) == fabsf((float)other(1)) - fabsf(x);
    const bool odd = mode == RoundMode::CAST_ODD && near.bits % 2 == 0;
    return down ? other(-1) : up || tie ? other(1) : odd ? other(off > 0 ? -1 : 1) : near;
}
// Pairs of types that the chip converts (CANN documentation, Cast, table of Atlas A2).
template <class D, class S> constexpr bool converts =
    std::is_same_v<S, float> ? one_of<D, half, bfloat16_t, int16_t, int32_t, int64_t, float>
    : std::is_same_v<S, half> ? one_of<D, float, int32_t, int16_t, int8_t, uint8_t, int4b_t>
    : std::is_same_v<S, bfloat16_t> ? one_of<D, float, int32_t>
    : std::is_same_v<S, int32_t> ? one_of<D, float, int16_t, int64_t>
    : std::is_same_v<S, int16_t> ? one_of<D, half, float>
    : std::is_same_v<S, int64_t> ? one_of<D, int32_t, float>
                                 : (one_of<S, int8_t, uint8_t> || std::is_same_v<S, int4b_t>) && std::is_same_v<D, half>;
// The modes of a pair (the same table): CAST_NONE where nothing is rounded, the five directions elsewhere, where some take CAST_NONE as well.
template <class D, class S> constexpr bool rounds(RoundMode mode) {
    constexpr bool exact = (std::is_integral_v<D> && std::is_integral_v<S>) || one_of<S, int4b_t, int8_t, uint8_t> || (std::is_same_v<D, float> && one_of<S, half, bfloat16_t, int16_t>);
    constexpr bool either = std::is_same_v<D, half> ? one_of<S, float, int16_t> : std::is_same_v<S, half> ? one_of<D, int8_t, uint8_t, int4b_t>
                                                                                                       : std::is_same_v<D, float> && std::is_same_v<S, int32_t>;
    return mode == RoundMode::CAST_NONE ? exact || either : mode == RoundMode::CAST_ODD ? std::is_same_v<D, half> && std::is_same_v<S, float> : !exact;
}
template <class D, class S> D converted(S x, RoundMode mode) {
    if constexpr (std::is_integral_v<D> && std::is_integral_v<S>) {
        const int64_t wide = (int64_t)x, low = -(int64_t(1) << (8 * sizeof(D) - 1)), high = ~low;
        return (D)(wide < low ? low : wide > high ? high : wide);
    } else if constexpr (std::is_integral_v<D>) return integer<D>(rounded(mode, (float)x));
    else if constexpr (std::is_same_v<D, float> && std::is_same_v<S, float>) return rounded(mode, x);
    else if constexpr (sizeof(D) == 2) return directed<D>((float)x, mode);
    else return (D)(float)x;
}
template <class D, class S> requires converts<D, S> void Cast(const LocalTensor<D> &d, const LocalTensor<S> &a, const RoundMode &mode, uint32_t n) {
    if (!rounds<D, S>(mode)) wrong("range", "Cast: the mode %d is none of this pair of types", (int)mode);
    if (n == 0) return;
    if constexpr (std::is_same_v<S, int4b_t>) {
        vector_instruction("Cast", {vector(a, (n + 1) / 2)}, {vector(d, n)}, [=] {
            for (uint32_t i = 0; i < n; ++i) d.data()[i] = half((float)(((uint8_t)a.data()[i / 2].two >> i % 2 * 4 & 15 ^ 8) - 8));
        });
    } else if constexpr (std::is_same_v<D, int4b_t>) {
        vector_instruction("Cast", {vector(a, n)}, {vector(d, (n + 1) / 2)}, [=] {
            for (uint32_t i = 0; i < n; ++i) {
                const float x = rounded(mode, (float)a.data()[i]);
                const int v = (int)(x < -8 ? -8 : x > 7 ? 7 : x) & 15;
                int8_t &two = d.data()[i / 2].two;
                two = (int8_t)(i % 2 ? (two & 15) | v << 4 : v);
            }
        });
    } else {
        vector_instruction("Cast", {vector(a, n)}, {vector(d, n)}, [=] {
            std::vector<D> all(n);                           // one operand may be the other
            for (uint32_t i = 0; i < n; ++i) all[i] = converted<D>(a.data()[i], mode);
            memcpy(d.at, all.data(), n * sizeof(D));
        });
    }
}

// One number for each repeat. Sums go pair by pair.
template <class T> requires floats<T>
void WholeReduceSum(const LocalTensor<T> &d, const LocalTensor<T> &a, int32_t mask, int32_t repeats, int32_t to, int32_t block, int32_t repeat) {
    within("dstRepStride", to, 0, 65535);
    Runs writes;
    for (int r = 0; r < repeats; ++r) writes.push_back({(uint8_t *)(d.data() + (int64_t)r * to), (int64_t)sizeof(T)});
    vector_instruction("WholeReduceSum", repeated(a, mask, repeats, block, repeat), writes, [=] {
        for (int r = 0; r < repeats; ++r) {
            float part[256] = {};
            for (int e = 0; e < mask; ++e) part[e] = (float)a.data()[element<T>(e, block, repeat, r)];
            for (int half_of = 128; half_of; half_of /= 2)
                for (int e = 0; e < half_of; ++e) part[e] = (float)(T)(part[2 * e] + part[2 * e + 1]);
            d.data()[(int64_t)r * to] = (T)part[0];
        }
    });
}
template <class T, class F>
void whole_reduce(const char *api, const LocalTensor<T> &d, const LocalTensor<T> &a, int32_t mask, int32_t repeats, int32_t to, int32_t block, int32_t repeat, ReduceOrder order, F better) {
    if (order != ReduceOrder::ORDER_ONLY_VALUE && order != ReduceOrder::ORDER_VALUE_INDEX) wrong("range", "%s: this order is not emulated", api);
    within("dstRepStride", to, 0, 65535);
    const int each = order == ReduceOrder::ORDER_ONLY_VALUE ? 1 : 2;
    Runs writes;
    for (int r = 0; r < repeats; ++r) writes.push_back({(uint8_t *)(d.data() + (int64_t)r * to * each), each * (int64_t)sizeof(T)});
    vector_instruction(api, repeated(a, mask, repeats, block, repeat), writes, [=] {
        for (int r = 0; r < repeats; ++r) {
            int at = 0;
            float best = (float)a.data()[element<T>(0, block, repeat, r)];
            for (int e = 1; e < mask; ++e) {
                const float x = (float)a.data()[element<T>(e, block, repeat, r)];
                if (better(x, best) || x != x) best = x, at = e;
            }
            T *out = d.data() + (int64_t)r * to * each;
            out[0] = (T)best;
            if (each == 2) memset(out + 1, 0, sizeof(T)), memcpy(out + 1, &at, sizeof(T) < 4 ? sizeof(T) : 4);   // the bits of the number
        }
    });
}
template <class T> requires floats<T>
void WholeReduceMax(const LocalTensor<T> &d, const LocalTensor<T> &a, int32_t mask, int32_t repeats, int32_t to, int32_t block, int32_t repeat, ReduceOrder order = ReduceOrder::ORDER_VALUE_INDEX) {
    whole_reduce("WholeReduceMax", d, a, mask, repeats, to, block, repeat, order, [](float x, float best) { return x > best; });
}
template <class T> requires floats<T>
void WholeReduceMin(const LocalTensor<T> &d, const LocalTensor<T> &a, int32_t mask, int32_t repeats, int32_t to, int32_t block, int32_t repeat, ReduceOrder order = ReduceOrder::ORDER_VALUE_INDEX) {
    whole_reduce("WholeReduceMin", d, a, mask, repeats, to, block, repeat, order, [](float x, float best) { return x < best; });
}
template <class T> requires two_or_four<T> void Gather(const LocalTensor<T> &d, const LocalTensor<T> &a, const LocalTensor<uint32_t> &offsets, uint32_t base, uint32_t n) {
    if ((uintptr_t)a.at % 32) wrong("alignment", "an operand in UB begins at no multiple of 32 bytes");
    issue({PIPE_V, "Gather", {vector(offsets, n)}, {vector(d, n)}, [=] {
        std::vector<T> all(n);
        for (uint32_t i = 0; i < n; ++i) memcpy(&all[i], a.at + base + offsets.data()[i], sizeof(T));
        memcpy(d.at, all.data(), n * sizeof(T));
    }, Kind::plain, (double)n + 4, [=] {
        Runs reads;
        for (uint32_t i = 0; i < n; ++i) reads.push_back({a.at + base + offsets.data()[i], (int64_t)sizeof(T)});
        return reads;
    }});
}
template <class T> requires one_of<T, half, int16_t, uint16_t> void Transpose(const LocalTensor<T> &d, const LocalTensor<T> &a) {
    vector_instruction("Transpose", {vector(a, 256)}, {vector(d, 256)}, [=] {
        T all[256];
        for (int i = 0; i < 16; ++i)
            for (int j = 0; j < 16; ++j) all[j * 16 + i] = a.data()[i * 16 + j];
        memcpy(d.at, all, sizeof all);
    });
}

}  // namespace AscendC

using namespace AscendC;

#endif
