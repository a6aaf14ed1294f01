// The words of generated CUDA source, emulated: the same functions as the header of this name that nvcc sees, checked by the engine.
//
// Lanes hold fragments as PTX ISA 9.0, "Warp Level Matrix Multiply-Accumulate Instructions", draws them. Numbers of a matrix instruction:
// products are exact, the sum of a row and column and the accumulator is taken in f64 and rounded once to f32. The hardware adds in an
// order of its own with fewer bits and may truncate; the bound of the numeric contract covers both. Integers wrap.
#ifndef DSLC_TILE_CUDA_H
#define DSLC_TILE_CUDA_H

#include "engine.h"

constexpr int lanes = 32;

// Shared memory has 32 banks of 4 bytes (CUDA C++ Programming Guide, "Shared Memory" of compute capability 5.x and later). 8 and 16 bytes a
// lane pass in halves and quarters of the warp. One wavefront takes one word of each bank; lanes that want the same word share it.
inline engine::Wavefronts wavefronts(const i32 *offsets, i32 count, i32 bytes) {
    engine::Wavefronts total{0, 0};
    const i32 words = bytes < 4 ? 1 : bytes / 4, lanes_at_once = 32 / words;
    for (i32 first = 0; first < count; first += lanes_at_once) {
        i32 seen[32][32], in_bank[32] = {}, distinct = 0, most = 0;
        for (i32 i = first; i < first + lanes_at_once && i < count; ++i)
            for (i32 w = 0; offsets[i] >= 0 && w < words; ++w) {
                const i32 word = offsets[i] / 4 + w, bank = word & 31;
                i32 n = 0;
                while (n < in_bank[bank] && seen[bank][n] != word)
                    ++n;
                if (n == in_bank[bank]) {
                    seen[bank][in_bank[bank]++] = word;
                    ++distinct;
                    most = in_bank[bank] > most ? in_bank[bank] : most;
                }
            }
        total.ideal += (distinct + 31) / 32;
        total.actual += most;
    }
    return total;
}

#include "vocabulary.h"

namespace cuda_emulator {

using engine::key_of;
constexpr i32 copies = 2;                        // the family of cp.async: streams and groups, one of each per thread

// ---------------------------------------------------------------- ldmatrix
struct MatrixRows { i64 at; u32 *r; i32 line; };
template <int n, bool transposed> void load_matrices(MatrixRows *const *all, i32 count) {
    if (count < 32)
        engine::fatal("divergence", all[0]->line, "load_matrix takes a whole warp");
    const i32 first = engine::wave_first(), line = all[0]->line;
    for (i32 m = 0; m < n; ++m) {
        u16 matrix[8][8];
        i32 offsets[8];
        for (i32 row = 0; row < 8; ++row) {
            offsets[row] = (i32)all[8 * m + row]->at;
            __builtin_memcpy(matrix[row], engine::shared_read_by(first + 8 * m + row, offsets[row], 16, line), 16);
        }
        engine::count_banks(offsets, 8, 16, line);
        for (i32 lane = 0; lane < 32; ++lane) {
            const i32 row = lane / 4, column = 2 * (lane % 4);
            all[lane]->r[m] = transposed ? matrix[column][row] | (u32)matrix[column + 1][row] << 16
                                         : matrix[row][column] | (u32)matrix[row][column + 1] << 16;
        }
    }
}

// ---------------------------------------------------------------- mma.sync
struct MatrixOperands { void *d; const void *a, *b; };

// A register's value i of type T as f64; T of 1 or 2 bytes.
template <class T> f64 element(u32 word, i32 i) {
    const u32 bits = word >> (8 * (i32)sizeof(T) * i);
    T x;
    __builtin_memcpy(&x, &bits, sizeof(T));
    return (f64)cast<f32>(x);
}
// d (16, 8) += a (16, k) b (k, 8). Operand words: of a, rows lane / 4 (+ 8 in words 1 and 3) and columns from lane % 4 words on (+ 4 words in
// words 2 and 3); of b, column lane / 4, the same k. Of d, rows as a, columns 2 (lane % 4) and the next.
template <class D, class TA, class TB> void multiply(MatrixOperands *const *all, i32 count) {
    constexpr i32 per_word = 4 / (i32)sizeof(TA), k = 8 * per_word;
    if (count < 32)
        return;
    f64 a[16][k], b[8][k];
    for (i32 lane = 0; lane < 32; ++lane) {
        const u32 *words_a = static_cast<const u32 *>(all[lane]->a), *words_b = static_cast<const u32 *>(all[lane]->b);
        for (i32 w = 0; w < 4; ++w)
            for (i32 i = 0; i < per_word; ++i)
                a[lane / 4 + 8 * (w & 1)][(lane % 4 + 4 * (w >> 1)) * per_word + i] = element<TA>(words_a[w], i);
        for (i32 w = 0; w < 2; ++w)
            for (i32 i = 0; i < per_word; ++i)
                b[lane / 4][(lane % 4 + 4 * w) * per_word + i] = element<TB>(words_b[w], i);
    }
    for (i32 lane = 0; lane < 32; ++lane) {
        D *d = static_cast<D *>(all[lane]->d);
        for (i32 i = 0; i < 4; ++i) {
            const f64 *row = a[lane / 4 + 8 * (i >> 1)], *column = b[2 * (lane % 4) + (i & 1)];
            f64 sum = 0;
            for (i32 n = 0; n < k; ++n)
                sum += row[n] * column[n];
            if constexpr (__is_same(D, i32))
                d[i] = (i32)((u32)d[i] + (u32)(i64)sum);
            else
                d[i] = (f32)((f64)d[i] + sum);
        }
    }
}
struct tf32 { u32 bits; };
template <> inline f64 element<tf32>(u32 word, i32) { return (f64)f32_of(word & 0xffffe000u); }
template <class D, class TA, class TB> void multiply_warp(D (&d)[4], const u32 (&a)[4], const u32 (&b)[2], const char *what, i32 line) {
    MatrixOperands mine{d, a, b};
    engine::wave_collective(what, line, mine, multiply<D, TA, TB>);
}

// d (8, 8) += a (8, 4) b (4, 8), one element of a and b a lane; fused, in the order of k.
inline void multiply_f64(MatrixOperands *const *all, i32 count) {
    for (i32 lane = 0; lane < count; ++lane)
        for (i32 i = 0; i < 2; ++i) {
            f64 &d = static_cast<f64 *>(all[lane]->d)[i];
            for (i32 k = 0; k < 4; ++k)
                d = fma_(*static_cast<const f64 *>(all[lane / 4 * 4 + k]->a), *static_cast<const f64 *>(all[(2 * (lane % 4) + i) * 4 + k]->b), d);
        }
}

}  // namespace cuda_emulator

// n matrices of 8 rows of 16 bytes; lanes 8 i .. 8 i + 7 give the rows of matrix i, each 16-byte aligned.
template <int n, class T> void load_matrix(u32 (&r)[n], Shared<T> row, i32 line = __builtin_LINE()) {
    static_assert(n == 1 || n == 2 || n == 4, "1, 2 or 4 matrices");
    cuda_emulator::MatrixRows mine{row.at, r, line};
    engine::wave_collective("load_matrix", line, mine, cuda_emulator::load_matrices<n, false>);
}
template <int n, class T> void load_matrix_transposed(u32 (&r)[n], Shared<T> row, i32 line = __builtin_LINE()) {
    static_assert(n == 1 || n == 2 || n == 4, "1, 2 or 4 matrices");
    cuda_emulator::MatrixRows mine{row.at, r, line};
    engine::wave_collective("load_matrix_transposed", line, mine, cuda_emulator::load_matrices<n, true>);
}

template <class TA, class TB> void mma(f32 (&d)[4], const u32 (&a)[4], const u32 (&b)[2], i32 line = __builtin_LINE()) {
    static_assert(sizeof(TA) == sizeof(TB), "operands of one width");
    cuda_emulator::multiply_warp<f32, TA, TB>(d, a, b, "mma", line);
}
template <class TA, class TB> void mma(i32 (&d)[4], const u32 (&a)[4], const u32 (&b)[2], i32 line = __builtin_LINE()) {
    static_assert(sizeof(TA) == 1 && sizeof(TB) == 1, "8-bit operands");
    cuda_emulator::multiply_warp<i32, TA, TB>(d, a, b, "mma", line);
}
// Operands are f32 bits, of which the lowest 13 are not looked at; k is 8.
inline void mma_tf32(f32 (&d)[4], const u32 (&a)[4], const u32 (&b)[2], i32 line = __builtin_LINE()) {
    cuda_emulator::multiply_warp<f32, cuda_emulator::tf32, cuda_emulator::tf32>(d, a, b, "mma_tf32", line);
}
inline void mma_f64(f64 (&d)[2], f64 a, f64 b, i32 line = __builtin_LINE()) {
    cuda_emulator::MatrixOperands mine{d, &a, &b};
    engine::wave_collective("mma_f64", line, mine, cuda_emulator::multiply_f64);
}

// ---------------------------------------------------------------- cp.async
// The first `valid` bytes are copied, the rest are zero; with none valid `from` is not touched. A thread's copies are waited for in
// groups, oldest first; until then nobody, the thread included, may look at either side.
template <int bytes, class T, class U> void copy_async(Shared<T> to, Global<U> from, i32 valid, i32 line = __builtin_LINE()) {
    static_assert(bytes == 4 || bytes == 8 || bytes == 16, "4, 8 or 16 bytes");
    if (valid < 0 || valid > bytes)
        engine::fatal("copy", line, "copy_async of %d bytes with %d valid", bytes, valid);
    const engine::Agent agent = engine::fork(engine::key_of(cuda_emulator::copies, (u32)worker()), engine::generic_proxy, "copy_async", line);
    const u64 source = from.number();
    // Only what is valid is read, but the address must be aligned to the whole copy (PTX, cp.async).
    if (valid && source % bytes)
        engine::agent_reads_global(agent, source, bytes, bytes);
    else if (valid)
        engine::agent_reads_global(agent, source, valid, 1);
    engine::agent_writes_shared(agent, to.at, bytes, bytes);
    const i64 at = to.at;
    engine::submit(agent, [=](engine::Agent) {
        __builtin_memcpy(engine::shared_memory() + at, (const void *)source, (size_t)valid);
        __builtin_memset(engine::shared_memory() + at + valid, 0, (size_t)(bytes - valid));
    });
    engine::group_add(cuda_emulator::copies, agent);
}
inline void copy_async_commit() { engine::group_commit(cuda_emulator::copies); }
template <int n> void copy_async_wait() { engine::group_wait(cuda_emulator::copies, n); }

template <int n> void workers_sync(i32 line = __builtin_LINE()) { engine::named_barrier(1, n, true, "workers_sync", line); }

#if __has_include("hopper.h")
#include "hopper.h"
#endif

#endif
